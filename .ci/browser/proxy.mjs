// Tests of the page behind a real nginx that serves it under a path: no link, asset or request leads outside of the path.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually, finish, isAccessible, open, refresh } from "./check.mjs";
import { freePort } from "./service.mjs";

/** Starts nginx as a proxy of a service under `/starlink/`, with its files in a temporary folder. */
async function startProxy(target) {
  const folder = mkdtempSync(join(tmpdir(), "starlink-nginx-"));
  const port = await freePort();
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/${name};`);
  writeFileSync(
    `${folder}/nginx.conf`,
    `daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/error.log;
    events {}
    http {
      access_log off; ${paths.join(" ")}
      server { listen 127.0.0.1:${port}; location /starlink/ { proxy_pass ${target}/; } }
    }`,
  );
  const child = spawn("nginx", ["-c", `${folder}/nginx.conf`, "-e", `${folder}/error.log`, "-p", folder], { stdio: "inherit" });
  const ended = new Promise((resolve) => child.on("exit", resolve));
  const url = `http://127.0.0.1:${port}`;
  await eventually("nginx serves", () => fetch(`${url}/starlink/livez`).then((answer) => answer.ok, () => false));
  return {
    url,
    async stop() {
      child.kill("SIGTERM");
      await ended;
      rmSync(folder, { recursive: true });
    },
  };
}

export async function proxied({ browser, demo }) {
  const proxy = await startProxy(demo.url);
  try {
    // A request outside of the proxy's path is an error.
    const home = `${proxy.url}/starlink`;
    const page = await open(browser, home, { allowed: /404/ });
    const rows = page.locator("#list tbody tr[data-key]");
    await page.goto(`${home}/`);
    await eventually("terminals are there", async () => (await page.reload()) && (await rows.count()) >= 10);
    await refresh(page);
    assert.equal(await page.locator("#silence").isVisible(), false);
    const style = await page.evaluate(() => getComputedStyle(document.querySelector("main")).display);
    assert.equal(style, "grid", "the style sheet has come");
    assert.equal(await page.evaluate(() => document.documentElement.classList.contains("lively")), true, "so has the script");
    await eventually("the land is drawn", () => page.locator("#map .land").evaluate((land) => land.getBBox().width > 3000));
    await page.getByLabel("Search").fill("ut");
    await page.waitForURL(/\/starlink\/\?search=ut/);
    await page.locator("#map svg").click({ position: { x: 60, y: 60 } });
    await page.waitForURL(/\/starlink\/\?.*near=/);
    await page.goto(`${home}/?type=UserTerminal&sort=-id`);
    const links = await page.locator("a").evaluateAll((all) => all.map((link) => link.href));
    for (const link of links) assert.ok(link.startsWith(`${home}/`), link);
    for (const link of new Set(links.map((link) => link.split("#")[0]))) {
      assert.equal((await fetch(link)).status, 200, link);
    }
    await rows.first().locator("a").click();
    await page.waitForURL(/\/starlink\/device\?/);
    for (const link of await page.locator("a").evaluateAll((all) => all.map((link) => link.href))) {
      assert.equal((await fetch(link)).status, 200, link);
    }
    await refresh(page);
    await page.getByRole("link", { name: "Back to the list" }).click();
    await page.waitForURL(/\/starlink\/\?type=UserTerminal&sort=-id/);
    await page.goto(`${home}/no/such/page`);
    await isAccessible(page, "a page that is not there, behind a proxy");
    await page.getByRole("link", { name: "Exporter and fleet" }).click();
    await page.waitForURL(`${home}/`);
    const description = await (await fetch(`${home}/api/v1/openapi.json`)).json();
    const server = new URL(description.servers[0].url, `${home}/api/v1/openapi.json`).href.replace(/\/$/, "");
    assert.equal((await fetch(`${server}/api/v1/status`)).status, 200);
    await finish(page);
  } finally {
    await proxy.stop();
  }
}
