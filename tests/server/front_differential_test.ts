/** The front answers as `Deno.serve` behind it does: random requests, valid and broken, to one server by two doors. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { type Front, openFront } from "../../runtime/front/mod.ts";
import { listen } from "../../runtime/listen.ts";
import { silentLogger } from "../../runtime/log.ts";
import { frontDefaults, parsePolicy } from "../../server/mod.ts";
import { eventually, startTestServer, type TestServer } from "../kit/mod.ts";
import { answers, assertSameAnswers, cutAt, exchange, requestText } from "../kit/wire.ts";

const BIG = "0123456789abcdef".repeat(20_000);
const MODIFIED = "Sun, 06 Nov 1994 08:49:37 GMT";
/** Path as sent, and content. */
const OBJECTS: [path: string, body: string][] = [
  ["/small.txt", "hello"],
  ["/empty.txt", ""],
  ["/page.html", "<p>".repeat(400)],
  ["/middle.bin", BIG.slice(0, 100_000)],
  ["/big.bin", BIG],
  ["/caf%C3%A9.jpg", "not a picture"],
  ["/live/now.m3u8", "#EXTM3U"],
];

/** One server behind both doors. */
interface Doors {
  server: TestServer;
  front: Front;
  /** Sends the same bytes to both, and compares what comes back. `PORT` stands for the port. */
  ask(text: string, methods: string[], cuts?: number[]): Promise<void>;
}

async function withBoth(run: (doors: Doors) => Promise<void>): Promise<void> {
  await using server = await startTestServer({
    front: false,
    policy: parsePolicy(
      JSON.stringify({ rules: [{ glob: "/live/**", noStore: true }, { glob: "/**", maxAgeSeconds: 60 }] }),
    ),
  });
  const { server: { handler, application } } = server;
  const address = { hostname: "127.0.0.1", port: 0 };
  const rest = { handler, log: silentLogger, token: null };
  const front = openFront(address, { application, limits: frontDefaults, ...rest });
  const bare = listen(address, handler, rest);
  try {
    for (const [path, body] of OBJECTS) {
      const headers = { "metacdn-meta-author": "J%C3%B6rg", "last-modified": MODIFIED };
      const put = await server.fetch(path, { method: "PUT", body, headers });
      await put.body?.cancel();
      assertEquals(put.status, 201);
    }
    const etags = new Map<string, string>();
    for (const [path] of OBJECTS) {
      const head = await server.fetch(path, { method: "HEAD" });
      etags.set(path, head.headers.get("etag")!);
    }
    const ask = async (text: string, methods: string[], cuts: number[] = []) => {
      const one = async (port: number) => {
        const bytes = text.replaceAll("PORT", String(port))
          .replaceAll(/ETAG(\d)/g, (_, at) => etags.get(OBJECTS[Number(at)]![0])!);
        const got = (await exchange(port, cutAt(bytes, cuts))).replaceAll(String(port), "PORT");
        for (const answer of got.split(/(?=HTTP\/1\.1 \d{3} )/)) {
          const [head] = answer.split("\r\n\r\n");
          const [expires, date] = ["expires", "date"].map((name) =>
            new RegExp(`^${name}: (.*)\r?$`, "m").exec(head!)?.[1]
          );
          if (expires) assertEquals(Date.parse(expires) - Date.parse(date!), 60_000, head);
        }
        // They tell the second that they were made in, and a boundary is random.
        const still = got.replaceAll(/^expires: .*$/gm, "expires: date").replaceAll(
          /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}/g,
          "boundary",
        );
        return answers(still, methods);
      };
      const [mine, other] = await Promise.all([one(front.port), one(bare.port)]);
      assertSameAnswers(mine, other, methods, text);
    };
    await run({ server, front, ask });
  } finally {
    await Promise.all([front.close(2000), bare.close(2000)]);
  }
}

/** Asks until the answers are finished ones. */
async function heat({ front, ask }: Doors): Promise<void> {
  for (const [path] of OBJECTS) {
    await eventually(async () => {
      const before = front.counts.finished;
      await ask(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nConnection: close\r\n\r\n`, ["GET"]);
      return front.counts.finished > before;
    }, { what: `a finished answer to ${path}` });
  }
}

const path = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...OBJECTS.map(([path]) => path)) },
  fc.constantFrom(
    ...["/none", "/", "/-", "/-/healthz", "/-/none", "//small.txt", "/../small.txt", "/a/%2e%2e/small.txt", "/%2D/x"],
    ...[
      "/small.txt?",
      "/small.txt?a=b",
      "/small.txt#x",
      "/sm%61ll.txt",
      "/a%2fb",
      "/%00",
      "/%zz",
      "/a b",
      "/caf\xe9.jpg",
    ],
    ...[`/${"a".repeat(2000)}`, "*", "small.txt", ""],
  ),
);
const plainField = fc.constantFrom(
  ...["Accept: */*", "User-Agent: x", "Cookie: a=b", "Sec-Fetch-Mode: cors", "Accept-Encoding: gzip, br"],
  ...["Referer: http://x/", "DNT: 1", "Priority: u=1", "Upgrade-Insecure-Requests: 1", "Connection: keep-alive"],
  ...["If-None-Match: ETAG0", "If-None-Match: ETAG4", "If-None-Match: *", "If-None-Match: W/ETAG0"],
  ...['If-None-Match: "x", ETAG0', 'If-None-Match: "x"', "If-None-Match:"],
);
const field = fc.constantFrom(
  ...["Range: bytes=0-3", "Range: bytes=-2", "Range: bytes=2-", "Range: bytes=9-3", "Range: bytes=0-1,3-4", "Range: x"],
  ...["Range: bytes=100-300000", "Range: bytes=262143-262145", "Range: bytes=999999999-", "Range: bytes=0-1,300000-"],
  ...["If-Range: ETAG0", 'If-Range: "x"', `If-Range: ${MODIFIED}`, "If-Match: ETAG0", 'If-Match: "x"', "If-Match: *"],
  ...[`If-Modified-Since: ${MODIFIED}`, "If-Modified-Since: x", `If-Unmodified-Since: ${MODIFIED}`],
  ...[
    "Cache-Control: no-cache",
    "Pragma: no-cache",
    "Authorization: Bearer x",
    "Origin: http://evil.example",
    "Via: 1.1 x",
  ],
  ...[
    "Connection: X-A",
    "Connection: upgrade",
    "Upgrade: websocket",
    "TE: trailers",
    "X-A: b",
    "X-Tab:\tb",
    "X-High: \xe9",
  ],
  ...["Content-Length: 0", "Content-Length: x", "Transfer-Encoding: gzip", "Expect: 100-continue", "Max-Forwards: 0"],
  ...["Bad name: x", "NoColon", " folded", "X-Ctl: a\x01b", ": empty", "Proxy-Connection: keep-alive", "Keep-Alive: 5"],
);
const host = fc.constantFrom(
  "127.0.0.1:PORT",
  "127.0.0.1:PORT",
  "cdn.example.com",
  "",
  "a b",
  "[::1]:PORT",
  "X.:99999",
);

const request = fc.record({
  method: fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom("GET", "GET", "GET", "HEAD") },
    fc.constantFrom("get", "PATCH", "CONNECT", "OPTIONS", "G@T"),
  ),
  path,
  form: fc.oneof({ weight: 6, arbitrary: fc.constant("") }, fc.constantFrom("http://127.0.0.1:PORT", "https://x.y")),
  hosts: fc.oneof({ weight: 8, arbitrary: fc.tuple(host) }, fc.constant([]), fc.tuple(host, host)),
  fields: fc.oneof(
    { weight: 4, arbitrary: fc.uniqueArray(plainField, { maxLength: 4 }) },
    { weight: 2, arbitrary: fc.array(field, { maxLength: 1 }) },
    fc.array(fc.oneof(field, plainField), { maxLength: 4 }),
  ),
  version: fc.oneof(
    { weight: 12, arbitrary: fc.constant("HTTP/1.1") },
    fc.constantFrom("HTTP/1.0", "HTTP/2.0", "HTTP/1.1 ", ""),
  ),
  eol: fc.oneof({ weight: 15, arbitrary: fc.constant("\r\n") }, fc.constant("\n")),
}).map(({ path, form, ...rest }) => ({
  method: rest.method,
  bytes: (last: boolean) => requestText({ ...rest, target: `${form}${path}` }, last),
}));

Deno.test("random requests, one a connection, get the same answer by the front as without it", () =>
  withBoth(async (doors) => {
    await heat(doors);
    await fc.assert(
      fc.asyncProperty(request, ({ method, bytes }) => doors.ask(bytes(true), [method])),
      { numRuns: 1500 },
    );
    const { finished, answered, tunnelled } = doors.front.counts;
    assert(finished > 100 && answered > 100 && tunnelled > 100, JSON.stringify(doors.front.counts));
  }));

Deno.test("so do requests that are sent in pieces, and several on a connection", () =>
  withBoth(async (doors) => {
    await heat(doors);
    await fc.assert(
      fc.asyncProperty(
        fc.array(request, { minLength: 1, maxLength: 5 }),
        fc.array(fc.nat(2000), { maxLength: 4 }),
        (requests, cuts) => {
          const text = requests.map(({ bytes }, at) => bytes(at === requests.length - 1)).join("");
          return doors.ask(text, requests.map(({ method }) => method), cuts);
        },
      ),
      { numRuns: 500 },
    );
  }));

Deno.test("a head may be split at every byte", () =>
  withBoth(async (doors) => {
    await heat(doors);
    const text =
      "GET /small.txt HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nCookie: b\r\n\r\nHEAD /big.bin HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n" +
      "Connection: close\r\n\r\n";
    for (let cut = 1; cut < text.length; cut++) await doors.ask(text, ["GET", "HEAD"], [cut]);
  }));

Deno.test("bodies of requests, whatever follows them", () =>
  withBoth(async (doors) => {
    await heat(doors);
    const host = "Host: 127.0.0.1:PORT\r\n";
    const last = `GET /small.txt HTTP/1.1\r\n${host}Connection: close\r\n\r\n`;
    for (
      const head of [
        `GET /small.txt HTTP/1.1\r\n${host}Content-Length: 5\r\n\r\nhello`,
        `GET /small.txt HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
        `GET /small.txt HTTP/1.1\r\n${host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
        `GET /small.txt HTTP/1.1\r\n${host}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!`,
        `GET /small.txt HTTP/1.1\r\n${host}Content-Length: 40\r\n\r\n`,
        `GET /small.txt HTTP/1.1\r\n${host}\r\n`,
      ]
    ) {
      await doors.ask(head + last, ["GET", "GET"]);
    }
  }));

Deno.test("what is written over or deleted is never answered from memory afterwards", () =>
  withBoth(async (doors) => {
    const { front, server } = doors;
    await heat(doors);
    const get = async () => {
      const text = await exchange(front.port, ["GET /small.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"]);
      return `${text.slice(9, 12)} ${text.split("\r\n\r\n")[1]}`;
    };
    for (let round = 0; round < 200; round++) {
      // Others ask at the same time, so that answers are being made while the content changes.
      const asking = Array.from({ length: 4 }, get);
      const put = await server.fetch("/small.txt", { method: "PUT", body: `round ${round}` });
      await put.body?.cancel();
      assertEquals(await get(), `200 round ${round}`);
      await Promise.all(asking);
      if (round % 10 !== 0) continue;
      const before = front.counts.finished;
      await eventually(async () => (await get(), front.counts.finished > before), { what: "a finished answer" });
      assertEquals(await get(), `200 round ${round}`);
      const gone = await server.fetch("/small.txt", { method: "DELETE" });
      await gone.body?.cancel();
      assertEquals((await get()).slice(0, 3), "404");
    }
  }));
