import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Link, type LinkShape } from "../../../cli/up/link.ts";
import { CdnError } from "../../../proto/mod.ts";

/** A server behind a link: `/small` is two bytes, `/bytes/N` is N of them, PUT counts what it is sent. */
async function behind(shape: LinkShape, use: (link: Link) => Promise<void>): Promise<void> {
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (request) => {
    const { pathname } = new URL(request.url);
    if (request.method === "PUT") {
      let count = 0;
      for await (const chunk of request.body!) count += chunk.length;
      return new Response(String(count));
    }
    return new Response(pathname === "/small" ? "ok" : new Uint8Array(Number(pathname.slice("/bytes/".length))));
  });
  const link = new Link(shape, { target: { hostname: "127.0.0.1", port: server.addr.port } });
  try {
    await use(link);
  } finally {
    await link.close();
  }
}

/** Milliseconds until `work` is done. */
async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

async function readToEnd(conn: Deno.Conn): Promise<Uint8Array> {
  const parts: number[] = [];
  const buffer = new Uint8Array(64 << 10);
  for (let count; (count = await conn.read(buffer)) !== null;) parts.push(...buffer.subarray(0, count));
  return new Uint8Array(parts);
}

async function writeAll(conn: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}

/** Polls until `look` holds. */
async function until(look: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 20_000;
  while (!await look()) {
    assert(Date.now() < end, "the condition did not come true");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

Deno.test("link: a request and its answer take at least the round trip", async () => {
  await behind({ rttMs: 40, bytesPerSecond: 2_000_000 }, async (link) => {
    const client = Deno.createHttpClient({});
    for (let at = 0; at < 10; at++) {
      const took = await timed(() => fetch(`${link.url}/small`, { client }).then((answer) => answer.text()));
      // Each of the two timers may be early by the half millisecond that timers are late on average.
      assert(took >= 38, `${took} ms`);
    }
    client.close();
  });
});

Deno.test("link: no connection gets more than its rate, down or up", async () => {
  await behind({ rttMs: 10, bytesPerSecond: 2_000_000 }, async (link) => {
    const bytes = 600_000;
    const down = await timed(() => fetch(`${link.url}/bytes/${bytes}`).then((answer) => answer.bytes()));
    assert(bytes / down * 1000 <= 2_000_000 * 1.1, `${bytes / down * 1000} bytes/s down`);
    const up = await timed(async () => {
      const answer = await fetch(`${link.url}/`, { method: "PUT", body: new Uint8Array(bytes) });
      assertEquals(await answer.text(), String(bytes));
    });
    assert(bytes / up * 1000 <= 2_000_000 * 1.1, `${bytes / up * 1000} bytes/s up`);
  });
});

Deno.test("link: bytes arrive whole and in order, on many connections at once, while the shape changes", async () => {
  await behind({ rttMs: 5, bytesPerSecond: 20_000_000 }, async (link) => {
    const data = crypto.getRandomValues(new Uint8Array(60_000));
    using echo = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const echoing = (async () => {
      const running: Promise<void>[] = [];
      for (let at = 0; at < 8; at++) {
        const conn = await echo.accept();
        running.push((async () => {
          await writeAll(conn, await readToEnd(conn));
          conn.close();
        })());
      }
      await Promise.all(running);
    })();
    link.target = { hostname: "127.0.0.1", port: echo.addr.port };
    const port = Number(new URL(link.url).port);
    const round = async () => {
      const conn = await Deno.connect({ hostname: "127.0.0.1", port });
      for (let at = 0; at < data.length; at += 7_001) await writeAll(conn, data.subarray(at, at + 7_001));
      await conn.closeWrite();
      assertEquals(await readToEnd(conn), data);
      conn.close();
    };
    const rounds = Array.from({ length: 8 }, round);
    link.reshape({ rttMs: 60 });
    await new Promise((resolve) => setTimeout(resolve, 10));
    link.reshape({ rttMs: 0, bytesPerSecond: 1_000_000 });
    await Promise.all(rounds);
    await echoing;
  });
});

Deno.test("link: a reader that stops holds the sender back, and memory stays bounded", async () => {
  using sink = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const link = new Link({ rttMs: 20, bytesPerSecond: 400_000_000 }, {
    target: { hostname: "127.0.0.1", port: sink.addr.port },
  });
  const near = await Deno.connect({ hostname: "127.0.0.1", port: Number(new URL(link.url).port) });
  const far = await sink.accept();
  let sent = 0;
  const block = new Uint8Array(256 << 10);
  const sending = (async () => {
    while (sent < 256 << 20) sent += await near.write(block);
  })().catch(() => {});
  // It stands still when the kernel's buffers and the link's own are full: nobody reads at the far end.
  let last = -1;
  await until(async () => {
    const before = last;
    last = sent;
    await new Promise((resolve) => setTimeout(resolve, 300));
    return sent > 0 && before === last && sent === last;
  });
  assert(sent < 64 << 20, `${sent} bytes were taken`);
  // And goes on when somebody does.
  const buffer = new Uint8Array(1 << 20);
  const stood = sent;
  await until(async () => {
    await far.read(buffer);
    return sent > stood;
  });
  await link.close();
  near.close();
  far.close();
  await sending;
});

Deno.test("link: a cut one lets nothing pass and closes nothing; mended, it goes on where it was", async () => {
  await behind({ rttMs: 4, bytesPerSecond: 10_000_000 }, async (link) => {
    assertEquals(await (await fetch(`${link.url}/small`)).text(), "ok");
    link.reshape({ cut: true });
    let answered = false;
    const asked = fetch(`${link.url}/small`).then(async (answer) => {
      answered = true;
      return await answer.text();
    });
    await new Promise((resolve) => setTimeout(resolve, 200));
    assertEquals(answered, false);
    link.reshape({ cut: false });
    assertEquals(await asked, "ok");
  });
});

Deno.test("link: where nobody listens behind it, connections are closed; then it can be led elsewhere", async () => {
  await behind({ rttMs: 4, bytesPerSecond: 10_000_000 }, async (link) => {
    const { target } = link;
    link.target = null;
    await assertRejects(() => fetch(`${link.url}/small`));
    const closed = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    link.target = { hostname: "127.0.0.1", port: closed.addr.port };
    closed.close();
    await assertRejects(() => fetch(`${link.url}/small`));
    link.target = target;
    assertEquals(await (await fetch(`${link.url}/small`)).text(), "ok");
  });
});

Deno.test("link: a server that breaks off in the middle of a body shows as an unfinished body", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    const conn = await listener.accept();
    await conn.read(new Uint8Array(4096));
    await conn.write(new TextEncoder().encode("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf"));
    conn.close();
  })();
  const link = new Link({ rttMs: 4, bytesPerSecond: 1_000_000 }, {
    target: { hostname: "127.0.0.1", port: listener.addr.port },
  });
  const answer = await fetch(link.url);
  assertEquals(answer.status, 200);
  await assertRejects(() => answer.text());
  await serving;
  await link.close();
});

Deno.test("link: closing it ends connections that are in the middle of something", async () => {
  await behind({ rttMs: 2000, bytesPerSecond: 2000 }, async (link) => {
    const asked = assertRejects(() => fetch(`${link.url}/bytes/1000000`).then((answer) => answer.bytes()));
    await new Promise((resolve) => setTimeout(resolve, 100));
    await link.close();
    await asked;
    await link.close();
  });
});

Deno.test("link: shapes that make no sense, and a port in use, are refused", async () => {
  assertThrows(() => new Link({ rttMs: -1, bytesPerSecond: 1e6 }), RangeError);
  assertThrows(() => new Link({ rttMs: 1, bytesPerSecond: 0 }), RangeError);
  assertThrows(() => new Link({ rttMs: NaN, bytesPerSecond: 1e6 }), RangeError);
  const link = new Link({ rttMs: 1, bytesPerSecond: 1e6 });
  assertThrows(() => link.reshape({ bytesPerSecond: -5 }), RangeError);
  assertEquals(link.shape.bytesPerSecond, 1e6);
  const port = Number(new URL(link.url).port);
  assertThrows(() => new Link({ rttMs: 1, bytesPerSecond: 1e6 }, { port }), CdnError, "the address is in use");
  await link.close();
});
