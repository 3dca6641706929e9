// Runs the program for a test, and ends it by its process ID.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Starts the program and waits until it responds. */
export async function startService(binary, words, settings = {}) {
  const port = await freePort();
  const environment = { PATH: process.env.PATH, METRICS_ADDRESS: "127.0.0.1", METRICS_PORT: `${port}`, RUST_LOG: "warn", ...settings };
  // In an empty folder, so that no .env is read.
  const cwd = mkdtempSync(join(tmpdir(), "starlink-browser-"));
  const child = spawn(binary, words, { cwd, env: environment, stdio: ["ignore", "inherit", "inherit"] });
  const ended = new Promise((resolve) => child.on("exit", resolve));
  const url = `http://127.0.0.1:${port}`;
  const deadline = Date.now() + 20_000;
  for (;;) {
    const isThere = await fetch(`${url}/livez`).then((answer) => answer.ok, () => false);
    if (isThere) break;
    if (child.exitCode !== null || Date.now() > deadline) throw new Error(`${binary} does not serve`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return {
    url,
    freeze: () => child.kill("SIGSTOP"),
    thaw: () => child.kill("SIGCONT"),
    async stop() {
      child.kill("SIGCONT");
      child.kill("SIGKILL");
      await ended;
      rmSync(cwd, { recursive: true });
    },
  };
}
