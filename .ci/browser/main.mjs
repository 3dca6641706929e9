// Tests of the page in a real browser: main.mjs BINARY [FOLDER FOR PICTURES]
import { mkdirSync } from "node:fs";
import { accounts } from "./accounts.mjs";
import { startBrowser } from "./check.mjs";
import { quick, slow } from "./demo.mjs";
import { faults } from "./faults.mjs";
import { proxied } from "./proxy.mjs";
import { takePictures } from "./pictures.mjs";
import { startService } from "./service.mjs";

const [binary, pictures] = process.argv.slice(2);
const browser = await startBrowser();
const demo = await startService(binary, ["demo"]);
const world = { browser, demo, binary };
let [passed, failed] = [0, 0];

async function run(name, test) {
  const start = Date.now();
  try {
    await test(world);
    passed += 1;
    console.log(`ok ${name} (${Date.now() - start} ms)`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${name}: ${error.stack}`);
  }
}

async function runAll(tests) {
  const only = process.env.ONLY;
  for (const [name, test] of Object.entries(tests)) {
    if (!only || only === name) await run(name, test);
  }
}

try {
  // Tests that wait for the demo's time run concurrently with the others.
  await Promise.all([runAll(slow), runAll({ ...quick, proxied }).then(() => runAll({ ...faults, ...accounts }))]);
  if (pictures) {
    mkdirSync(pictures, { recursive: true });
    await takePictures(world, pictures);
  }
} finally {
  await browser.close();
  await demo.stop();
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
