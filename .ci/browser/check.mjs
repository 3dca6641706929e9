// Helpers of the page's tests: a browser whose errors and warnings fail the test, and waiting for conditions.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const load = createRequire(`${process.env.BROWSER_MODULES}/`);
const { chromium } = load("playwright-core");
const AXE = readFileSync(load.resolve("axe-core/axe.min.js"), "utf8");

const ARGUMENTS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const complaintsOf = new WeakMap();

/** Starts a browser with a temporary profile. */
export function startBrowser() {
  return chromium.launch({ executablePath: process.env.CHROMIUM, args: ARGUMENTS });
}

/** Opens a page in a new context and collects its errors. */
export async function open(browser, origin, options = {}) {
  const { allowed = /^$/, ...context } = options;
  const own = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...context });
  own.setDefaultTimeout(20_000);
  const page = await own.newPage();
  const complaints = [];
  const complain = (what) => {
    if (!allowed.test(what)) complaints.push(what);
  };
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complain(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => complain(`error: ${error.message}`));
  page.on("dialog", (dialog) => {
    complain(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(`${origin}/`)) complain(`request to ${request.url()}`);
  });
  page.on("response", (response) => {
    if (response.status() >= 400) complain(`status ${response.status()} of ${response.url()}`);
  });
  page.on("popup", () => complain("a window was opened"));
  complaintsOf.set(page, complaints);
  return page;
}

/** Closes a page; fails if the browser reported errors. */
export async function finish(page) {
  await page.context().close();
  assert.deepEqual(complaintsOf.get(page), [], "the browser complained");
}

/** Waits until a condition returns a true value. */
export async function eventually(what, condition, patience = 20_000) {
  const deadline = Date.now() + patience;
  for (;;) {
    const result = await condition();
    if (result) return result;
    if (Date.now() > deadline) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Checks the page with all rules of axe. */
export async function isAccessible(page, what) {
  // Not as a script element: the page's Content-Security-Policy would block it.
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const found = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.html + node.failureSummary).join("; ")}`);
  assert.deepEqual(found, [], `axe: ${what}`);
}

/** Makes the page refresh, and waits for the result. */
export async function refresh(page) {
  const answered = page.waitForResponse((response) => response.request().resourceType() === "fetch");
  await page.evaluate(() => dispatchEvent(new Event("online")));
  await (await answered).finished();
  // The page shows the response in the same task that reads it.
  await page.evaluate(() => new Promise((resolve) => setTimeout(resolve)));
}

/** The texts of a column of the list. */
export function column(page, label) {
  return page.locator(`#list td[data-label="${label}"]`).allInnerTexts();
}
