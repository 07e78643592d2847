/** Clients that begin something and never end it: they get no more than their own connection. */
import { assert, assertEquals } from "@std/assert";
import { drained, rawRequest, startTestServer, type TestServer } from "../kit/mod.ts";
import { measured, testProxy } from "../proxy/kit.ts";

const MANY = 100;
const SIZE = 8 << 20;

/** Connections that have sent `text`; disposal closes them. */
async function hold(port: number, text: string): Promise<Disposable & { conns: Deno.TcpConn[] }> {
  const conns: Deno.TcpConn[] = [];
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < MANY; at++) {
    const conn = await Deno.connect({ hostname: "127.0.0.1", port });
    conns.push(conn);
    await conn.write(bytes);
  }
  return { conns, [Symbol.dispose]: () => conns.forEach((conn) => conn.close()) };
}

/** Heads that never end, bodies that never come, answers that nobody reads: whatever else is asked is answered. */
async function holdsAgainst(port: number, ask: () => Promise<void>): Promise<void> {
  const host = "host: 127.0.0.1";
  const texts = [
    "",
    "GET /x HTT",
    `GET /x HTTP/1.1\r\n${host}\r\n`,
    `GET /x HTTP/1.1\r\n${host}\r\nx: y`,
    `PUT /slow HTTP/1.1\r\n${host}\r\ncontent-length: ${SIZE}\r\n\r\nabc`,
    `PUT /slow HTTP/1.1\r\n${host}\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab`,
    `GET /big HTTP/1.1\r\n${host}\r\n\r\n`,
  ];
  for (const text of texts) {
    using held = await hold(port, text);
    for (let round = 0; round < 3; round++) {
      // A drop more from each, as a slow client does.
      await Promise.all(held.conns.map((conn) => conn.write(new Uint8Array([0x79])).catch(() => {})));
      await ask();
    }
  }
  await ask();
}

async function started(): Promise<TestServer> {
  const server = await startTestServer({ id: "a" });
  assertEquals((await drained(server.fetch("/x", { method: "PUT", body: "small" }))).status, 201);
  assertEquals((await drained(server.fetch("/big", { method: "PUT", body: new Uint8Array(SIZE) }))).status, 201);
  return server;
}

Deno.test("a server goes on while a hundred clients send or read without end, and keeps nothing of theirs", async () => {
  await using server = await started();
  await holdsAgainst(server.port, async () => {
    assertEquals(await (await server.fetch("/x")).text(), "small");
    assertEquals((await drained(server.fetch("/y", { method: "PUT", body: "another" }))).ok, true);
  });
  assertEquals((await drained(server.fetch("/slow", { method: "HEAD" }))).status, 404);
  assertEquals((await (await server.fetch("/big")).bytes()).length, SIZE);
});

Deno.test("a proxy goes on while a hundred clients send or read without end", async () => {
  await using server = await started();
  const face = { url: server.url, others: [] };
  // deno-lint-ignore no-explicit-any
  await using proxy = await testProxy([face as any]);
  await measured(proxy, 1);
  await holdsAgainst(proxy.port, async () => {
    const answer = await fetch(`${proxy.url}/x`);
    assertEquals([answer.status, await answer.text()], [200, "small"]);
  });
  assertEquals((await drained(server.fetch("/slow", { method: "HEAD" }))).status, 404);
  assertEquals((await (await fetch(`${proxy.url}/big`)).bytes()).length, SIZE);
});

Deno.test("through a proxy: a body shorter than it said is no object, and floods of fields are refused", async () => {
  await using server = await started();
  const face = { url: server.url, others: [] };
  // deno-lint-ignore no-explicit-any
  await using proxy = await testProxy([face as any]);
  await measured(proxy, 1);
  const host = `host: 127.0.0.1:${proxy.port}`;
  const put = (lines: string[], body: string) =>
    rawRequest(proxy.port, ["PUT /short HTTP/1.1", host, ...lines, "", body].join("\r\n"), { end: true });
  for (
    const [lines, body] of [
      [["content-length: 10"], "abc"],
      [["transfer-encoding: chunked"], "3\r\nabc\r\n"],
      [["transfer-encoding: chunked"], "zz\r\nabc\r\n"],
      [["content-length: -1"], "abc"],
      [["content-length: 3", "content-length: 4"], "abc"],
      [["content-length: 3", "transfer-encoding: chunked"], "abc"],
    ] as const
  ) {
    const { status } = await put([...lines], body);
    assert(status === 0 || (status >= 400 && status !== 500), `${lines}: ${status}`);
    assertEquals((await drained(server.fetch("/short", { method: "HEAD" }))).status, 404, String(lines));
  }
  for (const lines of [Array.from({ length: 5000 }, (_, at) => `x-${at}: y`), [`x: ${"y".repeat(2_000_000)}`]]) {
    const head = ["GET /x HTTP/1.1", host, ...lines, "connection: close", "", ""].join("\r\n");
    const { status } = await rawRequest(proxy.port, head);
    assert([0, 400, 431].includes(status), String(status));
  }
  const answer = await fetch(`${proxy.url}/x`);
  assertEquals([answer.status, await answer.text()], [200, "small"]);
});
