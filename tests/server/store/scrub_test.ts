/** The scrubber: finds rot that nobody reads, goes slowly, and knows after a restart how far it was. */
import { assert, assertEquals } from "@std/assert";
import { tombstone } from "../../../proto/mod.ts";
import { createLogger } from "../../../runtime/log.ts";
import { openDiskStore } from "../../../server/store/mod.ts";
import { eventually } from "../../kit/eventually.ts";
import { tempDir } from "../../kit/temp_dir.ts";
import { pattern, read, sha256, versionOf, write } from "../../suite/store_suite.ts";

const BLOCK = 256 * 1024;

Deno.test("scrub: finds what is rotten, and what is gone", async () => {
  await using dir = await tempDir();
  await using store = await openDiskStore({ folder: dir.path, minFreeBytes: 0, scrubBytesPerSecond: 0 });
  const lost: string[] = [];
  store.onLost = ({ sha256 }) => lost.push(sha256);
  const digests: string[] = [];
  for (let at = 0; at < 12; at++) {
    digests.push((await write(store, `/${at}`, versionOf(1), pattern(20_000 + at, at))).sha256);
  }
  const fileOf = (digest: string) => `${dir.path}/bodies/${digest.slice(0, 2)}/${digest}`;
  const total = digests.reduce((sum, _, at) => sum + 20_000 + at, 0);
  assertEquals(await store.scrub(), { bodies: 12, bytes: total, rotten: [] });
  // Rot that no sum can tell: the sums fit the rotten bytes.
  const [rotten, gone] = [digests[3]!, digests[7]!];
  Deno.writeFileSync(fileOf(rotten), pattern(20_003, 99));
  Deno.removeSync(`${fileOf(rotten)}.sums`);
  Deno.removeSync(fileOf(gone));
  const expected = { bodies: 11, bytes: total - 20_007, rotten: [rotten, gone].sort() };
  assertEquals(await store.scrub(), expected);
  assertEquals(lost.sort(), expected.rotten);
  assertEquals(await read(store, rotten), null);
  assertEquals((await store.scrub()).bodies, 10);
  assertEquals(lost.length, 2, "told once");
  assertEquals([...Deno.readDirSync(fileOf(gone).slice(0, -65))].length, 0, "sums without a body are cleared");
});

Deno.test("scrub: goes on in the background where it stood, and no faster than it may", async () => {
  await using dir = await tempDir();
  const lines: string[] = [];
  const log = createLogger({ write: (line) => lines.push(line) });
  let time = 1_000_000;
  /** The scrubber waits until it is let go on; how long it wanted to wait is what it read at the rate. */
  let waits: { ms: number; go: () => void }[] = [];
  const options = {
    folder: dir.path,
    minFreeBytes: 0,
    now: () => time,
    log,
    scrubBytesPerSecond: BLOCK,
    sleep: (ms: number, signal: AbortSignal) =>
      new Promise<void>((resolve, reject) => {
        if (signal.aborted) reject(signal.reason);
        waits.push({ ms, go: resolve });
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      }),
  };
  /** Lets it go on until it has waited for `count` pieces, or for the next day; the pieces' times. */
  const letRun = async (count: number): Promise<number[]> => {
    const pieces: number[] = [];
    while (pieces.length < count) {
      const { ms, go } = await eventually(() => waits.shift(), { everyMs: 1 });
      if (ms > 3_600_000) {
        waits.unshift({ ms, go });
        break;
      }
      if (ms > 0) pieces.push(ms);
      time += ms;
      go();
    }
    return pieces;
  };
  {
    await using store = await openDiskStore({ ...options, scrubBytesPerSecond: 0 });
    for (let at = 0; at < 5; at++) await write(store, `/${at}`, versionOf(1), pattern(BLOCK + 1000 * at, at));
    await store.put(tombstone("/x", versionOf(1)));
  }
  const read: number[] = [];
  {
    await using _store = await openDiskStore(options);
    read.push(...await letRun(4));
  }
  waits = [];
  assert(!lines.some((line) => line.includes("scrubbed")));
  {
    await using _store = await openDiskStore(options);
    read.push(...await letRun(100));
    assertEquals(lines.filter((line) => line.includes("scrubbed all bodies bodies=5")).length, 1, lines.join());
    // What was half read is read once more; all else just once.
    const once = 5 * 1000 + (0 + 1000 + 2000 + 3000 + 4000) / BLOCK * 1000;
    const all = read.reduce((sum, ms) => sum + ms, 0);
    assert(all >= once - 1 && all <= once + 2 * 1000 + 1, `${all} is not about ${once}`);
  }
  waits = [];
  {
    // A whole pass was done this day: it waits for the next one.
    await using _store = await openDiskStore(options);
    assertEquals(await letRun(100), []);
    time += 24 * 3_600_000;
    waits.shift()!.go();
    assertEquals((await letRun(100)).length, 9, "two reads for each body but the first");
    assertEquals(lines.filter((line) => line.includes("scrubbed all bodies bodies=5")).length, 2);
  }
});

Deno.test("scrub: a state file that is torn means to begin anew", async () => {
  await using dir = await tempDir();
  for (const state of ["", "{", "null", '{"startedMs":1,"after":"zz","bodies":1,"bytes":1,"rotten":[]}']) {
    Deno.writeTextFileSync(`${dir.path}/scrub.json`, state);
    const lines: string[] = [];
    const log = createLogger({ write: (line) => lines.push(line) });
    await using store = await openDiskStore({ folder: dir.path, minFreeBytes: 0, log, scrubBytesPerSecond: 1e9 });
    await write(store, "/a", versionOf(1), pattern(10));
    await eventually(() => lines.some((line) => line.includes("scrubbed all bodies")), { everyMs: 1 });
    assertEquals((await read(store, sha256(pattern(10))))?.length, 10);
  }
});
