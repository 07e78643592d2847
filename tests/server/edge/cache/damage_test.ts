import { assert, assertEquals } from "@std/assert";
import { eventually, tempDir } from "../../../kit/mod.ts";
import { fillDisk, noSmallDisk, onSmallDisk } from "../../../kit/small_disk.ts";
import { rot } from "../../../kit/body_place.ts";
import { CdnError } from "../../../../proto/mod.ts";
import type { Cache } from "../../../../server/edge/cache/cache.ts";
import { SLICE_BYTES } from "../../../../server/edge/cache/mod.ts";
import { assertBytes, fill, pattern, put, readHeld, responseOf } from "../../../suite/cache_suite.ts";
import { keptLog, open, settled, slicesBelow } from "./kit.ts";

const large = pattern(2_200_000);
const nothing = { keys: [], prefixes: [], tags: [] };

/** A folder with a large body, a small one, and another. */
async function filled(folder: string): Promise<void> {
  await using cache = await open(folder);
  await put(cache, "/large", large);
  await put(cache, "/small", pattern(9000, 7));
  await put(cache, "/other", pattern(5000, 8), { tags: ["t"] });
}

/** Where bytes stand in a file. */
function placeIn(path: string, bytes: Uint8Array): number {
  const text = (of: Uint8Array) => new TextDecoder("latin1").decode(of);
  const at = text(Deno.readFileSync(path)).indexOf(text(bytes));
  assert(at >= 0, "it is there");
  return at;
}

const hurts: Record<string, (slice: string) => void> = {
  "truncated": (slice) => Deno.truncateSync(slice, 200_000),
  "emptied": (slice) => Deno.truncateSync(slice, 0),
  "rotten": (slice) => rot(slice, 200_000),
  "deleted": (slice) => Deno.removeSync(slice),
  "replaced by a folder": (slice) => {
    Deno.removeSync(slice);
    Deno.mkdirSync(slice);
  },
  "replaced by another": (slice) => Deno.writeFileSync(slice, pattern(SLICE_BYTES, 99)),
};

for (const [what, hurt] of Object.entries(hurts)) {
  Deno.test(`cache: a slice that is ${what} is not served, and fetched again`, async () => {
    for (const isOpen of [false, true]) {
      await using dir = await tempDir();
      await filled(dir.path);
      const log = keptLog();
      if (!isOpen) hurt(slicesBelow(dir.path)[1]!);
      await using cache = await open(dir.path, { log });
      if (isOpen) hurt(slicesBelow(dir.path)[1]!);
      const entry = cache.find("/large")[0]!;
      const got = await readHeld(entry);
      assert(got.length >= SLICE_BYTES && got.length <= SLICE_BYTES + 200_000, `${got.length} bytes`);
      assertBytes(got, large.subarray(0, got.length));
      assertEquals(await entry.read(SLICE_BYTES + 200_000, new Uint8Array(10)), 0);
      assertEquals(entry.held, [{ start: 0, end: SLICE_BYTES }, { start: 2 * SLICE_BYTES, end: large.length }]);
      assertEquals(log.lines.length, 1);
      await put(cache, "/new", pattern(10));
      assert(await fill(entry, large));
      await settled(cache);
      assertBytes(await readHeld(entry), large);
      assertBytes(await readHeld(cache.find("/small")[0]!), pattern(9000, 7));
    }
  });
}

Deno.test("cache: a small body with rot is not served", async () => {
  await using dir = await tempDir();
  await filled(dir.path);
  const index = `${dir.path}/index.sqlite`;
  rot(index, placeIn(index, pattern(9000, 7).subarray(4200, 4300)));
  await using cache = await open(dir.path);
  const entry = cache.find("/small")[0]!;
  assertBytes(await readHeld(entry), new Uint8Array(0));
  assertEquals(entry.held, []);
  assert(await fill(entry, pattern(9000, 7)));
  await settled(cache);
  assertBytes(await readHeld(entry), pattern(9000, 7));
  assertBytes(await readHeld(cache.find("/other")[0]!), pattern(5000, 8));
});

Deno.test("cache: a stored response with rot is not found", async () => {
  await using dir = await tempDir();
  {
    await using cache = await open(dir.path);
    await put(cache, "/a", pattern(10), { fields: [["content-type", "text/plain; charset=utf-8"]] });
    await put(cache, "/b", pattern(10));
  }
  const index = `${dir.path}/index.sqlite`;
  rot(index, placeIn(index, new TextEncoder().encode("text/plain; charset")));
  await using cache = await open(dir.path);
  assertEquals(cache.find("/a"), []);
  assertEquals(cache.find("/b").length, 1);
  await put(cache, "/a", pattern(20));
  assertEquals(cache.find("/a").length, 1);
});

Deno.test("cache: a damaged index is set aside, and the cache begins anew", async () => {
  for (const from of [0, 4096]) {
    await using dir = await tempDir();
    await filled(dir.path);
    const index = `${dir.path}/index.sqlite`;
    const bytes = Deno.readFileSync(index);
    Deno.writeFileSync(index, bytes.fill(0xa5, from));
    const log = keptLog();
    await using cache = await open(dir.path, { log });
    // What the file's first page does not tell is found when it is asked.
    assertEquals(cache.find("/large"), []);
    await eventually(async () => {
      await put(cache, "/small", pattern(9000, 7));
      await settled(cache);
      return cache.figures().diskBytes > 0;
    });
    assert(log.lines.length >= 1 && log.lines.every((line) => line.includes("damaged")), log.lines.join());
    assert(Deno.statSync(`${index}.broken`).isFile);
    assertEquals(cache.find("/large"), []);
    await put(cache, "/large", large);
    await settled(cache);
    await eventually(() => slicesBelow(dir.path).length === 3, { what: "no file is there that no row names" });
    assertBytes(await readHeld(cache.find("/large")[0]!), large);
  }
});

Deno.test("cache: a folder that is removed under it is made again", async () => {
  await using dir = await tempDir();
  await using cache = await open(dir.path);
  const entry = await put(cache, "/a", large);
  await settled(cache);
  assert(slicesBelow(dir.path).length === 3);
  await Deno.remove(`${dir.path}/slices`, { recursive: true });
  for (const at of [0, 1, 2]) assertEquals(await entry.read(at * SLICE_BYTES, new Uint8Array(10)), 0);
  assertEquals(entry.held, []);
  assert(await fill(entry, large), "folders are made again");
  await settled(cache);
  assertBytes(await readHeld(entry), large);
});

const onDisk = (what: string, size: string, work: (disk: string) => Promise<void>) =>
  Deno.test({
    name: `cache: ${what}${noSmallDisk ? ` (skipped: ${noSmallDisk})` : ""}`,
    ignore: noSmallDisk !== null,
    fn: () => onSmallDisk(size, work),
  });

/** Small bodies in memory, and large ones not at all. */
async function doesWithout(cache: Cache): Promise<void> {
  const entry = cache.add("/large", responseOf({ length: large.length }));
  await eventually(async () => !await fill(entry, large), { what: "what is large is not kept" });
  const small = await put(cache, "/without", pattern(500));
  await settled(cache);
  assertEquals(small.body, pattern(500));
  assert(cache.find("/without")[0] === small);
  assertEquals(cache.figures().diskFails, true);
}

Deno.test("cache: a folder that cannot be made is done without, and the figures say so", async () => {
  await using dir = await tempDir();
  await Deno.writeTextFile(`${dir.path}/file`, "");
  const log = keptLog();
  await using cache = await open(`${dir.path}/file/cache`, { memoryBytes: 4 << 20, log });
  await doesWithout(cache);
  const { diskBytes, diskLimit, memoryBytes, memoryLimit } = cache.figures();
  assertEquals([diskBytes, diskLimit, memoryLimit, log.lines.length], [0, 1 << 30, 4 << 20, 1]);
  assert(memoryBytes >= 500);
});

onDisk("a full disk is done without, said once, and used again when it has room", "8m", async (disk) => {
  let time = 0;
  const log = keptLog();
  await using cache = await open(`${disk}/cache`, { memoryBytes: 4 << 20, now: () => time, log });
  await put(cache, "/held", pattern(300_000));
  await settled(cache);
  await fillDisk(`${disk}/filler`);
  await doesWithout(cache);
  for (let round = 0; round < 3; round++) {
    time += 60_000;
    await doesWithout(cache);
  }
  assertEquals(log.lines.length, 1, log.lines.join("\n"));
  assertBytes(await readHeld(cache.find("/held")[0]!), pattern(300_000));
  await Deno.remove(`${disk}/filler`);
  time += 60_000;
  const entry = cache.add("/large", responseOf({ length: large.length }));
  assert(await fill(entry, large));
  await settled(cache);
  assertBytes(await readHeld(entry), large);
  assertEquals(cache.figures().diskFails, false);
  assertEquals(slicesBelow(`${disk}/cache`).length, 4);
});

onDisk("a disk that others fill gets room from what the cache has", "16m", async (disk) => {
  await using cache = await open(`${disk}/cache`, { memoryBytes: 4 << 20, minFreeBytes: 3 << 20 });
  for (let at = 0; at < 12; at++) {
    const entry = cache.add(`/${at}`, responseOf({ length: large.length }));
    await fill(entry, large);
    await settled(cache);
    assertBytes(await readHeld(entry), large);
  }
  assert(cache.figures().evictions > 0);
  assertEquals(await cache.purge({ ...nothing, prefixes: [""] }, { soft: false }), cache.figures().entries || 12);
});

onDisk("a folder that is read-only is done without, and then a purge cannot be promised", "8m", async (disk) => {
  const folder = `${disk}/cache`;
  await filled(folder);
  const remount = async (how: string) => {
    const { success } = await new Deno.Command("mount", { args: ["-o", `remount,${how}`, disk] }).output();
    assert(success);
  };
  await remount("ro");
  const log = keptLog();
  {
    await using cache = await open(folder, { memoryBytes: 4 << 20, log });
    await doesWithout(cache);
    assertEquals(log.lines.length, 1, log.lines.join("\n"));
    await rejects(cache.purge({ ...nothing, tags: ["t"] }, { soft: false }));
    assertEquals(cache.find("/other"), []);
  }
  await remount("rw");
  await using cache = await open(folder);
  assertEquals(cache.find("/other").length, 1, "as was said");
});

onDisk("where a purge cannot be written, nothing that it means is found all the same", "8m", async (disk) => {
  const folder = `${disk}/cache`;
  const log = keptLog();
  const cache = await open(folder, { memoryBytes: 4 << 20, log });
  try {
    await put(cache, "/b", pattern(100));
    for (let at = 0; at < 300; at++) cache.add(`/many/${at}`, responseOf({ fields: [["x", "y".repeat(5000)]] }));
    await settled(cache);
    await fillDisk(`${disk}/filler`);
    const error = await cache.purge({ ...nothing, prefixes: ["/many/"] }, { soft: false }).then(() => null, (e) => e);
    assert(error instanceof CdnError);
    assertEquals([error.source, error.status, error.retry], ["server", 500, true]);
    assertEquals(cache.find("/many/1"), []);
    assertEquals(cache.find("/b"), [], "nothing on disk is believed any more");
    await doesWithout(cache);
  } finally {
    await cache.close();
  }
});

async function rejects(purge: Promise<unknown>): Promise<void> {
  const error = await purge.then(() => null, (error) => error);
  assert(error instanceof CdnError && error.source === "server");
}
