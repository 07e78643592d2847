import { assert, assertEquals, assertRejects } from "@std/assert";
import { CdnError } from "../../../../proto/mod.ts";
import { type Cache, openCache, SLICE_BYTES } from "../../../../server/edge/cache/mod.ts";
import { eventually, tempDir } from "../../../kit/mod.ts";
import { assertBytes, fill, pattern, put, readHeld, responseOf } from "../../../suite/cache_suite.ts";
import { bytesBelow, copyOf, open, settled, slicesBelow } from "./kit.ts";

const nothing = { keys: [], prefixes: [], tags: [] };

Deno.test("cache: everything is there again when it is opened again", async () => {
  await using dir = await tempDir();
  const large = pattern(2_200_000);
  const varied = [["accept-encoding", "gzip"]] as [string, string][];
  {
    await using cache = await open(dir.path);
    await put(cache, "/small", pattern(900), { tags: ["t", "ü"], varied });
    await put(cache, "/small", pattern(901, 2), { varied: [["accept-encoding", null]] });
    await put(cache, "/middle", pattern(100_000));
    await put(cache, "/large", large);
    const part = cache.add("/part", responseOf({ length: large.length }));
    assert(await fill(part, large.subarray(1_000_000, 1_100_000), { from: 1_000_000 }));
    cache.add("/none", responseOf({ status: 404, length: 0 }));
    cache.add("/soft", responseOf({ stale: true }));
  }
  await using cache = await open(dir.path);
  const [newest, oldest] = cache.find("/small");
  assertEquals(oldest!.response, responseOf({ length: 900, tags: ["t", "ü"], varied }));
  assertBytes(await readHeld(newest!), pattern(901, 2));
  assertBytes(await readHeld(oldest!), pattern(900));
  assertBytes(await readHeld(cache.find("/middle")[0]!), pattern(100_000));
  assertBytes(await readHeld(cache.find("/large")[0]!), large);
  assertEquals(
    await readHeld(cache.find("/large")[0]!, { from: 1_048_570, step: 13, most: 100 }),
    large.slice(1_048_570, 1_048_670),
  );
  const part = cache.find("/part")[0]!;
  assertEquals(part.held, [{ start: 1_000_000, end: 1_100_000 }]);
  assert(await fill(part, large));
  assertBytes(await readHeld(part), large);
  assertEquals([cache.find("/none")[0]!.body, cache.find("/soft")[0]!.response.stale], [new Uint8Array(0), true]);
  assertEquals(cache.figures().entries, 7);
});

Deno.test("cache: a kill loses at most what was newest", async () => {
  await using dir = await tempDir();
  await using copy = await tempDir();
  {
    await using cache = await open(dir.path);
    const large = pattern(2_200_000);
    await put(cache, "/small", pattern(900));
    const entry = cache.add("/large", responseOf({ length: large.length }));
    assert(await fill(entry, large.subarray(0, 1_500_000)));
    await settled(cache);
    await put(cache, "/newest", pattern(900));
    await copyOf(dir.path, copy.path);
  }
  await using cache = await open(copy.path);
  assertBytes(await readHeld(cache.find("/small")[0]!), pattern(900));
  const entry = cache.find("/large")[0]!;
  assertEquals(entry.held, [{ start: 0, end: SLICE_BYTES }]);
  assertBytes(await readHeld(entry), pattern(2_200_000).subarray(0, SLICE_BYTES));
  assert(await fill(entry, pattern(2_200_000)));
});

Deno.test("cache: what hot bodies need is in memory again", async () => {
  await using dir = await tempDir();
  {
    await using cache = await open(dir.path);
    await put(cache, "/small", pattern(900));
    await put(cache, "/middle", pattern(200_000));
  }
  await using cache = await open(dir.path);
  for (const [key, size] of [["/small", 900], ["/middle", 200_000]] as const) {
    const entry = cache.find(key)[0]!;
    assertEquals(entry.body, null);
    entry.use();
    assertEquals(entry.body, null, "once is no habit");
    await eventually(() => {
      entry.use();
      return entry.body;
    });
    assertBytes(entry.body!, pattern(size));
  }
});

Deno.test("cache: a purge is for ever, whatever happens next", async () => {
  for (const soft of [false, true]) {
    await using dir = await tempDir();
    await using copy = await tempDir();
    {
      await using cache = await open(dir.path);
      for (let at = 0; at < 1200; at++) cache.add(`/many/${at}`, responseOf({ length: 0 }));
      await put(cache, "/key", pattern(100));
      await put(cache, "/tag", pattern(1_200_000), { tags: ["t"] });
      await put(cache, "/other", pattern(100));
      await settled(cache);
      const late = await put(cache, "/many/late", pattern(100));
      const removed = await put(cache, "/removed", pattern(100));
      await cache.remove(removed);
      const selection = { keys: ["/key"], prefixes: ["/many/"], tags: ["t"] };
      assertEquals(await cache.purge(selection, { soft }), 1203);
      assertEquals(late.gone, !soft);
      await copyOf(dir.path, copy.path);
    }
    await using cache = await open(copy.path);
    for (const key of ["/key", "/tag", "/many/0", "/many/1199", "/many/late"]) {
      assertEquals(cache.find(key).map(({ response }) => response.stale), soft ? [true] : [], key);
    }
    assertEquals(cache.find("/other").map(({ response }) => response.stale), [false]);
    assertEquals(cache.find("/removed"), []);
    assertEquals(cache.figures().entries, soft ? 1204 : 1);
  }
});

Deno.test("cache: a large purge lets others have their turn, and nothing that it means is found meanwhile", async () => {
  for (const soft of [false, true]) {
    await using dir = await tempDir();
    {
      await using cache = await open(dir.path);
      for (let at = 0; at < 6000; at++) cache.add(`/${at}`, responseOf({ length: 0, tags: ["all"] }));
    }
    await using cache = await open(dir.path);
    const alive = cache.find("/17")[0]!;
    let over = false;
    const purged = cache.purge({ ...nothing, tags: ["all"] }, { soft }).finally(() => over = true);
    let turns = 0;
    for (; !over; turns++) {
      for (const key of ["/17", "/0", "/5999", `/${turns * 37 % 6000}`]) {
        assert(cache.find(key).every(({ response }) => soft && response.stale), key);
      }
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    assert(turns > 5, `${turns} turns`);
    assertEquals(await purged, 6000);
    assertEquals(alive.gone, !soft);
    assertEquals(cache.figures().entries, soft ? 6000 : 0);
    await using copy = await tempDir();
    await copyOf(dir.path, copy.path);
    await using again = await open(copy.path);
    for (let at = 0; at < 6000; at++) {
      assertEquals(again.find(`/${at}`).map(({ response }) => response.stale), soft ? [true] : []);
    }
  }
});

Deno.test("cache: one process at a time", async () => {
  await using dir = await tempDir();
  await using cache = await open(dir.path);
  const error = await assertRejects(() => open(dir.path), CdnError, "another process has it open");
  assertEquals(error.source, "server");
  await put(cache, "/a", pattern(10));
});

Deno.test("cache: settings out of range are refused", async () => {
  await using dir = await tempDir();
  const good = { folder: dir.path, diskBytes: 1 << 20, memoryBytes: 8 << 20 };
  for (const bad of [{ memoryBytes: 1 }, { diskBytes: -1 }, { diskBytes: NaN }, { largestInMemory: 2 << 20 }]) {
    // deno-lint-ignore require-await -- so that what throws rejects
    await assertRejects(async () => openCache({ ...good, ...bad }), RangeError);
  }
});

Deno.test("cache: limits hold while many write", async () => {
  await using dir = await tempDir();
  const diskBytes = 24 << 20;
  const memoryBytes = 8 << 20;
  await using cache = await open(dir.path, { diskBytes, memoryBytes });
  const sizes = [200, 3000, 16_000, 60_000, 700_000, 1_500_000, 5_000_000];
  let most = 0;
  await Promise.all(Array.from({ length: 8 }, async (_, worker) => {
    for (let round = 0; round < 20; round++) {
      const bytes = pattern(sizes[(worker + round * 3) % sizes.length]!, worker + round);
      const entry = cache.add(`/${worker}/${round}`, responseOf({ length: bytes.length }));
      await fill(entry, bytes, { pieceSize: 100_000 });
      const figures = cache.figures();
      most = Math.max(most, figures.diskBytes);
      assert(figures.diskBytes <= diskBytes, `${figures.diskBytes} bytes on disk`);
      assert(figures.memoryBytes <= memoryBytes, `${figures.memoryBytes} bytes in memory`);
      const got = await readHeld(entry);
      assertBytes(got, bytes.subarray(0, got.length));
    }
  }));
  await settled(cache);
  assert(most > diskBytes / 2, "they were reached");
  assert(cache.figures().evictions > 0);
  // The log of the index, and pages of it that are not full, are beyond what is counted.
  const slack = 20 << 20;
  const real = await eventually(() => bytesBelow(dir.path) < diskBytes + slack && bytesBelow(dir.path));
  const slices = slicesBelow(dir.path).reduce((sum, path) => sum + Deno.statSync(path).blocks! * 512, 0);
  assert(slices <= cache.figures().diskBytes, `${slices} of ${real}`);
});

Deno.test("cache: of what is full the unused goes, and a film loses slices and not its head", async () => {
  await using dir = await tempDir();
  await using cache = await open(dir.path, { diskBytes: 12 << 20, memoryBytes: 4 << 20 });
  const hot = await put(cache, "/hot", pattern(100_000));
  const film = cache.add("/film", responseOf({ length: 30 << 20 }));
  const second = pattern(SLICE_BYTES);
  for (let at = 0; at < 30; at++) {
    hot.use();
    film.use();
    assert(await fill(film, second, { from: at * SLICE_BYTES, pieceSize: 200_000 }));
    await settled(cache);
  }
  assertEquals([hot.gone, film.gone], [false, false]);
  assertBytes(await readHeld(hot), pattern(100_000));
  const held = film.held.reduce((sum, { start, end }) => sum + end - start, 0);
  assert(held >= 6 << 20 && held <= 12 << 20, `${held} bytes are left`);
  for (const { start } of film.held) {
    assertBytes(await readHeld(film, { from: start, most: SLICE_BYTES }), second);
  }
});

Deno.test("cache: an entry that somebody holds stays the one, however many others come", async () => {
  await using dir = await tempDir();
  await using cache = await open(dir.path);
  const held = cache.add("/held", responseOf({ length: 0 }));
  for (let at = 0; at < 40_000; at++) {
    cache.add(`/${at}`, responseOf({ length: 0, fields: [] }));
    if (at % 2000 === 0) await settled(cache);
  }
  assert(cache.find("/held")[0] === held);
  await settled(cache);
  assertEquals(cache.find("/0").length, 1, "it comes from the index");
});

Deno.test("cache: files that no row names are removed in the background", async () => {
  await using dir = await tempDir();
  {
    await using cache = await open(dir.path);
    await put(cache, "/a", pattern(1_200_000));
  }
  const good = slicesBelow(dir.path);
  assertEquals(good.length, 2);
  await Deno.mkdir(`${dir.path}/slices/4d/folder`, { recursive: true });
  for (const name of ["4d/77-0", "4d/what", "4d/folder/x"]) Deno.writeTextFileSync(`${dir.path}/slices/${name}`, "x");
  await using cache = await open(dir.path);
  await eventually(() => slicesBelow(dir.path).length === 2);
  assertEquals(slicesBelow(dir.path), good);
  assertBytes(await readHeld(cache.find("/a")[0]!), pattern(1_200_000));
});

for (
  const [how, go] of Object.entries({
    "is replaced": (cache: Cache) => Promise.resolve(void cache.add("/large", responseOf({ length: 10 }))),
    "is removed": (cache: Cache) => cache.remove(cache.find("/large")[0]!),
    "is purged": (cache: Cache) => cache.purge({ ...nothing, keys: ["/large"] }, { soft: false }),
  })
) {
  Deno.test(`cache: what is on disk of an entry that ${how} stays as long as somebody reads it`, async () => {
    await using dir = await tempDir();
    await using cache = await open(dir.path);
    const large = pattern(2_200_000);
    await put(cache, "/large", large);
    await settled(cache);
    const entry = cache.find("/large")[0]!;
    {
      using _one = entry.hold();
      using _two = entry.hold();
      await go(cache);
      await settled(cache);
      assert(entry.gone);
      assert(!cache.find("/large").includes(entry));
      assertBytes(await readHeld(entry), large);
      assertEquals(await entry.write(0, large.subarray(0, 10)), false);
    }
    assertEquals(entry.held, []);
    assertEquals(await entry.read(0, new Uint8Array(10)), 0);
    await eventually(async () => {
      await settled(cache);
      return slicesBelow(dir.path).length === 0;
    });
  });
}
