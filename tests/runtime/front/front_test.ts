/** The front by itself: finished answers, pipelining, handing on, bounds, and TLS with HTTP/2 behind it. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { LiveValue } from "../../../runtime/live.ts";
import { newCa, newServer } from "../../certs/kit.ts";
import { until } from "../../kit/fake_server.ts";
import { eventually } from "../../kit/mod.ts";
import { answers, exchange } from "../../kit/wire.ts";
import { closing, finished, testFront } from "./kit.ts";

const ask = (path: string, fields = "", method = "GET") =>
  `${method} ${path} HTTP/1.1\r\nHost: a.example\r\n${fields}\r\n`;
const CLOSE = "Connection: close\r\n";

Deno.test("a finished answer is for whoever has no field that could change it; its 304 for who has its very tag", async () => {
  await using front = closing(testFront({ hotAnswers: { "/x": finished("hello") } }));
  const rows: [fields: string, is: string][] = [
    ["", "200 hello"],
    ["Cookie: a=b\r\nSec-Fetch-Mode: cors\r\nAccept: */*\r\nUser-Agent: x\r\n", "200 hello"],
    ['If-None-Match: "v1"\r\n', "304 "],
    ...[
      ...['If-None-Match: W/"v1"', "If-None-Match: *", 'If-None-Match: "v1", "v2"', "If-Match: *", "Range: bytes=0-1"],
      ...[
        "Authorization: x",
        "Cache-Control: no-cache",
        "Pragma: no-cache",
        "X-Unknown: 1",
        "Via: 1.1 a",
        "TE: trailers",
      ],
      ...["If-Modified-Since: Fri, 02 Jan 2026 03:04:06 GMT", "If-Range: x", "Max-Forwards: 0", "Content-Length: 0"],
    ].map((field): [string, string] => [`${field}\r\n`, "200 behind GET http://a.example/x 127.0.0.1"]),
  ];
  for (const [fields, is] of rows) {
    const [answer] = answers(await exchange(front.port, [ask("/x", fields + CLOSE)]), ["GET"]);
    assert(typeof answer === "object", `${fields}: ${answer}`);
    assertEquals(`${answer.status} ${answer.body}`, is, fields);
  }
  assertEquals(front.counts.finished, 3);
  const head = await exchange(front.port, [ask("/x", CLOSE, "HEAD")]);
  assertMatch(head, /^HTTP\/1\.1 200 OK\r\n[^]*content-length: 5\r\nconnection: close\r\n\r\n$/);
});

Deno.test("what came together is answered in order, also where one in the middle is for others", async () => {
  const long = "y".repeat(100_000);
  await using front = closing(testFront({
    hotAnswers: { "/x": finished("hello"), "/long": finished(long) },
    answer: ({ target: { path } }) => {
      if (path === "/none") return null;
      return Promise.resolve({ status: 200, headers: [["content-length", "2"]], body: "ok" });
    },
  }));
  const paths = [
    ..."xxxxx".split("").map(() => "/x"),
    "/other",
    "/long",
    "/x",
    "/long",
    ...Array(3000).fill("/x"),
    "/other",
  ];
  const text = paths.map((path) => ask(path)).join("");
  const bodies = (got: string, count: number) =>
    answers(got, Array(count).fill("GET")).map((answer) => typeof answer === "string" ? answer : answer.body);
  const meant = paths.map((path) => path === "/x" ? "hello" : path === "/long" ? long : "ok");
  const plain = await exchange(front.port, [text + ask("/x", CLOSE)]);
  assertEquals(bodies(plain, paths.length + 1), [...meant, "hello"]);
  // From the first that is for others, all of the connection is.
  const handedOn = await exchange(front.port, [ask("/x") + ask("/none") + ask("/x", CLOSE)]);
  assertEquals(bodies(handedOn, 3), [
    "hello",
    "behind GET http://a.example/none 127.0.0.1",
    "behind GET http://a.example/x 127.0.0.1",
  ]);
});

Deno.test("an application may take its time to find that a request is not for it", async () => {
  const waiting = Promise.withResolvers<null>();
  let asked = 0;
  await using front = closing(testFront({ answer: () => (asked++, waiting.promise) }));
  using conn = await Deno.connect({ hostname: "127.0.0.1", port: front.port });
  await conn.write(new TextEncoder().encode(ask("/x")));
  await until(() => asked === 1, "the application to be asked");
  waiting.resolve(null);
  const buffer = new Uint8Array(1000);
  const read = async () => new TextDecoder().decode(buffer.subarray(0, await conn.read(buffer) ?? 0));
  assertMatch(await read(), /behind GET http:\/\/a\.example\/x 127\.0\.0\.1$/);
  // What the front had begun to read comes through, too.
  await conn.write(new TextEncoder().encode(ask("/second")));
  assertMatch(await read(), /behind GET http:\/\/a\.example\/second 127\.0\.0\.1$/);
  assertEquals(asked, 1);
});

Deno.test("an application's errors are answers; an unknown one tells nothing", async () => {
  await using front = closing(testFront({
    answer: ({ target: { path } }) => {
      if (path === "/throws") throw new Error("secret");
      return Promise.reject(new Error("secret"));
    },
  }));
  for (const path of ["/throws", "/rejects"]) {
    const text = await exchange(front.port, [ask(path, CLOSE)]);
    assertMatch(text, /^HTTP\/1\.1 500 [^]*application\/problem\+json/);
    assert(!text.includes("secret"));
  }
});

Deno.test("long heads are read, longer ones are for others", async () => {
  await using front = closing(testFront({ hotAnswers: { "/x": finished("hello") } }));
  for (const [bytes, is] of [[900, "hello"], [5000, "hello"], [15_000, "hello"], [17_000, "behind"]] as const) {
    const text = await exchange(front.port, [
      ask("/x") + ask("/x", `Cookie: ${"a".repeat(bytes)}\r\n`) + ask("/x", CLOSE),
    ]);
    assert(text.includes(is), `${bytes}: ${text.slice(0, 300)}`);
    assertEquals(text.split("HTTP/1.1 ").length, 4);
  }
});

async function withTls(
  run: (front: ReturnType<typeof closing>, tls: { ca: string; renew: () => Promise<string> }) => Promise<void>,
  limits = {},
): Promise<void> {
  const nowMs = Date.now();
  const issue = async () => {
    const ca = await newCa("front", nowMs);
    return { ca: ca.certificate, pair: await newServer(ca, { names: ["localhost", "127.0.0.1"], nowMs }) };
  };
  const { ca, pair } = await issue();
  const source = new LiveValue(pair);
  await using front = closing(testFront({ hotAnswers: { "/x": finished("hello") }, tls: source, limits }));
  const renew = async () => {
    const next = await issue();
    source.set(next.pair);
    return next.ca;
  };
  await run(front, { ca, renew });
}

Deno.test("over TLS: HTTP/1.1 by the front, HTTP/2 and the rest by Deno.serve, which knows that it was https", () =>
  withTls(async (front, { ca }) => {
    for (const http2 of [false, true]) {
      using client = Deno.createHttpClient({ caCerts: [ca], http1: !http2, http2 });
      const get = async (path: string, init: RequestInit = {}) =>
        await (await fetch(`https://localhost:${front.port}${path}`, { client, ...init })).text();
      assertEquals(await get("/x"), http2 ? `behind GET https://localhost:${front.port}/x 127.0.0.1` : "hello");
      assertEquals(await get("/y"), `behind GET https://localhost:${front.port}/y 127.0.0.1`);
      assertEquals(
        await get("/z", { method: "PUT", body: "x".repeat(300_000) }),
        `behind PUT https://localhost:${front.port}/z 127.0.0.1`,
      );
    }
    assertEquals(front.counts.finished, 1);
  }));

Deno.test("over TLS an answer that closes the connection comes whole, with its end", () =>
  withTls(async (front, { ca }) => {
    using conn = await Deno.connectTls({ hostname: "localhost", port: front.port, caCerts: [ca] });
    await conn.write(new TextEncoder().encode(ask("/x", CLOSE)));
    const text = await new Response(conn.readable).text();
    assertMatch(text, /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\nhello$/);
  }));

Deno.test("a new certificate is for those who come after it; who is there stays", () =>
  withTls(async (front, { ca, renew }) => {
    const connect = async (caCert: string) => {
      const conn = await Deno.connectTls({ hostname: "localhost", port: front.port, caCerts: [caCert] });
      await conn.handshake();
      return conn;
    };
    const buffer = new Uint8Array(1000);
    using before = await connect(ca);
    for (let round = 0; round < 3; round++) {
      const newCa = await renew();
      // Whoever comes while the old listener ends may have to come again.
      using after = await eventually(() => connect(newCa), { what: "a connection by the new certificate" });
      for (const conn of [before, after]) {
        await conn.write(new TextEncoder().encode(ask("/x")));
        assertMatch(new TextDecoder().decode(buffer.subarray(0, (await conn.read(buffer))!)), /hello$/);
      }
    }
  }));

Deno.test("who never ends a handshake is closed", () =>
  withTls(async (front) => {
    for (const start of ["", "\x16\x03\x01", "GET / HTTP/1.1\r\n\r\n"]) {
      using conn = await Deno.connect({ hostname: "127.0.0.1", port: front.port });
      await conn.write(new TextEncoder().encode(start));
      // To its end, which only the front can bring about: we go on listening.
      while (await conn.read(new Uint8Array(100)).catch(() => null) !== null) { /* an alert */ }
    }
  }, { viewerHeadMs: 50 }));
