// Takes the README's pictures of the demo.
import { finish, open } from "./check.mjs";

const PICTURES = [
  ["page-light", { viewport: { width: 1440, height: 1080 }, colorScheme: "light" }],
  ["page-dark", { viewport: { width: 1440, height: 1080 }, colorScheme: "dark" }],
  ["page-phone", { viewport: { width: 360, height: 780 }, deviceScaleFactor: 2, colorScheme: "light" }],
];

export async function takePictures({ browser, demo }, folder) {
  for (const [name, options] of PICTURES) {
    const page = await open(browser, demo.url, options);
    await page.goto(`${demo.url}/`);
    await page.waitForLoadState("networkidle");
    await page.screenshot({ path: `${folder}/${name}.png` });
    await finish(page);
  }
}
