/** The front's bounds: slow, silent, deaf and too many viewers, and its end. */
import { assertEquals, assertMatch } from "@std/assert";
import fc from "fast-check";
import type { ProxySettings } from "../../proxy/mod.ts";
import { findEmptyLine, LastFields, OTHER, readRequest } from "../../runtime/front/request.ts";
import { eventually } from "../kit/mod.ts";
import { FakeServer, until } from "../kit/fake_server.ts";
import { exchange } from "../kit/wire.ts";
import { fakeServer, measured, testProxy } from "./kit.ts";

const ask = (port: number, rest = "") => `GET /x HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${rest}\r\n`;

/** A server that never comes to the end of its content. */
type Endless = FakeServer & {
  /** Content requests that came, and those that are being answered. */
  asked: number;
  busy: number;
};

function endless(): Endless {
  const server = new FakeServer(async (peer) => {
    for (let head = await peer.head(); head !== null; head = await peer.head()) {
      if (!head.startsWith("GET /-/")) {
        server.asked++;
        server.busy++;
        try {
          if (head.includes("/silent")) return void await peer.rest(() => false);
          await peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n");
          for (const piece = new Uint8Array(65_536);;) await peer.send(piece);
        } finally {
          server.busy--;
        }
      }
      const list = {
        servers: [{
          id: "a",
          url: server.url,
          provider: "p",
          region: "r",
          role: "origin",
          updated: { wallMs: "1", counter: 0, server: "a" },
        }],
      };
      const body = JSON.stringify(list);
      await peer.send(
        `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
    }
  }) as Endless;
  server.asked = server.busy = 0;
  return server;
}

async function withEndless(
  settings: Partial<ProxySettings>,
  run: (port: number, server: Endless) => Promise<void>,
): Promise<void> {
  await using server = endless();
  // deno-lint-ignore no-explicit-any
  await using proxy = await testProxy([{ url: server.url, others: [] } as any], {
    settings: { probeIntervalMs: 3_600_000, sampleIntervalMs: 3_600_000, ...settings },
  });
  await until(() => proxy.view().servers.length === 1, "the server to be known");
  await run(proxy.port, server);
}

Deno.test("a head that is not finished in time is a 408, and the connection is closed", async () => {
  await using a = fakeServer("a");
  await using proxy = await testProxy([a], { settings: { viewerHeadMs: 50 } });
  for (const start of ["G", ask(proxy.port).slice(0, -2), "POST /x HTTP/1.1\r\n"]) {
    assertMatch(await exchange(proxy.port, [start]), /^HTTP\/1\.1 408 .*\r\nconnection: close\r\n/);
  }
});

Deno.test("a viewer that is silent between requests is closed, without a word", async () => {
  await using a = fakeServer("a");
  await using proxy = await testProxy([a], { settings: { viewerIdleMs: 50 } });
  await measured(proxy, 1);
  assertEquals(await exchange(proxy.port, [""]), "");
  const answer = await exchange(proxy.port, [ask(proxy.port)]);
  assertMatch(answer, /^HTTP\/1\.1 200 OK\r\n/);
  assertEquals(answer.split("HTTP/1.1").length, 2);
});

Deno.test("a viewer that takes nothing of its answer is cut off, and its server's connection with it", () =>
  withEndless({ viewerIdleMs: 100 }, async (port, server) => {
    using conn = await Deno.connect({ hostname: "127.0.0.1", port });
    await conn.write(new TextEncoder().encode(ask(port)));
    await until(() => server.asked === 1 && server.busy === 0, "the server's connection to be closed");
  }));

Deno.test("a viewer that goes away takes the server's connection along, before the answer and in the middle", () =>
  withEndless({ headTimeoutMs: 60_000 }, async (port, server) => {
    for (const path of ["/silent", "/x"]) {
      const before = server.asked;
      const conn = await Deno.connect({ hostname: "127.0.0.1", port });
      await conn.write(new TextEncoder().encode(ask(port).replace("/x", path)));
      if (path === "/x") await conn.read(new Uint8Array(1000));
      await until(() => server.asked === before + 1, "the server to be asked");
      conn.close();
      await until(() => server.busy === 0, "the server's connection to be closed");
    }
  }));

Deno.test("more viewers than there may be are closed; when one leaves, another may come", async () => {
  await using a = fakeServer("a");
  await using proxy = await testProxy([a], { settings: { mostViewers: 2 } });
  await measured(proxy, 1);
  const first = await Deno.connect({ hostname: "127.0.0.1", port: proxy.port });
  const second = await Deno.connect({ hostname: "127.0.0.1", port: proxy.port });
  try {
    assertEquals(await exchange(proxy.port, [ask(proxy.port)]), "");
  } finally {
    first.close();
  }
  let answer = "";
  for (let tries = 0; tries < 1000 && answer === ""; tries++) {
    answer = await exchange(proxy.port, [ask(proxy.port, "Connection: close\r\n")]);
  }
  second.close();
  assertMatch(answer, /^HTTP\/1\.1 200 /);
});

Deno.test("closing ends what is idle at once, lets answers finish, and cuts what takes too long", async () => {
  const server = fakeServer("a");
  const proxy = await testProxy([server]);
  await measured(proxy, 1);
  server.bytesPerSecond = 4000;
  const idle = await Deno.connect({ hostname: "127.0.0.1", port: proxy.port });
  const running = exchange(proxy.port, [ask(proxy.port)]);
  await until(() => server.seen.length > 0, "the answer to begin");
  const closing = proxy.close(20_000);
  assertEquals(await idle.read(new Uint8Array(10)), null);
  idle.close();
  const answer = await running;
  assertEquals([answer.slice(0, 15), answer.length - answer.indexOf("\r\n\r\n") - 4], ["HTTP/1.1 200 OK", 1000]);
  await closing;
  await server[Symbol.asyncDispose]();

  await withEndless({}, async (port, endlessServer) => {
    using conn = await Deno.connect({ hostname: "127.0.0.1", port });
    await conn.write(new TextEncoder().encode(ask(port)));
    await until(() => endlessServer.asked === 1);
    // The proxy is closed with a short grace by withEndless; it must not wait for the end of the answer.
  });
});

Deno.test("the address behind the front answers nobody else", async () => {
  await using a = fakeServer("a");
  const before = await listening();
  await using proxy = await testProxy([a]);
  await measured(proxy, 1);
  if (before.length === 0) return; // Not Linux: its list of sockets cannot be read.
  // The system's list is not read in one piece: where sockets come and go, one of it may be missing in it.
  await eventually(async () => {
    const behind = (await listening()).filter((port) => !before.includes(port) && port !== proxy.port);
    const asked = behind.map((port) => exchange(port, [ask(proxy.port, "Connection: close\r\n")]));
    const answered = (await Promise.allSettled(asked)).map((one) => one.status === "fulfilled" ? one.value : "");
    assertEquals(answered.filter((text) => text.includes("metacdn-route")), []);
    return answered.some((text) => /^HTTP\/1\.1 403 [\s\S]*for the program itself only/.test(text));
  }, { what: "a refusal by the address behind the front" });
});

/** The loopback ports that somebody listens on; empty where they cannot be read. */
async function listening(): Promise<number[]> {
  try {
    const { stdout } = await new Deno.Command("cat", { args: ["/proc/net/tcp"] }).output();
    return new TextDecoder().decode(stdout).split("\n").map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[3] === "0A").map((fields) => parseInt(fields[1]!.split(":")[1]!, 16));
  } catch {
    return [];
  }
}

Deno.test("what is read as a request is exactly that", () => {
  const host = "Host: a.example\r\n";
  const rows: [head: string, is: string | null][] = [
    [`GET /x?y=1 HTTP/1.1\r\n${host}\r\n`, "GET a.example /x?y=1"],
    [`HEAD http://B.example:80/x HTTP/1.1\r\n${host}\r\n`, "HEAD b.example:80 /x?"],
    [`GET /x HTTP/1.1\r\n${host}Connection: Keep-Alive\r\n\r\n`, "GET a.example /x?"],
    [`GET /x HTTP/1.1\r\n\r\n`, null],
    [`GET /x HTTP/1.1\r\n${host}${host}\r\n`, null],
    [`GET /x HTTP/1.0\r\n${host}\r\n`, null],
    [`PUT /x HTTP/1.1\r\n${host}\r\n`, null],
    [`get /x HTTP/1.1\r\n${host}\r\n`, null],
    [`GET  /x HTTP/1.1\r\n${host}\r\n`, null],
    [`GET x HTTP/1.1\r\n${host}\r\n`, null],
    [`GET //x HTTP/1.1\r\n${host}\r\n`, null],
    [`GET /x#y HTTP/1.1\r\n${host}\r\n`, null],
    [`GET / HTTP/1.1\r\n${host}\r\n`, "GET a.example /?"],
    [`GET https://a/x HTTP/1.1\r\n${host}\r\n`, null],
    [`GET http://u@a/x HTTP/1.1\r\n${host}\r\n`, null],
    [`GET /x HTTP/1.1\n${host}\r\n`, null],
    [`GET /x HTTP/1.1\r\nHost: a.example\n\r\n`, null],
    [`GET /x HTTP/1.1\r\nHost: a b\r\n\r\n`, null],
    [`\r\nGET /x HTTP/1.1\r\n${host}\r\n`, null],
    ...[
      ...["Content-Length: 0", "Transfer-Encoding: chunked", "Expect: 100-continue", "Upgrade: h2c", "TE: trailers"],
      ...["Connection: close, x", "Connection: upgrade", "A : b", " a: b", "a", ": b", "A: \x7f", "A: \xe9", "A: b\rc"],
    ].map((line): [string, null] => [`GET /x HTTP/1.1\r\n${host}${line}\r\n\r\n`, null]),
  ];
  for (const [head, is] of rows) {
    const request = readRequest(head, new LastFields());
    const { method, target } = request === OTHER ? { method: null, target: null } : request;
    assertEquals(
      target && `${method} ${target.authority} ${target.path}?${target.query}`,
      is,
      head,
    );
  }
});

Deno.test("reading never throws, and the same fields read twice are the same", () => {
  const part = fc.constantFrom(
    "GET ",
    "/x",
    " HTTP/1.1",
    "\r\n",
    "\n",
    "Host: a",
    "Connection: close",
    ":",
    " ",
    "\0",
    "A: b",
  );
  fc.assert(fc.property(fc.array(part, { maxLength: 20 }), (parts) => {
    const text = parts.join("");
    const bytes = new TextEncoder().encode(text);
    const end = findEmptyLine(bytes, 0, 0, bytes.length);
    if (end < 0) return;
    const last = new LastFields();
    assertEquals(readRequest(text.slice(0, end), last), readRequest(text.slice(0, end), last));
  }));
});
