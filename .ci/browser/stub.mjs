// Starlink's API as a few lines of JavaScript on loopback: it answers what a test wants, errors and hostile names included.
import { createServer } from "node:http";

/** Starts it. What it answers to polls is the test's to change at any time. */
export async function startStub() {
  const stub = { rows: () => [], columns: {}, enums: {}, status: 200, polls: 0 };
  const server = createServer((request, response) => {
    request.resume();
    request.on("end", () => {
      if (request.url.endsWith("/auth/connect/token")) {
        answer(response, 200, { access_token: "token", expires_in: 900, token_type: "Bearer" });
        return;
      }
      stub.polls += 1;
      if (stub.status !== 200) {
        answer(response, stub.status, { errors: [{ memberNames: [], errorMessage: "as the test wants" }] });
        return;
      }
      const body = { data: { values: stub.rows(), columnNamesByDeviceType: stub.columns }, metadata: { enums: stub.enums } };
      // A short linger: a change of the test's is seen at once.
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
  // Integers that JavaScript does not hold are written in hexadecimal digits until here.
  response.end(JSON.stringify(body).replace(/"(0x[0-9a-f]{15})"/g, (_, cell) => BigInt(cell)));
}
