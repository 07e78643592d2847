import { assert, assertEquals, assertRejects } from "@std/assert";
import { CdnError } from "../../proto/mod.ts";
import { bodyInit } from "../../runtime/http1/body_source.ts";
import { forward } from "../../proxy/forward.ts";
import type { ForwardContext, Forwarded, ForwardRequest, Observation, Upstream } from "../../proxy/forwarding.ts";
import { createRawTransport } from "../../runtime/http1/raw_transport.ts";
import { FakeServer, type Peer, until } from "../kit/fake_server.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const SIZE = 20 * 1024 * 1024;
const TAG = '"v1"';

/** What a test works with: a context that keeps what it is told, and candidates by letters. */
interface Bench {
  seen: Observation[];
  ask(servers: (FakeServer | string)[], change?: Partial<ForwardRequest>): Promise<Forwarded>;
}

async function bench(
  run: (bench: Bench) => Promise<void>,
  timeouts: Partial<Pick<ForwardContext, "headTimeoutMs" | "idleTimeoutMs">> = {},
): Promise<void> {
  const transport = createRawTransport({ connectTimeoutMs: 5000 });
  const seen: Observation[] = [];
  const context: ForwardContext = {
    transport,
    observe: (observation) => seen.push(observation),
    now: () => 1234,
    headTimeoutMs: 20_000,
    idleTimeoutMs: 20_000,
    ...timeouts,
  };
  try {
    await run({
      seen,
      ask(servers, change = {}) {
        const candidates: Upstream[] = servers.map((server, at) => ({
          id: "abcdef"[at]!,
          origin: typeof server === "string" ? server : server.url,
        }));
        const request: ForwardRequest = {
          method: "GET",
          target: "/x",
          headers: [],
          body: null,
          bodyLength: null,
          signal: new AbortController().signal,
          ...change,
        };
        return forward(request, candidates, context);
      },
    });
  } finally {
    transport.close();
  }
}

async function textOf({ body }: Forwarded): Promise<string> {
  return await new Response(bodyInit(body)).text();
}

/** The origin of a server that is no more. */
async function nowhere(): Promise<string> {
  const server = new FakeServer(() => Promise.resolve());
  const { url } = server;
  await server[Symbol.asyncDispose]();
  return url;
}

const answer = (status: number, ...lines: string[]) =>
  FakeServer.answering(`HTTP/1.1 ${[`${status} X`, ...lines].join("\r\n")}\r\nContent-Length: 3\r\n\r\n${status}`);

Deno.test("the first candidate answers, and it is told how it went", () =>
  bench(async ({ ask, seen }) => {
    await using a = FakeServer.answering(OK);
    await using b = FakeServer.answering(OK);
    for (const reused of [false, true]) {
      const forwarded = await ask([a, b]);
      assertEquals([forwarded.status, forwarded.server.id, forwarded.failed, await textOf(forwarded)], [
        200,
        "a",
        [],
        "ok",
      ]);
      const last = seen.at(-1)!;
      assertEquals([last.serverId, last.outcome, last.status, last.bytes, last.size, last.atMs], [
        "a",
        "ok",
        200,
        2,
        2,
        1234,
      ]);
      assertEquals(last.connectMs === null, reused);
      assert(last.headMs! > 0);
    }
    assertEquals([a.accepted, b.accepted, seen.length], [1, 0, 2]);
  }));

Deno.test("GET goes on after each kind of failure", async (t) => {
  const hang = () => new FakeServer(async (peer) => void await peer.rest(() => false));
  const cases: [
    name: string,
    make: () => FakeServer | Promise<string>,
    outcome: Observation["outcome"],
    why: RegExp,
  ][] = [
    ["no connection", nowhere, "connect-failed", /Cannot connect/],
    ["no head in time", hang, "timeout", /in time/],
    ["a broken head", () => FakeServer.answering("HTTP/1.1 200 OK\nx"), "broken", /broken/],
    ["a close", () => new FakeServer(async (peer) => void await peer.head()), "broken", /ended/],
    ["500", () => answer(500), "server-error", /500/],
    ["501", () => answer(501), "server-error", /501/],
    ["503", () => answer(503), "server-error", /503/],
    ["404", () => answer(404), "ok", /404/],
  ];
  for (const [name, make, outcome, why] of cases) {
    for (const method of ["GET", "HEAD"]) {
      await t.step(`${name}, ${method}`, () =>
        bench(async ({ ask, seen }) => {
          const first = await make();
          await using good = FakeServer.answering(method === "GET" ? OK : OK.slice(0, -2));
          const forwarded = await ask([first, good], { method });
          assertEquals([forwarded.status, forwarded.server.id], [200, "b"]);
          assertEquals(forwarded.failed.map(({ id }) => id), ["a"]);
          assert(why.test(forwarded.failed[0]!.why), forwarded.failed[0]!.why);
          await textOf(forwarded);
          assertEquals(seen.map(({ serverId, outcome }) => [serverId, outcome]), [["a", outcome], ["b", "ok"]]);
          if (typeof first !== "string") await first[Symbol.asyncDispose]();
        }, { headTimeoutMs: name === "no head in time" ? 1000 : 20_000 }));
    }
  }
});

Deno.test("what is passed on where nobody has it", () =>
  bench(async ({ ask }) => {
    const gone = await nowhere();
    await using missing = answer(404);
    await using removed = answer(404, "metacdn-version: 1");
    await using faulty = answer(500);
    await using busy = answer(503, "Retry-After: 5");
    await using good = FakeServer.answering(OK);

    const all404 = await ask([missing, gone, faulty]);
    assertEquals([all404.status, all404.server.id, await textOf(all404)], [404, "a", "404"]);
    // A tombstone is an answer: the others are not asked.
    const tombstone = await ask([removed, good]);
    assertEquals([tombstone.status, tombstone.server.id, good.accepted], [404, "a", 0]);
    await textOf(tombstone);
    const real5xx = await ask([gone, busy, faulty]);
    assertEquals([real5xx.status, real5xx.server.id, await textOf(real5xx)], [503, "b", "503"]);
    assertEquals(real5xx.failed.map(({ id }) => id), ["a", "c"]);

    const error = await assertRejects(() => ask([gone, gone]), CdnError);
    assertEquals([error.source, error.status], ["origin", 502]);
    assert(/a: Cannot connect.*b: Cannot connect/.test(error.message), error.message);
    assertEquals((await assertRejects(() => ask([]), CdnError)).status, 502);
  }));

Deno.test("answers that nobody wants leave no connection open", () =>
  bench(async ({ ask }) => {
    const endless = (status: number) =>
      new FakeServer(async (peer) => {
        await peer.head();
        await peer.send(`HTTP/1.1 ${status} X\r\nContent-Length: 10000000\r\n\r\nabc`);
        await peer.rest(() => false);
      });
    await using a = endless(404);
    await using b = endless(500);
    await using c = endless(503);
    await using good = FakeServer.answering(OK);
    const answered = await ask([a, b, c, good]);
    assertEquals([answered.server.id, await textOf(answered)], ["d", "ok"]);
    await until(() => a.open + b.open + c.open === 0, "the connections to be closed");
  }));

Deno.test("504 where every server was too late", () =>
  bench(async ({ ask }) => {
    await using slow = new FakeServer(async (peer) => void await peer.rest(() => false));
    assertEquals((await assertRejects(() => ask([slow, slow]), CdnError)).status, 504);
  }, { headTimeoutMs: 30 }));

Deno.test("a method that changes something goes on only where no server saw it", () =>
  bench(async ({ ask }) => {
    const gone = await nowhere();
    const body = () => ReadableStream.from([new TextEncoder().encode("ab")]);
    await using good = new FakeServer(async (peer) => {
      const head = await peer.head() ?? "";
      if (head.startsWith("PUT")) await peer.rest((text) => text === "ab");
      await peer.send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    });
    const put = await ask([gone, good], { method: "PUT", body: body(), bodyLength: 2 });
    assertEquals([put.status, put.server.id], [201, "b"]);
    assertEquals((await ask([gone, good], { method: "DELETE" })).server.id, "b");

    const before = good.accepted;
    await using closing = new FakeServer(async (peer) => {
      await peer.head();
      await peer.rest((text) => text.length > 0);
    });
    await assertRejects(() => ask([closing, good], { method: "PUT", body: body(), bodyLength: 2 }), CdnError, "broken");
    await using deaf = new FakeServer(async (peer) => void await peer.head());
    await assertRejects(() => ask([deaf, good], { method: "POST" }), CdnError, "broken");
    await assertRejects(() => ask([deaf, good], { method: "DELETE" }), CdnError, "broken");
    await using faulty = answer(500);
    const passed = await ask([faulty, good], { method: "DELETE" });
    assertEquals([passed.status, passed.server.id, await textOf(passed)], [500, "a", "500"]);
    assertEquals(good.accepted, before);
  }));

Deno.test("a viewer who goes away before the head is no server's failure", () =>
  bench(async ({ ask, seen }) => {
    await using slow = new FakeServer(async (peer) => void await peer.rest(() => false));
    await using other = FakeServer.answering(OK);
    const abort = new AbortController();
    const asking = assertRejects(() => ask([slow, other], { signal: abort.signal }), CdnError);
    await until(() => slow.open === 1);
    abort.abort();
    await asking;
    assertEquals([seen.map(({ outcome }) => outcome), other.accepted], [["viewer-left"], 0]);
    await until(() => slow.open === 0);
  }));

// ---- in the middle of a body

const whole = new Uint8Array(SIZE);
for (let at = 0; at < SIZE; at += 65_536) crypto.getRandomValues(whole.subarray(at, at + 65_536));

interface FileOptions {
  bytes?: Uint8Array;
  etag?: string | null;
  /** Stops after so many body bytes of one answer. */
  stopAfter?: number;
  /** Says nothing more, in place of closing. */
  pause?: boolean;
  /** Changes the head of the answer to a Range request. */
  partial?: (head: string) => string;
}

/** A server of one file that knows Range and If-Match, and its faults. */
function fileServer(
  { bytes = whole, etag = TAG, stopAfter = Infinity, pause = false, partial = (head) => head }: FileOptions = {},
): { server: FakeServer; requests: string[] } & AsyncDisposable {
  const requests: string[] = [];
  const server = new FakeServer(async (peer: Peer) => {
    for (let head = await peer.head(); head !== null; head = await peer.head()) {
      requests.push(head);
      const range = /^range: bytes=(\d+)-(\d+)\r$/m.exec(head);
      const [first, last] = range ? [Number(range[1]), Number(range[2])] : [0, bytes.length - 1];
      const match = /^if-match: (.*)\r$/m.exec(head)?.[1];
      if (match !== undefined && match !== etag) {
        await peer.send("HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n");
        continue;
      }
      const tag = etag === null ? "" : `ETag: ${etag}\r\n`;
      const length = `Content-Length: ${last - first + 1}\r\n`;
      await peer.send(
        range
          ? partial(
            `HTTP/1.1 206 Partial Content\r\n${tag}${length}Content-Range: bytes ${first}-${last}/${bytes.length}\r\n\r\n`,
          )
          : `HTTP/1.1 200 OK\r\n${tag}${length}\r\n`,
      );
      const end = Math.min(last + 1, first + stopAfter);
      for (let at = first; at < end; at += 65_536) await peer.send(bytes.subarray(at, Math.min(end, at + 65_536)));
      if (end <= last) {
        if (pause) await peer.rest(() => false);
        return;
      }
    }
  });
  return { server, requests, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

async function bytesOf({ body }: Forwarded): Promise<Uint8Array> {
  return new Uint8Array(await new Response(bodyInit(body)).arrayBuffer());
}

function assertSame(actual: Uint8Array, expected: Uint8Array): void {
  assertEquals(actual.length, expected.length);
  for (let at = 0; at < actual.length; at++) if (actual[at] !== expected[at]) throw new Error(`byte ${at} differs`);
}

Deno.test("a server killed in the middle of 20 MiB: the next goes on, bit for bit", () =>
  bench(async ({ ask, seen }) => {
    await using a = fileServer();
    await using b = fileServer();
    const forwarded = await ask([a.server, b.server], { headers: [["accept", "image/*"], ["if-none-match", '"old"']] });
    const parts: Uint8Array<ArrayBuffer>[] = [];
    let read = 0;
    for await (const part of bodyInit(forwarded.body) as ReadableStream<Uint8Array<ArrayBuffer>>) {
      if (read < 5e6 && read + part.length >= 5e6) a.server.kill();
      read += part.length;
      parts.push(part);
    }
    assertSame(new Uint8Array(await new Blob(parts).arrayBuffer()), whole);
    const [first, second] = seen;
    assertEquals([first!.serverId, first!.outcome, second!.serverId, second!.outcome], ["a", "broken", "b", "ok"]);
    assertEquals(first!.bytes + second!.bytes, SIZE);
    assertEquals([first!.size, second!.size], [SIZE, SIZE]);
    const [resumed] = b.requests;
    assert(resumed!.includes(`range: bytes=${first!.bytes}-${SIZE - 1}\r\n`), resumed);
    assert(resumed!.includes(`if-match: ${TAG}\r\n`) && resumed!.includes("accept: image/*\r\n"));
    assert(!resumed!.includes("if-none-match"));
  }));

Deno.test("bodies that go on, and bodies that must not", async (t) => {
  const small = whole.subarray(0, 300_000);
  const cut = { bytes: small, stopAfter: 100_000 };
  const other = whole.subarray(1, 300_001);
  const cases: [name: string, first: FileOptions, next: FileOptions[], whole: boolean][] = [
    ["server after server, and round again", cut, [{ ...cut }, { ...cut, stopAfter: 1000 }], true],
    ["the same server once more", cut, [], true],
    ["after a pause", { ...cut, pause: true }, [{ bytes: small }], true],
    ["past one that has another version", { ...cut, stopAfter: 250_000 }, [{ bytes: other, etag: '"v2"' }, {
      bytes: small,
    }], true],
    ["bytes at every place", { ...cut, stopAfter: 0 }, [{ bytes: small }], true],
    ["nobody left", { ...cut, stopAfter: 0 }, [{ bytes: small, stopAfter: 0 }], false],
    ["no entity tag", { ...cut, etag: null }, [{ bytes: small, etag: null }], false],
    ["a weak entity tag", { ...cut, etag: 'W/"v1"' }, [{ bytes: small, etag: 'W/"v1"' }], false],
  ];
  for (const [name, first, next, good] of cases) {
    await t.step(name, () =>
      bench(async ({ ask }) => {
        await using stack = new AsyncDisposableStack();
        const servers = [first, ...next].map((options) => stack.use(fileServer(options)).server);
        const forwarded = await ask(servers);
        if (good) assertSame(await bytesOf(forwarded), small);
        else await assertRejects(() => bytesOf(forwarded));
      }, { idleTimeoutMs: first.pause ? 1000 : 20_000 }));
  }
});

Deno.test("an answer that is not the rest is never mixed in", async (t) => {
  const small = whole.subarray(0, 300_000);
  const lies: [name: string, partial: (head: string) => string][] = [
    ["another entity tag", (head) => head.replace(TAG, '"v2"')],
    ["no entity tag", (head) => head.replace(/ETag: .*\r\n/, "")],
    ["another start", (head) => head.replace(/bytes (\d+)-/, (_, at) => `bytes ${Number(at) - 1}-`)],
    ["another size", (head) => head.replace("/300000", "/300001")],
    ["no Content-Range", (head) => head.replace(/Content-Range: .*\r\n/, "")],
    ["a whole answer", (head) => head.replace("206", "200")],
    ["another length", (head) => head.replace(/Content-Length: (\d+)/, (_, n) => `Content-Length: ${Number(n) - 1}`)],
  ];
  for (const [name, partial] of lies) {
    await t.step(name, () =>
      bench(async ({ ask }) => {
        await using a = fileServer({ bytes: small, stopAfter: 100_000, partial });
        await using b = fileServer({ bytes: small, partial });
        await assertRejects(async () => bytesOf(await ask([a.server, b.server])));
        assertEquals(b.requests.length, 1, "it is not asked again");
      }));
  }
});

Deno.test("a rest that is shorter than promised loses no byte", () =>
  bench(async ({ ask }) => {
    const small = whole.subarray(0, 300_000);
    await using a = fileServer({ bytes: small, stopAfter: 100_000 });
    await using b = new FakeServer(async (peer) => {
      const first = Number(/^range: bytes=(\d+)-/m.exec((await peer.head())!)![1]);
      await peer.send(
        `HTTP/1.1 206 Partial Content\r\nETag: ${TAG}\r\nTransfer-Encoding: chunked\r\n` +
          `Content-Range: bytes ${first}-299999/300000\r\n\r\n`,
      );
      const size = new TextEncoder().encode("1388\r\n");
      const end = new TextEncoder().encode("\r\n0\r\n\r\n"); // with the last bytes in one part
      await peer.send(new Uint8Array([...size, ...small.subarray(first, first + 5000), ...end]));
    });
    await using c = fileServer({ bytes: small });
    assertSame(await bytesOf(await ask([a.server, b, c.server])), small);
  }));

Deno.test("a range goes on where it stood", () =>
  bench(async ({ ask, seen }) => {
    await using a = fileServer({ stopAfter: 100_000 });
    await using b = fileServer();
    const forwarded = await ask([a.server, b.server], { headers: [["range", "bytes=1000000-1999999"]] });
    assertEquals(forwarded.status, 206);
    assertSame(await bytesOf(forwarded), whole.subarray(1_000_000, 2_000_000));
    assert(b.requests[0]!.includes(`range: bytes=${1_000_000 + seen[0]!.bytes}-1999999\r\n`));
    assertEquals(b.requests[0]!.match(/range:/g)!.length, 1);
  }));

Deno.test("a viewer who goes away in the middle closes the connection", () =>
  bench(async ({ ask, seen }) => {
    await using a = fileServer();
    const forwarded = await ask([a.server]);
    const reader = (bodyInit(forwarded.body) as ReadableStream<Uint8Array>).getReader();
    await reader.read();
    await reader.cancel();
    await until(() => a.server.open === 0);
    assertEquals(seen.map(({ outcome }) => outcome), ["viewer-left"]);
  }));

Deno.test("a slow viewer is told from a slow server, and is no failure", async (t) => {
  const pause = () => new Promise((resolve) => setTimeout(resolve, 60));
  await t.step("viewer", () =>
    bench(async ({ ask, seen }) => {
      await using a = fileServer({ bytes: whole.subarray(0, 300_000) });
      const { body } = await ask([a.server]);
      let read = 0;
      for await (const part of bodyInit(body) as ReadableStream<Uint8Array>) {
        read += part.length;
        if (read < 300_000) await pause();
      }
      const [only] = seen;
      assertEquals([read, only!.outcome, only!.viewerBound, only!.bytes], [300_000, "ok", true, 300_000]);
    }, { idleTimeoutMs: 5_000 }));
  await t.step("server", () =>
    bench(async ({ ask, seen }) => {
      await using a = new FakeServer(async (peer) => {
        await peer.head();
        await peer.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n");
        for (const piece of "abc") {
          await pause();
          await peer.send(piece);
        }
      });
      assertEquals(await textOf(await ask([a])), "abc");
      const [only] = seen;
      assertEquals([only!.viewerBound, only!.bytes], [false, 3]);
      assert(only!.bodyMs >= 100);
    }));
});
