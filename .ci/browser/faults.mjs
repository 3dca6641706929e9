// Tests of the page with failing polls, an exporter that does not respond, and hostile names.
import assert from "node:assert/strict";
import { eventually, finish, isAccessible, open, refresh } from "./check.mjs";
import { startService } from "./service.mjs";
import { row, startStub } from "./stub.mjs";

/** Starts the program with a stub of Starlink's API; both end with the test. */
async function withStub(binary, test, more = {}) {
  const stub = await startStub();
  const settings = { CLIENT_ID: "id", CLIENT_SECRET: "secret", BATCH_SIZE: "1000", MAX_LINGER: "1000", API_URL: stub.url, ...more };
  const service = await startService(binary, [], settings);
  try {
    await test(stub, service);
  } finally {
    await service.stop();
    stub.stop();
  }
}

/** Terminals in San Francisco, Paris and Sydney. */
const PLACES = { "ut-1": "0x85283083fffffff", "ut-2": "0x851fb467fffffff", "ut-3": "0x85be0e37fffffff" };

async function unhealthy({ browser, binary }) {
  await withStub(binary, async (stub, service) => {
    stub.rows = () => [row("ut-1", 1)];
    const page = await open(browser, service.url);
    await page.goto(`${service.url}/`);
    const verdict = page.locator("#verdict");
    const says = (pattern) =>
      eventually(`the verdict is ${pattern}`, async () => {
        await refresh(page);
        return pattern.test(await verdict.innerText());
      });
    await says(/Healthy/);
    stub.status = 500;
    await says(/Failing[^]*Starlink answered 500 \(as the test wants\)/);
    assert.match(await page.locator("#facts").innerText(), /failed; the last success was[^]*of the last rows/);
    await isAccessible(page, "a failing stream");
    stub.status = 200;
    await says(/Healthy/);
    stub.rows = () => [row("ut-1", 1, [1])];
    await eventually("an alert appears", async () => {
      await refresh(page);
      return /motors_stuck\s*1/.test(await page.locator("#alerts").innerText());
    });
    stub.rows = () => [row("ut-1", 1, [])];
    await eventually("and clears", async () => {
      await refresh(page);
      return /None/.test(await page.locator("#alerts").innerText());
    });
    await finish(page);
  });
}

async function states({ browser, binary }) {
  const test = async (stub, service) => {
    const reporting = (...ids) => () => ids.map((id) => row(id, 1, [], PLACES[id]));
    stub.rows = reporting("ut-1", "ut-2", "ut-3");
    const page = await open(browser, service.url);
    await page.goto(`${service.url}/`);
    const become = (what, ...wanted) =>
      eventually(what, async () => {
        await refresh(page);
        const found = await page.locator("#list tbody tr[data-key]").evaluateAll((rows) => rows.map((one) => one.className));
        return found.join() === wanted.join();
      });
    await become("all report", "online", "online", "online");
    assert.equal(await page.locator("#map .dots").count(), 1);
    stub.rows = reporting("ut-1", "ut-2");
    await become("one is silent", "online", "online", "offline");
    const dots = () => page.locator("#map .dots").evaluateAll((layers) => layers.map((layer) => layer.classList[1]));
    assert.deepEqual(await dots(), ["online", "offline"], "offline devices are on top");
    const number = page.locator("#list tr.offline td.number").first();
    assert.match(await number.innerText(), /^–\s*none$/);
    assert.match(await page.locator("#counts tbody").innerText(), /UserTerminal\s+2\s+online\s+0\s+unknown\s+1\s+offline/);
    await page.locator("#legend").getByRole("link", { name: /offline/ }).click();
    await page.waitForURL(/state=offline/);
    await become("only it is listed", "offline");
    assert.equal(await page.locator('#legend [aria-current="true"]').count(), 1);
    await page.goBack();
    stub.status = 500;
    await become("polls fail", "unknown", "unknown", "offline");
    assert.deepEqual(await dots(), ["unknown", "offline"]);
    await isAccessible(page, "all states");
    await finish(page);
  };
  await withStub(binary, test, { STALE_AFTER: "2" });
}

async function frozen({ browser, binary }) {
  await withStub(binary, async (stub, service) => {
    stub.rows = () => [row("ut-1", 1, [1], PLACES["ut-1"])];
    for (const path of ["/", "/device?id=ut-1"]) {
      const page = await open(browser, service.url, { viewport: { width: 390, height: 844 } });
      await eventually("the device is there", async () => (await page.goto(service.url + path)).ok() && (await page.getByText("ut-1").count()) > 0);
      await page.clock.install();
      await page.reload();
      const title = await page.title();
      const notes = () => page.locator(".outdated-note").count();
      const headings = await page.locator("main section > h2, #head h1").count();
      service.freeze();
      const banner = page.locator("#silence");
      assert.equal(await banner.isVisible(), false);
      // The next request and its time-out.
      await page.clock.runFor(10_100);
      await page.clock.runFor(8_100);
      await banner.waitFor({ state: "visible" });
      assert.match(await banner.innerText(), /Connection to the exporter lost at \d\d:\d\d:\d\d UTC\. Data below is out of date\./);
      assert.equal(await page.locator("[aria-live] #silence").count(), 1, "it is in a live region");
      assert.equal(await page.title(), `Out of date: ${title}`);
      assert.equal(await notes(), headings, "every part says it");
      if (path === "/") assert.match(await page.locator("#verdict").innerText(), /Unknown/);
      assert.doesNotMatch(await page.locator("main").innerText(), /Healthy/);
      assert.equal(await banner.evaluate((bar) => getComputedStyle(bar).position), "static", "the bar covers nothing");
      await isAccessible(page, `${path} of an exporter that does not respond`);
      service.thaw();
      await page.clock.runFor(10_100);
      await banner.waitFor({ state: "hidden" });
      assert.equal(await page.title(), title);
      assert.equal(await notes(), 0);
      if (path === "/") assert.match(await page.locator("#verdict").innerText(), /Healthy/);
      await finish(page);
    }
  });
}

/** Something else responds instead of the exporter, such as a proxy that requires a password. */
async function replaced({ browser, binary }) {
  await withStub(binary, async (stub, service) => {
    stub.rows = () => [row("ut-1", 1)];
    const page = await open(browser, service.url);
    await page.goto(`${service.url}/`);
    await page.route("**/", (route) => route.fulfill({ status: 200, contentType: "text/html", body: "<title>Log in</title><h1>Log in</h1>" }));
    await refresh(page);
    assert.match(await page.locator("#silence").innerText(), /Something other than the exporter has answered/);
    assert.match(await page.title(), /^Out of date: /);
    await finish(page);
  });
}

/** A device that is forgotten while its page is open. */
async function forgotten({ browser, binary }) {
  await withStub(binary, async (stub, service) => {
    stub.rows = () => [row("ut-1", 1)];
    const page = await open(browser, service.url, { allowed: /404/ });
    await eventually("the device is there", async () => (await page.goto(`${service.url}/device?id=ut-1`)).ok());
    await refresh(page);
    assert.equal(await page.locator("#silence").isVisible(), false);
    await page.route("**/device?id=ut-1", async (route) => {
      const answer = await route.fetch({ url: `${service.url}/device?id=ut-2` });
      await route.fulfill({ response: answer });
    });
    await refresh(page);
    assert.match(await page.locator("#silence").innerText(), /The exporter no longer knows this device \(since \d\d:\d\d:\d\d UTC\)/);
    assert.ok((await page.locator(".outdated-note").count()) > 3);
    assert.equal(await page.locator("h1").innerText(), "ut-1 – out of date");
    await finish(page);
  });
}

const HOSTILE = [
  "..",
  "a&b=c#d?e/f%2e+g h",
  `"><script>alert(1)</script>`,
  `'"><img src=x onerror=alert(1)>`,
  "javascript:alert(1)",
  "\u202Egnp.exe\u2066",
  "{{7*7}}${1}<!--",
  "</table></main><h1>x",
  "x\u0000\u001b[31m\r\n\u2028",
  "x".repeat(120),
];

async function hostile({ browser, binary }) {
  await withStub(binary, async (stub, service) => {
    const evil = HOSTILE[3];
    stub.columns = { u: [...stub.columns.u, evil, "Text"] };
    stub.enums = { DeviceType: { u: evil }, AlertsByDeviceType: { u: { 1: HOSTILE[2] } } };
    stub.rows = () => HOSTILE.map((id) => [...row(id, 1, [1]), 7, HOSTILE[2]]);
    const page = await open(browser, service.url, { viewport: { width: 360, height: 740 } });
    await page.goto(`${service.url}/`);
    const rows = page.locator("#list tbody tr[data-key]");
    await eventually("all of them are there", async () => {
      await refresh(page);
      return (await rows.count()) === HOSTILE.length;
    });
    const isTame = async (what) => {
      assert.equal(await page.locator("img, script:not([src]), main h1 ~ h1").count(), 0, what);
      const [width, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(width <= room, `${what}: ${width} in ${room}`);
    };
    await isTame("the list");
    await isAccessible(page, "hostile names");
    const links = await rows.evaluateAll((all) => all.map((one) => one.querySelector("th a").getAttribute("href")));
    const ids = links.map((link) => new URL(link, service.url).searchParams.get("id"));
    assert.deepEqual(ids.toSorted(), HOSTILE.toSorted(), "links lead to the very devices");
    for (const [at, link] of links.entries()) {
      const answer = await page.goto(new URL(link, service.url).href);
      assert.equal(answer.status(), 200, link);
      const title = await page.locator("h1").textContent();
      // Control characters are shown as control pictures.
      const shown = ids[at].replace(/[\0-\x1f]/g, (control) => String.fromCharCode(0x2400 + control.charCodeAt(0))).replace("\u2028", "\u2424");
      assert.equal(title, shown);
      await isTame(link);
    }
    await page.locator("#alerts a").click();
    await page.waitForURL(/alert=/);
    assert.equal(await rows.count(), HOSTILE.length, "an alert's link leads to all who have it");
    await page.getByLabel("Search").fill(evil);
    await eventually("the search is in the URL", async () => new URL(page.url()).searchParams.get("search") === evil);
    await isTame("a search");
    await finish(page);
  });
}

export const faults = { unhealthy, states, frozen, replaced, forgotten, hostile };
