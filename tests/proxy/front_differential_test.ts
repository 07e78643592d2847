/** The front answers as `Deno.serve` behind it does: random requests, valid and broken, to a proxy with and without. */
import { assert } from "@std/assert";
import fc from "fast-check";
import { serveProxy } from "../../proxy/mod.ts";
import { measured, testProxy } from "./kit.ts";
import { answers, assertSameAnswers, cutAt, exchange, requestText } from "../kit/wire.ts";
import { FakeServer } from "../kit/fake_server.ts";

const BIG = "0123456789abcdef".repeat(20_000);
const LIST = (url: string) =>
  JSON.stringify({
    servers: [{
      id: "a",
      url,
      provider: "p",
      region: "r",
      role: "origin",
      updated: { wallMs: "1", counter: 0, server: "a" },
    }],
  });

/** A server whose answers are chosen by their path, in every framing that there is. */
function manyFaced(): FakeServer {
  const server: FakeServer = new FakeServer(async (peer) => {
    for (let head = await peer.head(); head !== null; head = await peer.head()) {
      const [line] = head.split("\r\n");
      const [method, target] = line!.split(" ") as [string, string];
      const path = target.split("?")[0]!;
      const tagged = `ETag: "v1"\r\nContent-Type: text/plain\r\nX-Asked: ${line}\r\n`;
      const answer = (status: string, fields: string, body: string) =>
        peer.send(`HTTP/1.1 ${status}\r\n${fields}\r\n${method === "HEAD" ? "" : body}`);
      const whole = (status: string, body: string, fields = tagged) =>
        answer(status, `${fields}Content-Length: ${body.length}\r\n`, body);
      const range = /^range: bytes=(\d{1,5})-(\d{1,5})\r$/im.exec(head);
      if (target === "/-/v1/servers") {
        await whole("200 OK", LIST(server.url), "Content-Type: application/json\r\n");
      } else if (path === "/-/healthz") await whole("200 OK", "{}");
      else if (/^if-none-match: "v1"\r$/im.test(head)) await answer("304 Not Modified", tagged, "");
      else if (range && Number(range[1]) <= Number(range[2])) {
        const body = BIG.slice(Number(range[1]), Number(range[2]) + 1);
        await whole(
          "206 Partial Content",
          body,
          `${tagged}Content-Range: bytes ${range[1]}-${range[2]}/${BIG.length}\r\n`,
        );
      } else if (path === "/big") await whole("200 OK", BIG);
      else if (path === "/empty") await whole("200 OK", "");
      else if (path === "/chunked") {
        await answer(
          "200 OK",
          `${tagged}Transfer-Encoding: chunked\r\n`,
          "5;x=y\r\nhello\r\n3\r\n you\r\n0\r\nT: 1\r\n\r\n",
        );
      } else if (path === "/chunks") {
        await answer("200 OK", `${tagged}Transfer-Encoding: chunked\r\n`, "");
        if (method === "HEAD") continue;
        const parts = [BIG.slice(0, 100_000), "a", BIG].map((part) => `${part.length.toString(16)}\r\n${part}\r\n`);
        await peer.send(...parts, "0\r\n\r\n");
      } else if (path === "/close") {
        await answer("200 OK", `${tagged}Connection: close\r\n`, "until the end");
        return;
      } else if (path === "/cut") { // No entity tag: nobody can go on with it.
        await answer("200 OK", "Content-Length: 400000\r\n", BIG.slice(0, 150_000));
        return;
      } else if (path === "/dead") return;
      else if (path === "/missing") await whole("404 Not Found", "not here", "Metacdn-Version: 1\r\n");
      else if (path === "/nothing") await answer("204 No Content", "", "");
      else if (path === "/odd") {
        await whole("299 Odd", "x", "X-Up: \xe9\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nVia: 1.1 up\r\n");
      } else if (path === "/teapot") await whole("418 I'm a teapot", "short and stout");
      else await whole("200 OK", `plain ${target}`);
    }
  });
  return server;
}

const path = fc.constantFrom(
  ...[
    "/x",
    "/big",
    "/empty",
    "/chunked",
    "/chunks",
    "/close",
    "/missing",
    "/nothing",
    "/odd",
    "/teapot",
    "/",
    "/-/healthz",
  ],
  ...[
    "/-",
    "/-/none",
    "//x",
    "/../x",
    "/a/%2e%2e/b",
    "/%2D/x",
    "/a%2fb",
    "/%00",
    "/%zz",
    "/a b",
    '/a"b',
    "/a|b",
    "/\xe9",
  ],
  ...["/x?", "/x?a=b&c=%20", "/x?a#b", "/x#b", `/${"a".repeat(2000)}`, "/caf%C3%A9.jpg", "*", "x", ""],
);
const field = fc.constantFrom(
  ...["Accept: */*", "accept-encoding: gzip", "X-A: b", "X-Empty:", "X-Tab:\tb", "X-High: \xe9", "Cookie: a=b; c=d"],
  ...["Range: bytes=0-9", "Range: bytes=9-3", "Range: bytes=100-70000", 'If-None-Match: "v1"', 'If-Match: "v1"'],
  ...["Via: 1.1 other", "Via: 1.1 me", "X-Forwarded-For: 192.0.2.1", "Forwarded: for=x", "Origin: http://evil.example"],
  ...["Connection: keep-alive", "Connection: X-A", "Connection: upgrade", "Upgrade: websocket", "TE: trailers"],
  ...["Content-Length: 0", "Content-Length: x", "Transfer-Encoding: gzip", "Expect: 100-continue"],
  ...["Bad name: x", "NoColon", " folded", "X-Ctl: a\x01b", ": empty", "Proxy-Connection: keep-alive", "Keep-Alive: 5"],
);
const plainField = fc.constantFrom(
  "Accept: */*",
  "X-A: b",
  "Range: bytes=5-20",
  'If-None-Match: "v1"',
  "Via: 1.1 other",
);

/** `PORT` stands for the proxy's port, `SERVER` for the server's. */
const host = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom("127.0.0.1:PORT", "localhost:PORT", "cdn.example.com", "127.0.0.1:SERVER") },
  fc.constantFrom(
    "evil.example",
    "",
    "a b",
    "CDN.EXAMPLE.COM.",
    "cdn.example.com:",
    "cdn.example.com:99999",
    "[::1]:PORT",
  ),
);

const request = fc.record({
  method: fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom("GET", "GET", "GET", "HEAD") },
    fc.constantFrom("get", "PATCH", "CONNECT", "OPTIONS", "DELETE", "G@T"),
  ),
  path,
  form: fc.constantFrom(
    "origin",
    "origin",
    "origin",
    "http://127.0.0.1:SERVER",
    "http://CDN.example.com",
    "http://evil.example",
    "https://cdn.example.com",
  ),
  hosts: fc.oneof({ weight: 8, arbitrary: fc.tuple(host) }, fc.constant([]), fc.tuple(host, host)),
  fields: fc.oneof(
    { weight: 3, arbitrary: fc.uniqueArray(plainField, { maxLength: 4 }) },
    fc.array(field, { maxLength: 4 }),
  ),
  version: fc.oneof(
    { weight: 12, arbitrary: fc.constant("HTTP/1.1") },
    fc.constantFrom("HTTP/1.0", "HTTP/2.0", "HTTP/1.1 ", ""),
  ),
  eol: fc.oneof({ weight: 15, arbitrary: fc.constant("\r\n") }, fc.constant("\n")),
}).map(({ path, form, ...rest }) => ({
  method: rest.method,
  bytes: (last: boolean) => requestText({ ...rest, target: form === "origin" ? path : `${form}${path}` }, last),
}));

/** Runs a test with two proxies before one server: the front before `Deno.serve`, and `Deno.serve` alone. */
async function withBoth(
  run: (ask: (text: string, methods: string[], cuts?: number[]) => Promise<void>, server: FakeServer) => Promise<void>,
): Promise<void> {
  await using server = manyFaced();
  const settings = {
    servers: [server.url],
    pricing: [],
    names: ["cdn.example.com"],
    // So that the two views, and with them the answers, do not differ by what happened meanwhile.
    probeIntervalMs: 20,
    sampleIntervalMs: 3_600_000,
  };
  const address = { hostname: "127.0.0.1", port: 0 };
  const front = await serveProxy({ id: "me", settings }, { address });
  const bare = await serveProxy({ id: "me", settings: { ...settings, front: false } }, { address });
  try {
    await measured(front, 1);
    await measured(bare, 1);
    await run(async (text, methods, cuts = []) => {
      const ask = async (port: number) => {
        const bytes = text.replaceAll("PORT", String(port)).replaceAll("SERVER", new URL(server.url).port);
        const got = await exchange(port, cutAt(bytes, cuts));
        return answers(got.replaceAll(String(port), "PORT"), methods);
      };
      const [one, other] = await Promise.all([ask(front.port), ask(bare.port)]);
      assertSameAnswers(one, other, methods, text);
    }, server);
  } finally {
    await Promise.all([front.close(2000), bare.close(2000)]);
  }
}

Deno.test("random requests, one a connection, get the same answer by the front as without it", () =>
  withBoth(async (ask) => {
    await fc.assert(
      fc.asyncProperty(request, ({ method, bytes }) => ask(bytes(true), [method])),
      { numRuns: 500 },
    );
  }));

Deno.test("so do requests that are sent in pieces, and several on a connection", () =>
  withBoth(async (ask) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(request, { minLength: 1, maxLength: 4 }),
        fc.array(fc.nat(2000), { maxLength: 4 }),
        (requests, cuts) => {
          const text = requests.map(({ bytes }, at) => bytes(at === requests.length - 1)).join("");
          return ask(text, requests.map(({ method }) => method), cuts);
        },
      ),
      { numRuns: 200 },
    );
  }));

Deno.test("a head may be split at every byte", () =>
  withBoth(async (ask) => {
    const text =
      "GET /x?y HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nX-A: b\r\n\r\nHEAD /big HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n" +
      "Connection: close\r\n\r\n";
    for (let cut = 1; cut < text.length; cut++) await ask(text, ["GET", "HEAD"], [cut]);
  }));

Deno.test("servers that die, before the answer and in the middle of it", () =>
  withBoth(async (ask, server) => {
    for (const path of ["/cut", "/dead", "/x"]) {
      await ask(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nConnection: close\r\n\r\n`, ["GET"]);
    }
    assert(server.accepted > 0);
  }));

Deno.test("bodies of requests, whatever follows them", () =>
  withBoth(async (ask) => {
    const host = "Host: 127.0.0.1:PORT\r\n";
    for (
      const follows of [
        "",
        `GET /x HTTP/1.1\r\n${host}Connection: close\r\n\r\n`,
        "GET /evil HTTP/1.1\r\nConnection: close\r\n\r\n",
      ]
    ) {
      for (
        const head of [
          `PUT /x HTTP/1.1\r\n${host}Content-Length: 5\r\n\r\nhello`,
          `GET /x HTTP/1.1\r\n${host}Content-Length: 5\r\n\r\nhello`,
          `GET /x HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
          `GET /x HTTP/1.1\r\n${host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
          `GET /x HTTP/1.1\r\n${host}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!`,
          `GET /x HTTP/1.1\r\n${host}\r\n`,
        ]
      ) await ask(head + (follows || `GET /x HTTP/1.1\r\n${host}Connection: close\r\n\r\n`), ["GET", "GET"]);
    }
  }));

Deno.test("the front is on unless it is turned off, and the address behind it is for nobody else", async () => {
  await using server = manyFaced();
  // deno-lint-ignore no-explicit-any
  await using proxy = await testProxy([{ url: server.url, others: [] } as any]);
  await measured(proxy, 1);
  const text = await exchange(proxy.port, [
    `GET /x HTTP/1.1\r\nHost: 127.0.0.1:${proxy.port}\r\nConnection: close\r\n\r\n`,
  ]);
  assert(text.startsWith("HTTP/1.1 200 OK\r\n") && text.includes("x-asked: GET /x"), text);
});
