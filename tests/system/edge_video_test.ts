/** A film through the edge, as viewers see it: Chromium, ffmpeg and curl, while the origin is slow and edges die. */
import { assert, assertEquals, assertLess, assertNotEquals } from "@std/assert";
import { join } from "@std/path";
import { Program } from "../../cli/up/program.ts";
import { eventually, freePorts, tempDir } from "../kit/mod.ts";
import { client, has } from "./clients.ts";
import { film, FILM_SECONDS } from "./video/film.ts";
import { FilmOrigin } from "./video/film_origin.ts";
import { Haproxy } from "./video/haproxy.ts";
import { type Picture, Player } from "./video/player.ts";

/** The origin, and edges before it, each at an address of its own. */
async function startEdges(listen: Record<string, string>) {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempDir()).path;
  const origin = stack.use(new FilmOrigin());
  const bytes = await film();
  const start = async (id: string, address: string) => {
    const places = ["--cache", join(folder, id, "cache"), "--data", join(folder, id, "data")];
    const args = ["server", "--role", "edge", "--id", id, "--origin", origin.url, "--listen", address, ...places];
    const program = await Program.start({ name: id, args, logFile: join(folder, `${id}.log`) });
    return [id, stack.adopt(program, (one) => one.stop())] as const;
  };
  const edges = Object.fromEntries(
    await Promise.all(Object.entries(listen).map(([id, address]) => start(id, address))),
  );
  const all = stack.move();
  return { folder, origin, bytes, edges, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

const TWO = { a: "127.0.0.1:0", b: "127.0.0.1:0" };

/** A picture shows its own second, or where it was read late, one that is not further on than the film was. */
function assertTells({ at, shown, until }: Picture): void {
  assert(Math.floor(at) <= shown && shown <= Math.floor(until + 1), `second ${shown} is seen from ${at} to ${until}`);
}

/** A test that is ignored, by name, where one of its programs is missing. */
function test(name: string, programs: string[], fn: () => Promise<void>, { ignore = false } = {}): void {
  const missing = programs.filter((program) => !has(program));
  Deno.test({ name, ignore: ignore || missing.length > 0, fn });
}

test("Chromium seeks to the middle: the picture is there before the film is", ["ffmpeg", "chromium"], async () => {
  await using world = await startEdges({ a: "127.0.0.1:0" });
  const { origin, bytes, edges } = world;
  origin.hold(Math.floor(bytes.length / 5));
  await using player = await Player.open(`${edges.a!.url}/page.html`);
  assertEquals(await player.seek(1.5), { at: 1.5, shown: 1, until: 1.5 });
  assertEquals(await player.seek(30.5), { at: 30.5, shown: 30, until: 30.5 });
  assertLess(origin.sent, bytes.length, "the origin has not sent it all");
  origin.release();
  await player.play(8);
  assertTells(await player.seen(45));
});

/** The edge that sends the film is killed while Chromium plays it from `url`; the other one takes over. */
async function playOn({ origin, bytes, edges }: Awaited<ReturnType<typeof startEdges>>, url: string): Promise<void> {
  origin.hold(Math.floor(bytes.length / 5));
  await using player = await Player.open(`${url}/page.html`);
  await player.play(8);
  assertTells(await player.seen(3));
  const buffered = await player.buffered();
  const later = origin.film.length;
  const { by } = origin.film[later - 1]!;
  await edges[by]!.kill();
  origin.release();
  const picture = await player.seen(FILM_SECONDS / 2);
  assertTells(picture);
  assertLess(buffered, picture.at, "it was not there yet when the edge died");
  const asked = origin.film.slice(later);
  assert(asked.some((one) => one.by !== by && !one.range!.startsWith("bytes=0-")), JSON.stringify(asked));
}

// What ends in localhost is both of its addresses, to Chromium: a name with two of them, without a DNS server.
test("two edges behind one name, one killed: Chromium plays on", ["ffmpeg", "chromium"], async () => {
  const port = freePorts(1)[0]!;
  await using world = await startEdges({ a: `127.0.0.1:${port}`, b: `[::1]:${port}` });
  await playOn(world, `http://cdn.localhost:${port}`);
}, { ignore: !hasIpv6() });

test("two edges behind haproxy, one killed: Chromium plays on", ["ffmpeg", "chromium", "haproxy"], async () => {
  await using world = await startEdges(TWO);
  await using vip = await Haproxy.start(world.folder, Object.values(world.edges).map(({ url }) => url));
  await playOn(world, vip.url);
});

test("two edges behind one name, one killed: curl resumes from the other", ["ffmpeg", "curl"], async () => {
  const port = freePorts(1)[0]!;
  await using world = await startEdges({ a: `127.0.0.2:${port}`, b: `127.0.0.3:${port}` });
  const { origin, bytes, edges, folder } = world;
  const file = join(folder, "film.part");
  const name = `cdn.example.com:${port}`;
  const args = ["-sf", "-C", "-", "-o", file, "--resolve", `${name}:127.0.0.2,127.0.0.3`, `http://${name}/film.mp4`];
  origin.hold(Math.floor(bytes.length / 3));
  const first = new Deno.Command("curl", { args }).spawn();
  await eventually(async () => (await Deno.stat(file)).size > 0, { what: "the download under way" });
  await edges.a!.kill();
  assertNotEquals((await first.status).code, 0);
  origin.release();
  const { size } = await Deno.stat(file);
  await client("curl", args);
  assertEquals(await Deno.readFile(file), bytes);
  assertEquals(origin.film.map(({ by }) => by), ["a", "b"]);
  assertLess(origin.film[1]!.sent, bytes.length - size + 65_536, "what was there is not asked for again");
});

/** Each picture of the film as ffmpeg reads it, by digest, into a file that grows. */
function pictures(source: string, into: string, options: string[] = []): Promise<string> {
  const output = ["-f", "framemd5", "-flush_packets", "1", "-y", into];
  return client("ffmpeg", ["-nostdin", "-loglevel", "error", ...options, "-i", source, ...output]);
}

test("ffmpeg reads, and seeks, while the origin is slow or breaks off", ["ffmpeg", "ffprobe"], async () => {
  await using world = await startEdges({ a: "127.0.0.1:0" });
  const { origin, bytes, edges, folder } = world;
  const [file, near, far] = ["film.mp4", "near", "far"].map((name) => join(folder, name)) as [string, string, string];
  await Deno.writeFile(file, bytes);
  const url = `${edges.a!.url}/film.mp4`;
  /** Reads both; how many pictures there are. */
  const same = async (...options: string[]) => {
    await Promise.all([pictures(file, near, options), pictures(url, far, options)]);
    const text = await Deno.readTextFile(far);
    assertEquals(text, await Deno.readTextFile(near));
    return text.split("\n").filter((line) => /^\d/.test(line)).length;
  };
  origin.hold(Math.floor(bytes.length / 5));
  const probed = await client("ffprobe", ["-v", "error", "-show_entries", "format=duration,size", "-of", "csv", url]);
  assertEquals(probed.trim(), `format,${FILM_SECONDS}.000000,${bytes.length}`);
  assertEquals(await same("-ss", "40.5", "-t", "1"), 12);
  assertLess(origin.sent, bytes.length, "the origin has not sent it all");
  origin.breakAfter(Math.floor(bytes.length / 5));
  assertEquals(await same(), FILM_SECONDS * 12);
  const asked = origin.film.length;
  await pictures(url, far);
  assertEquals(await Deno.readTextFile(far), await Deno.readTextFile(near));
  assertEquals(origin.film.length, asked, "the edge has it all");
});

test("two edges behind haproxy, one killed: ffmpeg reads on", ["ffmpeg", "haproxy"], async () => {
  await using world = await startEdges(TWO);
  const { origin, bytes, edges, folder } = world;
  await using vip = await Haproxy.start(folder, Object.values(edges).map(({ url }) => url));
  const [file, near, far] = ["film.mp4", "near", "far"].map((name) => join(folder, name)) as [string, string, string];
  await Deno.writeFile(file, bytes);
  origin.hold(Math.floor(bytes.length / 3));
  const reading = pictures(`${vip.url}/film.mp4`, far, ["-reconnect", "1", "-reconnect_on_network_error", "1"]);
  await eventually(async () => (await Deno.readTextFile(far)).split("\n").length > 50, { what: "ffmpeg that reads" });
  const { by } = origin.film[0]!;
  await edges[by]!.kill();
  origin.release();
  await reading;
  await pictures(file, near);
  assertEquals(await Deno.readTextFile(far), await Deno.readTextFile(near));
  assert(origin.film.some((one) => one.by !== by && !one.range!.startsWith("bytes=0-")), JSON.stringify(origin.film));
});

/** True where this machine has an IPv6 loopback; otherwise says so. */
function hasIpv6(): boolean {
  try {
    Deno.listen({ hostname: "::1", port: 0 }).close();
    return true;
  } catch {
    console.error("missing: the loopback address ::1; tests that need it are ignored");
    return false;
  }
}
