// Tests of the page with the demo.
import assert from "node:assert/strict";
import { column, eventually, finish, isAccessible, open, refresh } from "./check.mjs";

const rows = (page) => page.locator("#list tbody tr[data-key]");

/** Waits until the demo's whole fleet has reported. */
async function whole(page) {
  await eventually("all terminals are there", async () => {
    await page.reload();
    return (await rows(page).count()) >= 25;
  });
}

async function glance({ browser, demo }) {
  for (const colorScheme of ["light", "dark"]) {
    const page = await open(browser, demo.url, { colorScheme });
    await page.goto(`${demo.url}/`);
    await whole(page);
    assert.match(await page.locator("#verdict").innerText(), /Healthy/);
    assert.match(await page.locator("#facts").innerText(), /succeeded \d+ s ago[^]*valid for \d+ min/);
    const actors = await page.locator("#actors tbody th").allInnerTexts();
    assert.deepEqual(actors.map((name) => name.replace(/^\W+/, "")).sort(), ["inventory", "metadata", "metrics_store", "stream", "supervisor", "token"]);
    assert.match(await page.locator("#counts").innerText(), /UserTerminal/);
    const dots = await page.locator("#map .dots").evaluateAll((paths) => paths.map((path) => path.getAttribute("d").split("h0").length - 1));
    assert.ok(dots.reduce((sum, count) => sum + count, 0) >= 20, `${dots}`);
    // The outline of the world is loaded, in the colour of the style.
    await eventually("the land is drawn", () => page.locator("#map .land").evaluate((land) => land.getBBox().width > 3000));
    await isAccessible(page, `the page in ${colorScheme}`);
    await rows(page).first().locator("a").click();
    await page.waitForURL(/\/device\?id=/);
    await isAccessible(page, `a device in ${colorScheme}`);
    await finish(page);
  }
}

async function search({ browser, demo }) {
  const page = await open(browser, demo.url);
  await page.goto(`${demo.url}/`);
  await whole(page);
  const id = await rows(page).nth(7).locator(".id").innerText();
  await page.evaluate(() => (globalThis.isSamePage = true));
  await page.getByLabel("Search").pressSequentially(id.toUpperCase());
  await eventually("the list is filtered while one types", async () => (await rows(page).count()) <= 2);
  assert.ok((await rows(page).first().innerText()).includes(id));
  assert.equal(new URL(page.url()).searchParams.get("search"), id.toUpperCase());
  assert.equal(await page.getByLabel("Search").inputValue(), id.toUpperCase());
  await page.getByLabel("Search").fill("no such thing");
  await page.getByText("No device matches.").waitFor();
  await page.getByRole("link", { name: /^Show all/ }).click();
  await eventually("all are shown again", async () => (await rows(page).count()) >= 25);
  assert.equal(await page.getByLabel("Search").inputValue(), "");
  assert.ok(await page.evaluate(() => globalThis.isSamePage), "the page was not left");
  await finish(page);
}

/** Whether the count and the first row are visible without scrolling. */
function isInSight(page) {
  return page.evaluate(() => {
    const isSeen = (node) => {
      const { top, bottom } = node.getBoundingClientRect();
      return top >= 0 && bottom <= innerHeight;
    };
    return isSeen(document.getElementById("found")) && isSeen(document.querySelector("#list tbody th a"));
  });
}

async function insight({ browser, demo }) {
  const sizes = [
    [1440, 900],
    [1366, 768],
    [390, 844],
  ];
  for (const [width, height] of sizes) {
    const size = `${width}×${height}`;
    const page = await open(browser, demo.url, { viewport: { width, height } });
    await page.goto(`${demo.url}/`);
    await whole(page);
    assert.match(await page.locator("#found").innerText(), /^\d+$/);
    const id = await rows(page).nth(4).locator(".id").innerText();
    const field = page.getByLabel("Search");
    await field.fill(id);
    await eventually(`${size}: a search`, async () => /^\d+ of \d+$/.test(await page.locator("#found").innerText()) && (await isInSight(page)));
    const address = page.url();
    await page.goto(`${demo.url}/`);
    await page.locator("#map svg").click({ position: { x: 60, y: 60 } });
    await eventually(`${size}: a click on the map`, async () => page.url().includes("near=") && (await isInSight(page)));
    // A link copied from the address bar, and one written by hand.
    for (const shared of [address, `${demo.url}/?type=UserTerminal`]) {
      await page.goto("about:blank");
      await page.goto(shared);
      await eventually(`${size}: ${shared}`, () => isInSight(page));
    }
    await finish(page);
  }
}

async function sort({ browser, demo }) {
  const page = await open(browser, demo.url);
  await page.goto(`${demo.url}/?per_page=10&type=UserTerminal`);
  await whole10(page);
  const numbers = async () => {
    const texts = await column(page, "Latency");
    return texts.map((text) => Number.parseFloat(text)).filter((value) => !Number.isNaN(value));
  };
  const head = page.locator("#list th", { hasText: "Latency" });
  for (const [order, sign] of [["descending", -1], ["ascending", 1]]) {
    await head.getByRole("link").click();
    await eventually(order, async () => (await head.getAttribute("aria-sort")) === order);
    const found = await numbers();
    assert.ok(found.length > 0);
    assert.deepEqual(found, found.toSorted((one, other) => sign * (one - other)));
  }
  // The focus is unchanged: reverse the order by the keyboard.
  await page.keyboard.press("Enter");
  await eventually("the keyboard sorts", async () => (await head.getAttribute("aria-sort")) === "descending");
  const first = await page.locator("#list caption").innerText();
  assert.match(first, /^1 to 10 of \d+ devices$/);
  await page.getByRole("link", { name: "Next" }).click();
  await eventually("the second page", async () => /^11 to 20 of/.test(await page.locator("#list caption").innerText()));
  await page.goBack();
  await eventually("back on the first one", async () => (await page.locator("#list caption").innerText()).startsWith("1 to 10"));
  await page.locator("#filter select[name=state]").selectOption("offline");
  await eventually("a list filters", async () => {
    const caption = await page.locator("#list caption").innerText();
    const states = await column(page, "State");
    return page.url().includes("state=offline") && (states.length === 0 ? caption === "0 devices" : states.every((state) => state === "offline"));
  });
  await finish(page);
}

async function whole10(page) {
  await eventually("there are pages", async () => {
    await page.reload();
    return (await page.getByRole("link", { name: "Next" }).count()) > 0;
  });
}

async function device({ browser, demo }) {
  const page = await open(browser, demo.url);
  await page.goto(`${demo.url}/?type=UserTerminal&state=online`);
  await eventually("a terminal is there", async () => (await page.reload()) && (await rows(page).count()) > 0);
  const id = await rows(page).first().locator(".id").innerText();
  await rows(page).first().locator("a").click();
  await page.waitForURL(/\/device\?/);
  await eventually("the device has a name and a service line", async () => {
    await page.reload();
    return (await page.locator("h1").innerText()) !== id && (await page.locator("#line .usage").count()) > 0;
  });
  assert.match(await page.locator("#about").innerText(), new RegExp(`${id}[^]*Kit serial\\s+KIT`));
  const field = page.locator("#fields tr", { hasText: "DownlinkThroughput" });
  assert.match(await field.innerText(), /DownlinkThroughput\s+[\d.]+\s+Mbit\/s\s+Throughput from the satellite/);
  // The link back keeps the filter.
  assert.match(await page.getByRole("link", { name: "Back to the list" }).getAttribute("href"), /type=UserTerminal/);
  assert.match(await page.locator("#info").innerText(), /runningsoftwareversion/i);
  await eventually("it is on the small map", () => page.locator("#map .dots").evaluate((path) => path.getAttribute("d").startsWith("M")));
  await refresh(page);
  await page.getByRole("link", { name: "Devices nearby" }).click();
  await page.waitForURL(/near=/);
  assert.ok((await rows(page).first().innerText()).includes(id), "the nearest is itself");
  await finish(page);
}

async function near({ browser, demo }) {
  const page = await open(browser, demo.url);
  await page.goto(`${demo.url}/`);
  await whole(page);
  // The position of the first dot on the screen and on Earth.
  const dot = await page.locator("#map .dots.online").evaluate((path) => {
    const [x, y] = path.getAttribute("d").match(/\d+/g).map(Number);
    const place = new DOMPoint(x, y).matrixTransform(path.getScreenCTM());
    return { x: place.x, y: place.y, latitude: 90 - y / 10, longitude: x / 10 - 180 };
  });
  await page.mouse.click(dot.x, dot.y);
  await page.waitForURL(/near=/);
  await eventually("the nearest are listed", async () => /nearest first/.test(await page.locator("#list caption").innerText()));
  const [latitude, longitude] = new URL(page.url()).searchParams.get("near").split(",").map(Number);
  const isThere = Math.abs(longitude - dot.longitude) < 0.5 && Math.abs(latitude - dot.latitude) < 0.5;
  assert.ok(isThere, `${latitude}, ${longitude} for ${JSON.stringify(dot)}`);
  assert.equal(await page.locator("#map .mark").count(), 1);
  await finish(page);
}

async function keeps({ browser, demo }) {
  const page = await open(browser, demo.url, { viewport: { width: 900, height: 500 } });
  await page.goto(`${demo.url}/`);
  await whole(page);
  const link = rows(page).nth(3).locator("a");
  const address = await link.getAttribute("href");
  await page.getByLabel("Near").fill("half a pl");
  await link.focus();
  await page.locator("#list").evaluate((list) => (list.scrollLeft = 40));
  const y = await page.evaluate(() => scrollY);
  const facts = await page.locator("#facts").innerText();
  await eventually("it is refreshed", async () => {
    await refresh(page);
    return (await page.locator("#facts").innerText()) !== facts;
  });
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("href")), address);
  assert.equal(await page.getByLabel("Near").inputValue(), "half a pl");
  assert.equal(await page.locator("#list").evaluate((list) => list.scrollLeft), 40);
  assert.equal(await page.evaluate(() => scrollY), y);
  const selected = await page.evaluate(() => {
    document.getSelection().selectAllChildren(document.querySelector("#list tbody tr"));
    return document.getSelection().toString();
  });
  await refresh(page);
  await refresh(page);
  assert.equal(await page.evaluate(() => document.getSelection().toString()), selected);
  await finish(page);
}

async function hidden({ browser, demo }) {
  const page = await open(browser, demo.url);
  await page.clock.install();
  await page.goto(`${demo.url}/`);
  let asked = 0;
  page.on("request", (request) => (asked += request.resourceType() === "fetch" ? 1 : 0));
  const hide = (isHidden) =>
    page.evaluate((value) => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => value });
      document.dispatchEvent(new Event("visibilitychange"));
    }, isHidden);
  await page.clock.runFor(10_100);
  await eventually("it refreshes itself", () => asked === 1);
  await hide(true);
  await page.clock.runFor(60_000);
  assert.equal(asked, 1, "the hidden page sends no requests");
  await hide(false);
  await eventually("it goes on", () => asked === 2);
  await finish(page);
}

async function keyboard({ browser, demo }) {
  const page = await open(browser, demo.url);
  await page.goto(`${demo.url}/`);
  await whole(page);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the devices");
  await page.keyboard.press("Enter");
  let isRow = false;
  for (let tabs = 0; tabs < 40 && !isRow; tabs += 1) {
    await page.keyboard.press("Tab");
    isRow = await page.evaluate(() => document.activeElement.matches("#list tbody th a"));
  }
  assert.ok(isRow, "a row is reached by the keyboard");
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assert.equal(outline, "solid", "focus is seen");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/device\?id=/);
  await finish(page);
}

async function plain({ browser, demo }) {
  const page = await open(browser, demo.url, { javaScriptEnabled: false });
  await page.goto(`${demo.url}/`);
  await whole(page);
  assert.match(await page.content(), /<noscript><meta http-equiv="refresh"/);
  assert.equal(await page.locator(".hint").isVisible(), false, "what needs a script is not offered");
  const id = await rows(page).nth(5).locator(".id").innerText();
  await page.getByLabel("Search").fill(id);
  await page.getByRole("button", { name: "Show" }).click();
  await page.waitForURL(/search=/);
  assert.ok((await rows(page).count()) <= 2);
  await page.getByRole("link", { name: "Clear" }).click();
  await page.getByRole("link", { name: /^Down/ }).click();
  await page.waitForURL(/sort=-downlink/);
  assert.equal(await page.locator('th[aria-sort="descending"]').count(), 1);
  await rows(page).first().locator("a").click();
  await page.waitForURL(/\/device\?/);
  await finish(page);
}

async function phone({ browser, demo }) {
  const page = await open(browser, demo.url, { viewport: { width: 360, height: 740 }, hasTouch: true });
  const fits = async (what) => {
    const [width, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(width <= room, `${what}: ${width} in ${room}`);
  };
  const targets = async (what) => {
    const small = await page.locator("header a, .back a, #counts a, #alerts a, #legend a, #pages a, #list th a, #about a, .place .line a, input:not([type=hidden]), select, button").evaluateAll((all) =>
      all.map((one) => [one, one.getBoundingClientRect()]).filter(([, box]) => box.height > 0 && (box.height < 24 || box.width < 24)).map(([one, box]) => `${one.textContent.trim()} ${box.width}×${box.height}`),
    );
    assert.deepEqual(small, [], `${what}: targets below 24 pixels`);
  };
  await page.goto(`${demo.url}/`);
  await whole(page);
  await fits("the page");
  await targets("the page");
  await isAccessible(page, "the page on a phone");
  await rows(page).first().locator("a").click();
  await page.waitForURL(/\/device\?/);
  await fits("a device");
  await targets("a device");
  await isAccessible(page, "a device on a phone");
  await finish(page);
}

async function wrong({ browser, demo }) {
  const page = await open(browser, demo.url, { allowed: /40[04]/ });
  const answer = await page.goto(`${demo.url}/?state=lost`);
  assert.equal(answer.status(), 400);
  assert.match(await page.getByRole("alert").innerText(), /unknown state "lost": use offline, unknown, online, never_heard/);
  await isAccessible(page, "a wrong parameter");
  for (const path of ["/device?id=unknown", "/nothing/at/all"]) {
    assert.equal((await page.goto(demo.url + path)).status(), 404);
    await isAccessible(page, path);
    assert.equal(await page.locator("main a").evaluate((link) => link.href), `${demo.url}/`);
  }
  await finish(page);
}

/** The demo's alerts change: without interaction, one appears and one clears. */
async function alerts({ browser, demo }) {
  const page = await open(browser, demo.url);
  await page.goto(`${demo.url}/?type=UserTerminal`);
  await whole(page);
  const active = async () => {
    const pairs = await rows(page).evaluateAll((all) =>
      all.flatMap((row) => [...row.querySelectorAll(".alert")].map((alert) => `${row.dataset.key} ${alert.textContent}`)),
    );
    return new Set(pairs);
  };
  let seen = await active();
  let [appeared, cleared] = [0, 0];
  await eventually(
    "an alert appears, and one clears",
    async () => {
      const now = await active();
      appeared += [...now].filter((alert) => !seen.has(alert)).length;
      cleared += [...seen].filter((alert) => !now.has(alert)).length;
      seen = now;
      return appeared > 0 && cleared > 0;
    },
    90_000,
  );
  await finish(page);
}

/** The list of service lines, at the widths of a phone, a tablet and a desk, with long names. */
async function lines({ browser, demo }) {
  const sizes = [
    [360, 740, "light"],
    [768, 1024, "dark"],
    [1280, 900, "light"],
  ];
  for (const [width, height, colorScheme] of sizes) {
    const page = await open(browser, demo.url, { viewport: { width, height }, colorScheme });
    const fits = async (what) => {
      const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(wide <= room, `${what} at ${width}: ${wide} in ${room}`);
    };
    const lengthen = () =>
      page.locator("#main bdi").evaluateAll((all) => {
        for (const name of all) name.textContent = "Nickname-without-any-space-".repeat(8);
      });
    await page.goto(`${demo.url}/lines`);
    await eventually("the lines are read", async () => {
      await page.reload();
      return (await page.locator("#list .bar").count()) > 0 && (await page.locator("#inventory").innerText()).includes("read");
    });
    await fits("the lines");
    if (width < 641) {
      const wide = await page.locator("#main .scroll").evaluateAll((all) => all.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.ariaLabel ?? one.id));
      assert.deepEqual(wide, [], "tables that are wider than a phone");
    }
    await isAccessible(page, `the lines in ${colorScheme} at ${width}`);
    await refresh(page);
    const small = await page.locator("#list a, form button, #pages a").evaluateAll((all) =>
      all.map((one) => [one, one.getBoundingClientRect()]).filter(([, box]) => box.height > 0 && (box.height < 24 || box.width < 24)).map(([one]) => one.textContent),
    );
    assert.deepEqual(small, [], "targets below 24 pixels");
    await page.getByLabel("Sort by").selectOption("number");
    await page.getByRole("button", { name: "Show" }).click();
    await page.waitForURL(/lines\?.*sort=number/);
    const numbers = await page.locator("#list tbody th .id").allInnerTexts();
    assert.deepEqual(numbers, numbers.toSorted());
    await lengthen();
    await fits("long names");
    await page.goto(`${demo.url}/?sort=-data_use`);
    await fits("the devices by data use");
    const uses = page.locator('#list td[data-label="Data use"]');
    assert.ok((await uses.locator(".bar").count()) > 0);
    // The column is in sight without scrolling to the side, and a bar has its number beside it.
    const use = await uses.filter({ has: page.locator(".bar") }).first().evaluate((cell) => {
      const [bar, number] = [".bar", ".bar + span"].map((name) => cell.querySelector(name).getBoundingClientRect());
      return { right: number.right, room: cell.closest(".scroll").getBoundingClientRect().right, isBeside: bar.right <= number.left && bar.top < number.bottom && number.top < bar.bottom };
    });
    assert.ok(use.right <= use.room && use.isBeside, `data use at ${width}: ${JSON.stringify(use)}`);
    await lengthen();
    await fits("devices with long names");
    await rows(page).first().locator("a").click();
    await page.waitForURL(/\/device\?/);
    await isAccessible(page, `a device with a line in ${colorScheme} at ${width}`);
    await lengthen();
    await fits("a device with long texts");
    await finish(page);
  }
}

/** In forced colours, the filled part of a bar still differs from the rest. */
async function forced({ browser, demo }) {
  const page = await open(browser, demo.url, { forcedColors: "active" });
  await page.goto(`${demo.url}/lines`);
  await eventually("the lines are read", async () => (await page.reload()) && (await page.locator("#list .bar").count()) > 0);
  const [part, whole] = await page.locator("#list .bar").first().evaluate((bar) => {
    const fill = (name) => getComputedStyle(bar.querySelector(name)).fill;
    return [fill(".part"), fill(".whole")];
  });
  assert.equal(whole, "none");
  assert.notEqual(part, "none");
  await finish(page);
}

export const slow = { alerts };
export const quick = { glance, search, insight, sort, device, near, keeps, hidden, keyboard, plain, phone, wrong, lines, forced };
