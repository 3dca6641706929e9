// Takes the README's pictures: of the demo with two accounts, one of which is suspended.
import { eventually, finish, open } from "./check.mjs";
import { startService } from "./service.mjs";

const PICTURES = [
  ["page-light", "/", { viewport: { width: 1440, height: 1440 }, colorScheme: "light" }],
  ["page-dark", "/", { viewport: { width: 1440, height: 1440 }, colorScheme: "dark" }],
  ["page-phone", "/", { viewport: { width: 360, height: 780 }, deviceScaleFactor: 2, colorScheme: "light" }],
  ["lines-light", "/lines", { viewport: { width: 1440, height: 900 }, colorScheme: "light" }],
];

/** Waits until both inventories are read and some alerts are active. */
async function settled(demo) {
  const get = async (path) => (await fetch(`${demo.url}/api/v1/${path}`)).json();
  const isSettled = async () => {
    const { lines } = await get("lines?per_page=1000");
    const accounts = new Set(lines.filter((line) => line.data_use).map((line) => line.account));
    const { fleet } = await get("status");
    return accounts.size === 2 && fleet.alerts.length >= 3;
  };
  await eventually("inventories and alerts are there", isSettled, 120_000);
}

export async function takePictures({ browser, binary }, folder) {
  const demo = await startService(binary, ["demo", "--accounts", "2"]);
  try {
    await settled(demo);
    for (const [name, path, options] of PICTURES) {
      const page = await open(browser, demo.url, options);
      await page.goto(`${demo.url}${path}`);
      await page.waitForLoadState("networkidle");
      await page.screenshot({ path: `${folder}/${name}.png` });
      await finish(page);
    }
  } finally {
    await demo.stop();
  }
}
