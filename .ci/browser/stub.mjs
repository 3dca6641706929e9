// A stub of Starlink's API on loopback, with answers that the test sets, including errors and hostile names.
import { createServer } from "node:http";

/** The columns of a terminal's row. */
const COLUMNS = ["DeviceType", "UtcTimestampNs", "DeviceId", "DownlinkThroughput", "H3CellId", "ActiveAlerts"];

/** A terminal's row with the current time. Its location is an H3 cell in hexadecimal digits. */
export const row = (id, down, alerts = [], cell = null) => ["u", Date.now() * 1_000_000, id, down, cell, alerts];

/** Starts the stub. The test can change the answers at any time: `rows` and `isRefused` get a client ID. */
export async function startStub() {
  const stub = {
    rows: () => [],
    isRefused: () => false,
    columns: { u: COLUMNS },
    enums: { DeviceType: { u: "UserTerminal" }, AlertsByDeviceType: { u: { 1: "motors_stuck" } } },
    status: 200,
    polls: 0,
  };
  const server = createServer((request, response) => {
    let sent = "";
    request.on("data", (part) => (sent += part));
    request.on("end", () => {
      if (request.url.endsWith("/auth/connect/token")) {
        const client = new URLSearchParams(sent).get("client_id");
        if (stub.isRefused(client)) answer(response, 400, { error: "invalid_client" });
        else answer(response, 200, { access_token: `token-of-${client}`, expires_in: 900, token_type: "Bearer" });
        return;
      }
      const client = request.headers.authorization?.replace("Bearer token-of-", "");
      stub.polls += 1;
      if (stub.status !== 200) {
        answer(response, stub.status, { errors: [{ memberNames: [], errorMessage: "as the test wants" }] });
        return;
      }
      const body = { data: { values: stub.rows(client), columnNamesByDeviceType: stub.columns }, metadata: { enums: stub.enums } };
      // A short linger, so that changes of the test take effect soon.
      setTimeout(() => answer(response, 200, body), 200);
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  stub.url = `http://127.0.0.1:${server.address().port}`;
  stub.stop = () => {
    server.closeAllConnections();
    server.close();
  };
  return stub;
}

function answer(response, status, body) {
  response.writeHead(status, { "Content-Type": "application/json" });
  // H3 cells exceed the integers of JavaScript, so they are hexadecimal strings until here.
  response.end(JSON.stringify(body).replace(/"(0x[0-9a-f]{15})"/g, (_, cell) => BigInt(cell)));
}
