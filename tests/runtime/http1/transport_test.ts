import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { bodyInit } from "../../../runtime/http1/body_source.ts";
import { createRawTransport, type RawTransportOptions } from "../../../runtime/http1/raw_transport.ts";
import {
  type Transport,
  UpstreamError,
  type UpstreamRequest,
  type UpstreamResponse,
} from "../../../runtime/http1/transport.ts";
import { FakeServer, latin1, type Peer, until } from "../../kit/fake_server.ts";

const never = new AbortController().signal;

function request(origin: string, change: Partial<UpstreamRequest> = {}): UpstreamRequest {
  return { origin, method: "GET", target: "/x", headers: [], body: null, bodyLength: null, signal: never, ...change };
}

async function text(response: UpstreamResponse): Promise<string | null> {
  if (response.body === null) return null;
  return latin1(new Uint8Array(await new Response(bodyInit(response.body)).arrayBuffer()));
}

function stream(...pieces: string[]): ReadableStream<Uint8Array> {
  return ReadableStream.from(pieces.map((piece) => new TextEncoder().encode(piece)));
}

/** Runs a test with a transport, and closes what it holds. */
async function using_(
  run: (transport: Transport) => Promise<void>,
  options: RawTransportOptions = {},
): Promise<void> {
  const transport = createRawTransport(options);
  try {
    await run(transport);
  } finally {
    transport.close();
  }
}

/** What a client makes of one answer: its status and body, or the kind of error. */
async function outcome(transport: Transport, origin: string, change: Partial<UpstreamRequest> = {}): Promise<string> {
  try {
    const response = await transport.send(request(origin, change));
    return `${response.status} ${await text(response)}`;
  } catch (error) {
    assert(error instanceof UpstreamError, `${error}`);
    return error.kind;
  }
}

Deno.test("a request goes out as it should, and the answer's hop-by-hop fields stay behind", () =>
  using_(async (transport) => {
    let seen = "";
    await using server = new FakeServer(async (peer) => {
      seen = await peer.head() ?? "";
      await peer.send(
        "HTTP/1.1 200 OK\r\nX-Up: \xe9\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n" +
          'ETag: "a"\r\nContent-Length: 5\r\n\r\nhello',
      );
      await peer.head();
    });
    const response = await transport.send(
      request(server.url, { target: "/a%20b?c=d", headers: [["accept", "*/*"], ["x-down", "\xfc"]] }),
    );
    const host = server.url.slice("http://".length);
    assertEquals(seen, `GET /a%20b?c=d HTTP/1.1\r\nhost: ${host}\r\naccept: */*\r\nx-down: \xfc\r\n\r\n`);
    assertEquals(response.headers, [["x-up", "\xe9"], ["etag", '"a"'], ["content-length", "5"]]);
    assertEquals([response.status, response.contentLength, await text(response)], [200, 5, "hello"]);
    assertEquals(response.body!.done, true);
  }));

Deno.test("answers, and what becomes of them", async (t) => {
  const cases: [name: string, bytes: string, expected: string, method?: string][] = [
    ["length", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "200 abc"],
    ["no reason", "HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\nabc", "200 abc"],
    ["length said twice, alike", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "200 abc"],
    ["lengths that differ", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "broken"],
    ["a list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\nabcd", "broken"],
    ["negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "broken"],
    ["signed length", "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc", "broken"],
    ["hexadecimal length", "HTTP/1.1 200 OK\r\nContent-Length: 0x3\r\n\r\nabc", "broken"],
    [
      "length and coding",
      "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "broken",
    ],
    ["an unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "broken"],
    [
      "two codings",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "broken",
    ],
    ["coding in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "broken"],
    ["until the close", "HTTP/1.1 200 OK\r\n\r\nabc", "200 abc"],
    ["HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nabc", "200 abc"],
    ["cut short", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", "broken"],
    [
      "chunked",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\na\r\n02;x=y\r\nbc\r\n0\r\nT: v\r\n\r\n",
      "200 abc",
    ],
    ["chunked, empty", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "200 "],
    ["chunked, cut short", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "broken"],
    ["chunked, bare LF", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", "broken"],
    ["chunk without size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\n", "broken"],
    ["chunk of a signed size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n", "broken"],
    [
      "chunk longer than its size",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
      "broken",
    ],
    ["chunk beyond 2^53", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", "broken"],
    ["204", "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", "204 null"],
    ["304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", "304 null"],
    ["HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "200 null", "HEAD"],
    [
      "interim answers",
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
      "200 a",
    ],
    ["interim without end", "HTTP/1.1 100 Continue\r\n\r\n".repeat(30), "broken"],
    ["101", "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", "broken"],
    ["folded line", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n", "broken"],
    ["space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n", "broken"],
    ["no colon", "HTTP/1.1 200 OK\r\nContent-Length\r\n\r\n", "broken"],
    ["bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "broken"],
    ["bare CR", "HTTP/1.1 200 OK\r\nA: b\rc\r\nContent-Length: 0\r\n\r\n", "broken"],
    ["NUL", "HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n", "broken"],
    ["empty line first", "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "broken"],
    ["HTTP/2", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", "broken"],
    ["status 99", "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", "broken"],
    ["status 999", "HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n", "broken"],
    ["four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", "broken"],
    ["garbage", "SSH-2.0-OpenSSH_9.2\r\n", "broken"],
    ["nothing", "", "broken"],
    ["half a head", "HTTP/1.1 200 OK\r\nContent-", "broken"],
    ["200 lines", `HTTP/1.1 200 OK\r\n${"A: b\r\n".repeat(199)}Content-Length: 1\r\n\r\na`, "200 a"],
    ["201 lines", `HTTP/1.1 200 OK\r\n${"A: b\r\n".repeat(200)}Content-Length: 1\r\n\r\na`, "broken"],
    ["a head of 60 KiB", `HTTP/1.1 200 OK\r\nA: ${"b".repeat(60_000)}\r\nContent-Length: 1\r\n\r\na`, "200 a"],
    ["a head of 70 KiB", `HTTP/1.1 200 OK\r\nA: ${"b".repeat(70_000)}\r\nContent-Length: 1\r\n\r\na`, "broken"],
  ];
  for (const [name, bytes, expected, method = "GET"] of cases) {
    await t.step(name, () =>
      using_(async (transport) => {
        await using server = new FakeServer(async (peer) => {
          await peer.head();
          await peer.send(bytes);
          await peer.conn.closeWrite();
          await peer.rest(() => false);
        });
        assertEquals(await outcome(transport, server.url, { method }), expected);
        await until(() => server.open === 0, "the connection to be closed");
      }));
  }
});

Deno.test("any split of an answer reads the same", () =>
  using_(async (transport) => {
    const bodies = ["", "a", "hello".repeat(300)];
    const answers = bodies.flatMap((body) => [
      [`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\nA: b\r\n\r\n${body}`, body],
      [
        `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${
          body && `${body.length.toString(16)};ext\r\n${body}\r\n`
        }0\r\nTrailer: x\r\n\r\n`,
        body,
      ],
    ]) as [string, string][];
    let pieces: string[] = [];
    await using server = new FakeServer(async (peer) => {
      while (await peer.head() !== null) await peer.send(...pieces);
    });
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...answers),
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 6 }),
        async ([bytes, body], cuts) => {
          const places = [0, ...cuts.map((cut) => Math.floor(cut * bytes.length)).sort((a, b) => a - b), bytes.length];
          pieces = places.slice(1).map((end, at) => bytes.slice(places[at], end)).filter((piece) => piece !== "");
          assertEquals(await outcome(transport, server.url), `200 ${body}`);
        },
      ),
      { numRuns: 150 },
    );
    assertEquals(server.accepted, 1, "each answer was read exactly to its end");
  }));

Deno.test("garbage never hangs and never crashes", () =>
  using_(async (transport) => {
    let bytes = new Uint8Array();
    await using server = new FakeServer(async (peer) => {
      await peer.head();
      await peer.send(bytes);
    });
    const start = new TextEncoder().encode("HTTP/1.1 200 OK\r\n");
    const coded = new TextEncoder().encode("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    const printable = fc.string({
      unit: fc.constantFrom("\r", "\n", ":", " ", "a", "1", "0", ";", "\0", "\t"),
      maxLength: 60,
    });
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(new Uint8Array(), start, coded),
        fc.oneof(fc.uint8Array({ maxLength: 300 }), printable.map((text) => new TextEncoder().encode(text))),
        async (before, after) => {
          bytes = Uint8Array.from([...before, ...after]);
          await outcome(transport, server.url);
        },
      ),
      { numRuns: 200 },
    );
  }));

Deno.test("a connection is used again, and only where nothing follows the answer", () =>
  using_(async (transport) => {
    await using good = FakeServer.answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na");
    for (const reused of [false, true, true]) {
      const response = await transport.send(request(good.url));
      assertEquals([response.timing.reused, await text(response)], [reused, "a"]);
    }
    assertEquals(good.accepted, 1);

    // What follows would become the answer to the next request.
    await using evil = FakeServer.answering(
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    );
    for (const _ of [1, 2, 3]) assertEquals(await outcome(transport, evil.url), "200 a");
    assertEquals(evil.accepted, 3);

    await using closing = FakeServer.answering("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na");
    for (const _ of [1, 2]) assertEquals(await outcome(transport, closing.url), "200 a");
    assertEquals(closing.accepted, 2);
  }));

Deno.test("bytes that come while a connection is idle end it", () =>
  using_(async (transport) => {
    await using server = new FakeServer(async (peer) => {
      await peer.head();
      await peer.send(
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
      );
      await peer.rest(() => false);
    });
    assertEquals(await outcome(transport, server.url), "200 a");
    await until(() => server.open === 0, "the connection to be dropped");
    assertEquals(await outcome(transport, server.url), "200 a");
  }));

Deno.test("a pooled connection that its server closes under the request is replaced in silence", () =>
  using_(async (transport) => {
    await using server = new FakeServer(async (peer) => {
      await peer.head();
      await peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na");
      await peer.head(); // It has read the second request, and says nothing.
    });
    assertEquals(await outcome(transport, server.url), "200 a");
    assertEquals(await outcome(transport, server.url), "200 a");
    assertEquals(server.accepted, 2);
    // It may have acted on a POST, which is not sent twice: so it gets a connection that nobody is closing.
    assertEquals(await outcome(transport, server.url, { method: "POST" }), "200 a");
    assertEquals(server.accepted, 3);
  }));

Deno.test("idle connections are closed after a while, and when the transport is", () =>
  using_(async (transport) => {
    await using server = FakeServer.answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na");
    assertEquals(await outcome(transport, server.url), "200 a");
    await until(() => server.open === 0, "the idle connection to be closed");
    assertEquals(await outcome(transport, server.url), "200 a");
    transport.close();
    await until(() => server.open === 0, "the connection to be closed");
  }, { idleConnectionMs: 30 }));

Deno.test("no more than so many idle connections are kept", () =>
  using_(async (transport) => {
    await using server = FakeServer.answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na");
    await Promise.all(Array.from({ length: 8 }, () => outcome(transport, server.url)));
    await until(() => server.open <= 2, "the rest to be closed");
  }, { poolSize: 2 }));

Deno.test("request bodies", async (t) => {
  async function echo(peer: Peer, end: (text: string) => boolean): Promise<void> {
    const head = await peer.head() ?? "";
    const body = await peer.rest(end);
    const answer = `${head.split("\r\n").slice(2, -2).join("|")} ${body}`;
    await peer.send(`HTTP/1.1 200 OK\r\nContent-Length: ${answer.length}\r\n\r\n${answer}`);
  }
  await t.step("of a known length", () =>
    using_(async (transport) => {
      await using server = new FakeServer((peer) => echo(peer, (text) => text.length >= 6));
      const put = { method: "PUT", body: stream("abc", "", "def"), bodyLength: 6 };
      assertEquals(await outcome(transport, server.url, put), "200 content-length: 6 abcdef");
    }));
  await t.step("on a connection of their own", () =>
    using_(async (transport) => {
      await using server = new FakeServer(async (peer) => {
        while (await peer.head() !== null) await peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na");
      });
      assertEquals(await outcome(transport, server.url), "200 a");
      await outcome(transport, server.url, { method: "PUT", body: stream("abc"), bodyLength: 3 });
      assertEquals(server.accepted, 2);
    }));
  await t.step("of an unknown length", () =>
    using_(async (transport) => {
      await using server = new FakeServer((peer) => echo(peer, (text) => text.endsWith("0\r\n\r\n")));
      const put = { method: "PUT", body: stream("abc", "", "0123456789abcdefg") };
      assertEquals(
        await outcome(transport, server.url, put),
        "200 transfer-encoding: chunked 3\r\nabc\r\n11\r\n0123456789abcdefg\r\n0\r\n\r\n",
      );
    }));
  for (const [name, bodyLength] of [["shorter", 7], ["longer", 5]] as const) {
    await t.step(`${name} than its length`, () =>
      using_(async (transport) => {
        let seen = "";
        await using server = new FakeServer(async (peer) => {
          await peer.head();
          seen = await peer.rest(() => false);
        });
        const put = { method: "PUT", body: stream("abc", "def"), bodyLength };
        assertEquals(await outcome(transport, server.url, put), "aborted");
        await until(() => server.open === 0);
        assert(seen.length < bodyLength, "the server cannot take it for whole");
      }));
  }
  await t.step("that breaks off", () =>
    using_(async (transport) => {
      await using server = new FakeServer(async (peer) => {
        await peer.head();
        await peer.rest(() => false);
      });
      const body = new ReadableStream<Uint8Array>({
        pull(controller) {
          controller.error(new Error("the viewer is gone"));
        },
      });
      assertEquals(await outcome(transport, server.url, { method: "PUT", body, bodyLength: 9 }), "aborted");
      await until(() => server.open === 0);
    }));
  await t.step("an answer before their end reaches the caller", () =>
    using_(async (transport) => {
      await using server = new FakeServer(async (peer) => {
        await peer.head();
        await peer.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
        await peer.conn.closeWrite();
        await peer.rest(() => false);
      });
      let cancelled = false;
      const body = new ReadableStream<Uint8Array>({
        async pull(controller) {
          await new Promise((resolve) => setTimeout(resolve, 1));
          if (!cancelled) controller.enqueue(new Uint8Array(1000));
        },
        cancel() {
          cancelled = true;
        },
      });
      assertEquals(await outcome(transport, server.url, { method: "PUT", body }), "413 big");
      await until(() => cancelled && server.open === 0, "the sending to end");
    }));
  await t.step("a connection that cannot be made leaves them untouched", () =>
    using_(async (transport) => {
      const server = new FakeServer(() => Promise.resolve());
      const { url } = server;
      await server[Symbol.asyncDispose]();
      const body = stream("abc");
      const error = await assertRejects(
        () => transport.send(request(url, { method: "PUT", body, bodyLength: 3 })),
        UpstreamError,
      );
      assertEquals([error.kind, error.bodyTouched], ["connect", false]);
      assertEquals(await new Response(body).text(), "abc");
    }));
});

Deno.test("nothing can be slipped into a request", () =>
  using_(async (transport) => {
    await using server = FakeServer.answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    const evil: Partial<UpstreamRequest>[] = [
      { headers: [["a", "b\r\nc: d"]] },
      { headers: [["a", "b\nc: d"]] },
      { headers: [["a", "b\0"]] },
      { headers: [["a", "\u0100"]] },
      { headers: [["a\r\nb", "c"]] },
      { headers: [["a b", "c"]] },
      { headers: [["", "c"]] },
      { headers: [["content-length", "5"]] },
      { headers: [["transfer-encoding", "chunked"]] },
      { headers: [["host", "other"]] },
      { target: "/ HTTP/1.1\r\nA: b" },
      { target: "/a b" },
      { target: "" },
      { target: "http://other/" },
      { method: "GET /" },
    ];
    for (const change of evil) await assertRejects(() => transport.send(request(server.url, change)), TypeError);
    assertEquals(server.accepted, 0);
  }));

Deno.test("timeouts tell what was late, and close the connection", async (t) => {
  await t.step("the head", () =>
    using_(async (transport) => {
      await using server = new FakeServer(async (peer) => void await peer.rest(() => false));
      assertEquals(await outcome(transport, server.url, { headTimeoutMs: 30 }), "timeout");
      await until(() => server.open === 0);
    }));
  await t.step("the middle of the body", () =>
    using_(async (transport) => {
      await using server = new FakeServer(async (peer) => {
        await peer.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
        await peer.rest(() => false);
      });
      assertEquals(await outcome(transport, server.url, { idleTimeoutMs: 30 }), "timeout");
      await until(() => server.open === 0);
    }));
  await t.step("connecting; what connects too late is closed", async () => {
    let late = 0;
    const { promise, resolve } = Promise.withResolvers<void>();
    await using_(async (transport) => {
      assertEquals(await outcome(transport, "http://127.0.0.1:1"), "connect");
      resolve();
      await until(() => late === 1);
    }, {
      connectTimeoutMs: 30,
      connect: async () => {
        await promise;
        return { read: () => Promise.resolve(null), write: () => Promise.resolve(0), close: () => void late++ };
      },
    });
  });
  await t.step("a viewer's pause is no server's", () =>
    using_(async (transport) => {
      await using server = FakeServer.answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n",
        "a".repeat(200_000),
      );
      const response = await transport.send(request(server.url, { idleTimeoutMs: 1000 }));
      const reader = (bodyInit(response.body) as ReadableStream<Uint8Array>).getReader();
      let read = 0;
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        if (read === 0) await new Promise((resolve) => setTimeout(resolve, 1500));
        read += part.value.length;
      }
      assertEquals(read, 200_000);
    }));
  await t.step("nor where he takes in small parts what has come already", () =>
    using_(async (transport) => {
      await using server = FakeServer.answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        `2710\r\n${"a".repeat(10_000)}\r\n`,
        "0\r\n\r\n",
      );
      const { body } = await transport.send(request(server.url, { idleTimeoutMs: 300 }));
      const into = new Uint8Array(1000);
      let read = 0;
      for (let count = await body!.read(into); count !== null; count = await body!.read(into)) {
        read += count;
        if (read === 2000) await new Promise((resolve) => setTimeout(resolve, 900));
      }
      assertEquals(read, 10_000);
    }));
});

Deno.test("whoever goes away takes the connection along: 200 times, at every stage", () =>
  using_(async (transport) => {
    await using server = new FakeServer(async (peer) => {
      while (await peer.head() !== null) {
        await peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n", "a".repeat(100_000));
        await peer.rest(() => false);
      }
    });
    await Promise.all(Array.from({ length: 200 }, async (_, at) => {
      const abort = new AbortController();
      const sending = transport.send(request(server.url, { signal: abort.signal }));
      if (at % 4 === 0) {
        abort.abort();
        await assertRejects(() => sending, UpstreamError, "aborted");
        return;
      }
      const body = bodyInit((await sending).body);
      assert(body instanceof ReadableStream);
      if (at % 4 === 1) return body.cancel();
      const reader = body.getReader();
      await reader.read();
      if (at % 4 === 2) return reader.cancel();
      const rest = (async () => {
        while (!(await reader.read()).done) { /* until it fails */ }
      })();
      abort.abort();
      await assertRejects(() => rest, UpstreamError, "aborted");
    }));
    await until(() => server.open === 0, "every connection to be closed");
  }));

Deno.test("a handshake that fails is a connection that was not made", () => {
  let closed = 0;
  return using_(async (transport) => {
    assertEquals(await outcome(transport, "https://127.0.0.1:1"), "connect");
    assertEquals(closed, 1);
  }, {
    connectTls: () =>
      Promise.resolve({
        handshake: () => Promise.reject(new Error("a certificate of nobody's")),
        read: () => Promise.resolve(null),
        write: ({ length }) => Promise.resolve(length),
        close: () => void closed++,
      }),
  });
});

Deno.test("an aborted signal sends nothing", () =>
  using_(async (transport) => {
    assertEquals(await outcome(transport, "http://127.0.0.1:1", { signal: AbortSignal.abort() }), "aborted");
  }));

Deno.test("a large body comes whole, and slowly read does not pile up", () =>
  using_(async (transport) => {
    let sent = 0;
    const size = 30_000_000;
    await using server = new FakeServer(async (peer) => {
      await peer.head();
      await peer.send(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
      const piece = new Uint8Array(100_000);
      for (; sent < size; sent += piece.length) await peer.send(piece);
    });
    const body = bodyInit((await transport.send(request(server.url))).body);
    assert(body instanceof ReadableStream);
    const reader = body.getReader();
    let read = (await reader.read()).value!.length;
    let before = -1;
    while (before !== sent) { // Until the sockets between are full.
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert(sent < size, "the server is held back");
    for (let part = await reader.read(); !part.done; part = await reader.read()) read += part.value.length;
    assertEquals(read, size);
  }));
