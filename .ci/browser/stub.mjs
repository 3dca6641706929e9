// A stub of Starlink's API on loopback, with answers that the test sets, including errors and hostile names.
import { createServer } from "node:http";

/** Starts the stub. The test can change the answer to polls at any time. */
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
