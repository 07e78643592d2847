/** What the edge asks its origins by, against real ones: nginx over TLS, stopped, reloaded and started while it is asked. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import type { BodySource } from "../../runtime/http1/body_source.ts";
import { silentLogger } from "../../runtime/log.ts";
import { openTlsClient } from "../../runtime/tls_client.ts";
import { createOrigins, loopGuard, type OriginRequest, type OriginResponse } from "../../server/edge/origins/mod.ts";
import { newCa, newServer } from "../certs/kit.ts";
import { eventually, tempDir } from "../kit/mod.ts";
import { has } from "./clients.ts";
import { NginxOrigin } from "./nginx_origin.ts";

/** More than what may stand in all buffers on the way. */
const FILM_BYTES = 128 * 2 ** 20;

/** Two origins with the same content, and what asks them, the first before the second. */
async function startOrigins() {
  await using stack = new AsyncDisposableStack();
  const { path } = stack.use(await tempDir());
  const root = join(path, "content");
  await Deno.mkdir(join(root, "folder"), { recursive: true });
  await Deno.writeTextFile(join(root, "page.txt"), "0123456789");
  await Deno.writeFile(join(root, "film.mp4"), new Uint8Array());
  await Deno.truncate(join(root, "film.mp4"), FILM_BYTES);

  const nowMs = Date.now();
  const ca = await newCa("origins", nowMs);
  const caFile = join(path, "ca.pem");
  await Deno.writeTextFile(caFile, ca.certificate);
  const start = async (name: string) => {
    const pair = await newServer(ca, { id: name, nowMs });
    return stack.use(await NginxOrigin.start({ folder: join(path, name), root, name, ...pair }));
  };
  const [first, second] = [await start("first"), await start("second")];
  const tls = stack.use(openTlsClient(caFile, { log: silentLogger }));
  const origins = createOrigins({
    urls: [first.url, second.url],
    ca: tls.pem,
    settings: { firstOutMs: 50, mostOutMs: 200, probeTarget: "/page.txt" },
  });
  stack.defer(() => origins.close());

  const send = (target: string, change: Partial<OriginRequest> = {}): Promise<OriginResponse> => {
    const { signal } = new AbortController();
    return origins.send({ method: "GET", target, fields: [], body: null, bodyLength: null, signal, ...change });
  };
  /** Who answered with which status, and how many bytes. */
  const ask = async (target: string, change: Partial<OriginRequest> = {}): Promise<string> => {
    const { status, headers, body } = await send(target, change);
    const bytes = body ? await count(body) : 0;
    return `${headers.find(([name]) => name === "x-origin")?.[1]} ${status} ${bytes}`;
  };
  const all = stack.move();
  return { first, second, origins, send, ask, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

/** Reads a body to its end, or so many bytes of it. */
async function count(body: BodySource, most = Infinity): Promise<number> {
  const buffer = new Uint8Array(65_536);
  let bytes = 0;
  while (bytes < most) {
    const read = await body.read(buffer);
    if (read === null) break;
    bytes += read;
  }
  return bytes;
}

/** A test that is ignored, by name, where there is no nginx. */
function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore: !has("nginx") || Deno.build.os === "windows", fn });
}

test("nginx over TLS: whole, in part, not modified, moved, missing, by HEAD", async () => {
  await using world = await startOrigins();
  const { ask, send, first } = world;
  const fields = loopGuard("edge-a")([["x-forwarded-host", "evil.example"]]);
  assertEquals(await ask("/page.txt", { fields }), "first 200 10");
  assertEquals(await ask("/film.mp4"), `first 200 ${FILM_BYTES}`);
  assertEquals(await ask("/film.mp4", { fields: [["range", "bytes=1000-2999"]] }), "first 206 2000");
  assertEquals(await ask("/film.mp4", { method: "HEAD" }), "first 200 0");
  const { headers, body } = await send("/page.txt");
  body!.cancel();
  const etag = headers.find(([name]) => name === "etag")![1];
  assertEquals(await ask("/page.txt", { fields: [["if-none-match", etag]] }), "first 304 0");
  assert((await ask("/missing")).startsWith("first 404"));
  assert((await ask("/folder")).startsWith("first 301"));
  assert((await ask("/moved")).startsWith("first 302"));
  assert((await ask("//169.254.169.254/latest")).startsWith("first 404"), "a path, whatever it looks like");
  assert((await ask("/busy")).startsWith("first 503"), "both say so: the first is heard");
  assert((await ask("/page.txt", { method: "DELETE" })).startsWith("first 405"));
  assertEquals(world.origins.states().map(({ healthy, active }) => [healthy, active]), [[true, 0], [true, 0]]);
  await eventually(async () => (await first.asked()).length >= 12, { what: "the log" });
  assertEquals((await first.asked()).slice(0, 2), ["GET /page.txt HTTP/1.1", "GET /film.mp4 HTTP/1.1"]);
});

test("nginx is reloaded again and again: nobody who asks it notices", async () => {
  await using world = await startOrigins();
  const film = await world.send("/film.mp4");
  let bytes = await count(film.body!, 1_000_000);
  for (let times = 0; times < 5; times++) {
    world.first.reload();
    for (let requests = 0; requests < 40; requests++) assertEquals(await world.ask("/page.txt"), "first 200 10");
  }
  bytes += await count(film.body!);
  assertEquals(bytes, FILM_BYTES, "what was begun before is sent to its end");
  assertEquals(world.origins.states().map(({ requests, failures }) => [requests, failures]), [[201, 0], [0, 0]]);
});

test("nginx ends in the middle: what was begun is an error, what comes is the other's, until it is back", async () => {
  await using world = await startOrigins();
  const { first, second, ask, send, origins } = world;
  const film = await send("/film.mp4");
  assertEquals(film.from, first.url);
  await count(film.body!, 1_000_000);
  await first.stop();
  await assertRejects(() => count(film.body!), Error, "The answer is broken");
  assertEquals(origins.states().map(({ active }) => active), [0, 0], "its place is free");

  for (let times = 0; times < 20; times++) assertEquals(await ask("/page.txt"), "second 200 10");
  const [out] = origins.states();
  assert(!out!.healthy && out!.reason !== "", out!.reason);
  assertEquals(out!.failures, 3, "the body, and two that could not connect");

  await second.stop();
  const error = await assertRejects(() => ask("/page.txt"), Error, "Cannot ask the origin: it cannot be reached");
  assertEquals((error as unknown as { status: number }).status, 502);

  await first.start();
  await eventually(() => origins.states()[0]!.healthy, { what: "a probe that finds the first" });
  for (let times = 0; times < 20; times++) assertEquals(await ask("/page.txt"), "first 200 10");
  await second.start();
  await first.stop();
  assertEquals(await ask("/page.txt"), "second 200 10");
  await first.start();
  await eventually(async () => await ask("/page.txt") === "first 200 10", { what: "the first again" });
});
