// Tests of the page with many accounts, one of which has a wrong secret.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { column, eventually, finish, isAccessible, open, refresh } from "./check.mjs";
import { startService } from "./service.mjs";
import { row, startStub } from "./stub.mjs";

/** The name of an account. */
const ship = (number) => `ship-${String(number).padStart(2, "0")}`;

/** Starts the program with so many accounts; those with the client IDs `refused` have a wrong secret. All end with the test. */
export async function withAccounts(binary, count, refused, test) {
  const stub = await startStub();
  const folder = mkdtempSync(join(tmpdir(), "starlink-accounts-"));
  const file = join(folder, "accounts.yml");
  const names = Array.from({ length: count }, (_, index) => ship(index + 1));
  const entry = (name) => `  - {name: ${name}, client_id: client-${name}, client_secret: secret-of-${name}}\n`;
  writeFileSync(file, `accounts:\n${names.map(entry).join("")}`);
  stub.isRefused = (client) => refused.includes(client.replace("client-", ""));
  stub.rows = (client) => [1, 2].map((number) => row(`ut-${client.replace("client-", "")}-${number}`, number));
  const settings = { ACCOUNTS_FILE: file, BATCH_SIZE: "1000", MAX_LINGER: "1000", POLLS_PER_MINUTE: "20", API_URL: stub.url };
  const service = await startService(binary, [], settings);
  try {
    await test(service);
  } finally {
    await service.stop();
    stub.stop();
    rmSync(folder, { recursive: true });
  }
}

/** Waits until one account fails and all others have delivered their two devices. */
function settled(page, accounts) {
  return eventually("all accounts have polled", async () => {
    await page.reload();
    const found = Number(await page.locator("#found").innerText());
    return found === 2 * (accounts - 1) && /1 of \d+ accounts fails/.test(await page.locator("#verdict").innerText());
  });
}

const shown = (page) => page.locator("#accounts tr[data-key]:visible");

async function manyAccounts({ browser, binary }) {
  await withAccounts(binary, 40, [ship(7)], async (service) => {
    const page = await open(browser, service.url, { viewport: { width: 360, height: 740 }, hasTouch: true });
    await page.goto(`${service.url}/`);
    await settled(page, 40);
    const remedy = "Check client_id and client_secret of account ship-07 in ACCOUNTS_FILE.";
    assert.equal(await shown(page).count(), 1, "one account has a problem");
    const text = await shown(page).innerText();
    for (const part of ["ship-07", "Failing", "Starlink rejected the credentials", "invalid_client", remedy]) {
      assert.ok(text.includes(part), `${part}: ${text}`);
    }
    const summary = page.getByText("39 accounts without problems");
    await isAccessible(page, "40 accounts");
    await summary.click();
    assert.equal(await shown(page).count(), 40);
    const [width, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(width <= room, `${width} in ${room}`);
    const small = await page.locator("#accounts a, #accounts summary").evaluateAll((all) =>
      all.map((one) => [one, one.getBoundingClientRect()]).filter(([, box]) => box.height < 24 || box.width < 24).map(([one]) => one.textContent),
    );
    assert.deepEqual(small, [], "targets below 24 pixels");
    await isAccessible(page, "40 unfolded accounts");
    await refresh(page);
    assert.equal(await shown(page).count(), 40, "a refresh folds nothing");
    await page.locator('tr[data-key="ship-12"]').getByRole("link", { name: "2 online of ship-12" }).click();
    await page.waitForURL(/state=online&account=ship-12/);
    await eventually("its devices are listed", async () => (await column(page, "Account")).join() === "ship-12,ship-12");
    assert.equal(await page.locator("#filter select[name=account]").inputValue(), "ship-12");
    await page.getByRole("link", { name: "ut-ship-12-2" }).click();
    await page.waitForURL(/\/device\?/);
    assert.match(await page.locator("#about").innerText(), /Account\s+ship-12/);
    await finish(page);
  });
}

async function fewAccounts({ browser, binary }) {
  await withAccounts(binary, 3, [ship(2)], async (service) => {
    const page = await open(browser, service.url, { javaScriptEnabled: false, allowed: /404/ });
    await page.goto(`${service.url}/`);
    await settled(page, 3);
    assert.equal(await page.locator("details").count(), 0);
    assert.deepEqual(await page.locator("#accounts tbody th").allInnerTexts(), ["ship-02", "ship-01", "ship-03"]);
    await page.locator("#list thead").getByRole("link", { name: "Account" }).click();
    await page.waitForURL(/sort=account/);
    assert.equal(await page.locator('th[aria-sort="ascending"]').innerText(), "Account");
    const answer = await page.goto(`${service.url}/?account=ship-99`);
    assert.equal(answer.status(), 404);
    assert.match(await page.getByRole("alert").innerText(), /unknown account "ship-99"/);
    await finish(page);
  });
}

export const accounts = { manyAccounts, fewAccounts };
