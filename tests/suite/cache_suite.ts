/** What every `Cache` must do. A cache's own test calls {@link cacheSuite}. */
import { assert, assertEquals } from "@std/assert";
import type { Cache, Entry, Selection } from "../../server/edge/cache/cache.ts";
import type { StoredResponse } from "../../server/edge/response.ts";
import { pattern } from "./store_suite.ts";

export { pattern };

/** How a suite gets at the cache that it tests: an empty one, with room for all that the suite puts in. */
export interface CacheHarness {
  open(): Promise<Cache>;
}

/** A response to a request. */
export function responseOf(more: Partial<StoredResponse> = {}): StoredResponse {
  return {
    status: 200,
    fields: [["date", "Sat, 28 Nov 2026 12:00:00 GMT"], ["etag", '"v1"'], ["x-naïve", "ü"]],
    varied: [],
    length: null,
    requestMs: 1000,
    responseMs: 1001,
    stale: false,
    tags: [],
    ...more,
  };
}

/** Writes bytes as a network brings them, in one buffer that is used again. Whether all were kept. */
export async function fill(entry: Entry, bytes: Uint8Array, { from = 0, pieceSize = 50_000 } = {}): Promise<boolean> {
  const buffer = new Uint8Array(pieceSize);
  for (let at = 0; at < bytes.length; at += pieceSize) {
    const piece = bytes.subarray(at, at + pieceSize);
    buffer.set(piece);
    const kept = await entry.write(from + at, buffer.subarray(0, piece.length));
    buffer.fill(0);
    if (!kept) return false;
  }
  return true;
}

/** A key's entry with a whole body. */
export async function put(cache: Cache, key: string, bytes: Uint8Array, more: Partial<StoredResponse> = {}) {
  const entry = cache.add(key, responseOf({ length: bytes.length, ...more }));
  assert(await fill(entry, bytes), `${key} is kept`);
  return entry;
}

/** What is held from an offset on, at most `most` bytes of it. */
export async function readHeld(entry: Entry, { from = 0, most = 1 << 24, step = 70_000 } = {}) {
  const bytes = new Uint8Array(most);
  let at = 0;
  while (at < most) {
    const count = await entry.read(from + at, bytes.subarray(at, at + step));
    if (count === 0) break;
    at += count;
  }
  return bytes.slice(0, at);
}

/** As `assertEquals`, for bytes so many that nobody wants to see them. */
export function assertBytes(actual: Uint8Array, expected: Uint8Array): void {
  const at = actual.findIndex((byte, at) => byte !== expected[at]);
  assert(at < 0, `byte ${at} is another`);
  assertEquals(actual.length, expected.length);
}

const nothing: Selection = { keys: [], prefixes: [], tags: [] };

/** Registers the suite's tests. */
export function cacheSuite(name: string, { open }: CacheHarness): void {
  const test = (what: string, work: (cache: Cache) => Promise<void>) =>
    Deno.test(`${name}: ${what}`, async () => {
      await using cache = await open();
      await work(cache);
    });

  test("an entry is found at once, and its body as it comes", async (cache) => {
    assertEquals(cache.find("/a"), []);
    const bytes = pattern(3_000_000);
    const entry = cache.add("/a", responseOf({ length: bytes.length }));
    assertEquals(cache.find("/a"), [entry]);
    assertEquals([entry.key, entry.held, entry.body, entry.gone], ["/a", [], null, false]);
    assert(await fill(entry, bytes.subarray(0, 1_500_000)));
    assertEquals(entry.held, [{ start: 0, end: 1_500_000 }]);
    assertBytes(await readHeld(entry, { from: 1_499_990 }), bytes.subarray(1_499_990, 1_500_000));
    assertEquals(await entry.read(1_500_000, new Uint8Array(5)), 0);
    assert(await fill(entry, bytes.subarray(1_500_000), { from: 1_500_000 }));
    assertEquals(entry.held, [{ start: 0, end: 3_000_000 }]);
    assertBytes(await readHeld(entry), bytes);
    assert(cache.find("/a")[0] === entry, "it is the very one");
    assertEquals(cache.find("/b"), []);
  });

  test("a small whole body stands in memory as one piece", async (cache) => {
    for (const size of [1, 1000, 16_384, 16_385, 300_000]) {
      const bytes = pattern(size, size);
      const entry = await put(cache, `/${size}`, bytes);
      assertBytes(entry.body!, bytes);
      assertEquals(entry.body!.buffer.byteLength, size, "no more memory than it needs");
    }
    assertEquals(cache.add("/empty", responseOf({ length: 0 })).body, new Uint8Array(0));
  });

  test("a body whose length is known at its end only is whole then", async (cache) => {
    const bytes = pattern(20_000);
    const entry = cache.add("/a", responseOf());
    assert(await fill(entry, bytes, { pieceSize: 7000 }));
    assertEquals(entry.body, null);
    entry.update(responseOf({ length: 20_000, status: 203 }));
    assertEquals(entry.response.status, 203);
    assertBytes(entry.body!, bytes);
    assertEquals(entry.held, [{ start: 0, end: 20_000 }]);
  });

  test("parts are held apart, join, and are read across", async (cache) => {
    const bytes = pattern(2_500_000);
    const entry = cache.add("/a", responseOf({ length: bytes.length }));
    const parts = [[1_000_000, 1_100_000], [5, 10], [2_499_999, 2_500_000], [1_100_000, 1_100_001], [7, 12]] as const;
    for (const [start, end] of parts) assert(await entry.write(start, bytes.subarray(start, end)));
    assertEquals(entry.held, [{ start: 5, end: 12 }, { start: 1_000_000, end: 1_100_001 }, {
      start: 2_499_999,
      end: 2_500_000,
    }]);
    assertBytes(await readHeld(entry, { from: 6 }), bytes.subarray(6, 12));
    assertBytes(await readHeld(entry, { from: 4 }), new Uint8Array(0));
    assertBytes(await readHeld(entry, { from: 1_000_001 }), bytes.subarray(1_000_001, 1_100_001));
    assert(await fill(entry, bytes));
    assertEquals(entry.held, [{ start: 0, end: bytes.length }]);
    assertBytes(await readHeld(entry), bytes);
  });

  test("what goes beyond the length is not kept", async (cache) => {
    const entry = cache.add("/a", responseOf({ length: 10 }));
    assertEquals(await entry.write(5, pattern(6)), false);
    assertEquals(await entry.write(5, pattern(5)), true);
    assertEquals(entry.held, [{ start: 5, end: 10 }]);
  });

  test("variants stand beside each other, the newest first; an equal one is replaced", async (cache) => {
    const varied = (value: string | null) => responseOf({ length: 3, varied: [["accept-language", value]] });
    const de = cache.add("/a", varied("de"));
    const none = cache.add("/a", varied(null));
    assertEquals(cache.find("/a"), [none, de]);
    const newer = cache.add("/a", varied("de"));
    assertEquals(cache.find("/a"), [newer, none]);
    assertEquals([de.gone, none.gone, newer.gone], [true, false, false]);
    assertEquals(await de.write(0, pattern(3)), false);
    assertEquals(await newer.write(0, pattern(3)), true);
  });

  test("a page of endless variants does not fill the cache", async (cache) => {
    for (let at = 0; at < 1000; at++) cache.add("/a", responseOf({ varied: [["user-agent", `${at}`]] }));
    const found = cache.find("/a");
    assert(found.length > 1 && found.length < 100, `${found.length} are there`);
    assertEquals(found[0]!.response.varied, [["user-agent", "999"]]);
    await Promise.resolve();
  });

  test("an entry that is removed is gone", async (cache) => {
    const entry = await put(cache, "/a", pattern(100));
    const other = await put(cache, "/b", pattern(100));
    await cache.remove(entry);
    assertEquals([entry.gone, entry.held, entry.body], [true, [], null]);
    assertEquals(cache.find("/a"), []);
    assertEquals(await entry.write(0, pattern(100)), false);
    await cache.remove(entry);
    assertEquals(cache.find("/b"), [other]);
  });

  test("a purge takes what it names, by key, beginning and tag", async (cache) => {
    const keys = ["/a", "/a/1", "/a/2?x=%F0", "/b", "/b/1", "/c", "/~"];
    for (const key of keys) await put(cache, key, pattern(50), { tags: key < "/b/" ? ["low", key] : ["high", key] });
    const left = () => keys.filter((key) => cache.find(key).length > 0);
    assertEquals(await cache.purge({ ...nothing, keys: ["/a", "/none"] }, { soft: false }), 1);
    assertEquals(left(), ["/a/1", "/a/2?x=%F0", "/b", "/b/1", "/c", "/~"]);
    assertEquals(await cache.purge({ ...nothing, prefixes: ["/a/"], keys: ["/a/1"] }, { soft: false }), 2);
    assertEquals(left(), ["/b", "/b/1", "/c", "/~"]);
    assertEquals(await cache.purge({ ...nothing, tags: ["low", "/c", "none"] }, { soft: false }), 2);
    assertEquals(left(), ["/b/1", "/~"]);
    assertEquals(await cache.purge({ ...nothing, tags: ["low"] }, { soft: false }), 0);
    assertEquals(await cache.purge({ ...nothing, prefixes: [""] }, { soft: false }), 2);
    assertEquals(left(), []);
  });

  test("a purge also means what is just being filled, and nothing that comes after it", async (cache) => {
    const entry = cache.add("/a", responseOf({ length: 4_000_000, tags: ["t"] }));
    assert(await fill(entry, pattern(1_500_000)));
    const purged = cache.purge({ ...nothing, tags: ["t"] }, { soft: false });
    assertEquals([entry.gone, cache.find("/a")], [true, []], "at once");
    const newer = await put(cache, "/a", pattern(1000), { tags: ["t"] });
    assertEquals(await purged, 1);
    assertEquals(await entry.write(1_500_000, pattern(10)), false);
    assertEquals(cache.find("/a"), [newer]);
    assertEquals(newer.body, pattern(1000));
  });

  test("a soft purge marks stale, and what is held stays", async (cache) => {
    const entry = await put(cache, "/a/1", pattern(1000), { tags: ["t"] });
    const other = await put(cache, "/b", pattern(1000));
    assertEquals(await cache.purge({ keys: ["/a/1"], prefixes: ["/a/"], tags: ["t"] }, { soft: true }), 1);
    assertEquals([entry.response.stale, entry.gone, other.response.stale], [true, false, false]);
    assertBytes(entry.body!, pattern(1000));
    entry.update({ ...entry.response, stale: false });
    assertEquals(cache.find("/a/1")[0]!.response.stale, false);
  });

  test("an update that changes its tags changes what purges it", async (cache) => {
    const entry = cache.add("/a", responseOf({ tags: ["old", "both"] }));
    entry.update(responseOf({ tags: ["both", "new"] }));
    assertEquals(await cache.purge({ ...nothing, tags: ["old"] }, { soft: false }), 0);
    assertEquals(await cache.purge({ ...nothing, tags: ["new"] }, { soft: false }), 1);
  });

  test("a length that shrinks takes with it what is held", async (cache) => {
    const entry = await put(cache, "/a", pattern(1000));
    entry.update(responseOf({ length: 500 }));
    assertEquals([entry.held, entry.body], [[], null]);
    assert(await fill(entry, pattern(500, 2)));
    assertBytes(entry.body!, pattern(500, 2));
  });

  test("single bytes here and there do not fill our memory", async (cache) => {
    const bytes = pattern(1_048_576);
    const entry = cache.add("/a", responseOf({ length: bytes.length }));
    for (let at = 0; at < 2000; at += 2) await entry.write(at, bytes.subarray(at, at + 1));
    assert(await fill(entry, bytes));
    assertBytes(await readHeld(entry), bytes);
  });

  test("figures tell what there is", async (cache) => {
    const entries = await Promise.all([1, 2, 3].map((at) => put(cache, `/${at}`, pattern(1000 * at))));
    const { entries: count, memoryBytes, evictions } = cache.figures();
    assertEquals([count, evictions], [3, 0]);
    assert(memoryBytes >= 6000 && memoryBytes < 60_000, `${memoryBytes}`);
    await cache.remove(entries[0]!);
    assertEquals(cache.figures().entries, 2);
  });

  test("after its end a cache takes nothing", async (cache) => {
    const entry = await put(cache, "/a", pattern(100));
    await cache.close();
    assertEquals(await entry.write(0, pattern(100)), false);
    assertEquals(cache.add("/b", responseOf()).gone, true);
    assertEquals(await entry.read(0, new Uint8Array(10)), 0);
    await cache.close();
  });
}
