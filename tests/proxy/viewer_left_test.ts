import { assert, assertEquals } from "@std/assert";
import { type FakeServer, fakeServer, measured, testProxy, until } from "./kit.ts";

const SIZE = 50_000_000;
const TAG = '"v1"';

/** A content server that can go on with a body, and whose bodies come slowly enough to be left in the middle. */
function resumable(id: string): FakeServer {
  const fake = fakeServer(id);
  const base = fake.url;
  const stop = new AbortController();
  const front = Deno.serve({ hostname: "127.0.0.1", port: 0, signal: stop.signal, onListen() {} }, async (request) => {
    const { pathname, search } = new URL(request.url);
    if (pathname.startsWith("/-/")) return await fetch(base + pathname + search, { headers: request.headers });
    fake.seen.push(request.headers.get("range") ?? "all");
    const first = Number(/^bytes=(\d+)-/.exec(request.headers.get("range") ?? "")?.[1] ?? 0);
    let left = SIZE - first;
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        const some = Math.min(left, 100_000);
        await new Promise((resolve) => setTimeout(resolve, 5));
        controller.enqueue(new Uint8Array(some));
        if ((left -= some) === 0) controller.close();
      },
    });
    return new Response(body, {
      status: first ? 206 : 200,
      headers: {
        etag: TAG,
        "content-length": String(SIZE - first),
        ...(first ? { "content-range": `bytes ${first}-${SIZE - 1}/${SIZE}` } : {}),
      },
    });
  });
  const dispose = fake[Symbol.asyncDispose];
  fake.url = `http://127.0.0.1:${front.addr.port}`;
  fake[Symbol.asyncDispose] = async () => {
    stop.abort();
    await front.finished;
    await dispose();
  };
  return fake;
}

Deno.test("viewers who leave in the middle of a body count against no server, and nobody fetches the rest", async () => {
  await using a = resumable("a");
  await using b = resumable("b");
  const warned: string[] = [];
  const log = { debug() {}, info() {}, warn: (what: string) => warned.push(what), error() {} };
  await using proxy = await testProxy([a, b], { log });
  await measured(proxy, 2);
  const port = Number(new URL(proxy.url).port);

  for (let viewer = 1; viewer <= 8; viewer++) {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port });
    await connection.write(new TextEncoder().encode(`GET /film HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`));
    let came = 0;
    for (const buffer = new Uint8Array(65_536); came < 300_000;) {
      const count = await connection.read(buffer);
      assert(count !== null, "the proxy closed the connection");
      came += count;
    }
    connection.close();
    await until(`viewer ${viewer}'s request came to a server`, () => a.seen.length + b.seen.length >= viewer);
  }
  // Whatever the departures set going has time to happen.
  await measured(proxy, 2);
  await new Promise((resolve) => setTimeout(resolve, 300));
  assertEquals([...a.seen, ...b.seen].filter((range) => range !== "all"), []);
  assertEquals(warned, []);
  assertEquals(proxy.view().servers.map(({ excluded }) => excluded), ["", ""]);
});
