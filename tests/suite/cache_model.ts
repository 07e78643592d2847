/**
 * A cache against a model of a few lines: whatever a read gives are the bytes that were written at that offset of that
 * very entry, or nothing; and what is gone is not found.
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { Cache, Entry } from "../../server/edge/cache/cache.ts";
import { fill, pattern, responseOf } from "./cache_suite.ts";

const keys = ["/a", "/a/1", "/a/2", "/b", "/c"];
const lengths = [0, 1, 5000, 16_384, 40_000, 1_048_576, 1_100_000, 2_500_000];

const act = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(fc.constant("add" as const), fc.nat(4), fc.nat(7), fc.boolean()) },
  { weight: 9, arbitrary: fc.tuple(fc.constant("write" as const), fc.nat(4), fc.nat(1000), fc.nat(1000)) },
  { weight: 3, arbitrary: fc.tuple(fc.constant("fill" as const), fc.nat(4), fc.nat(), fc.nat()) },
  { weight: 6, arbitrary: fc.tuple(fc.constant("read" as const), fc.nat(4), fc.nat(1000), fc.nat(1000)) },
  { weight: 3, arbitrary: fc.tuple(fc.constant("use" as const), fc.nat(4), fc.nat(), fc.nat()) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("remove" as const), fc.nat(4), fc.nat(), fc.nat()) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("purge" as const), fc.nat(4), fc.nat(2), fc.boolean()) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("again" as const), fc.nat(), fc.nat(), fc.nat()) },
);

/** What the model knows of an entry: its bytes, by the ETag that the cache hands back. */
interface Known {
  bytes: Uint8Array;
  written: Uint8Array;
}

/** Tries `runs` random histories. `open` opens the same cache again where `again` is true. */
export async function checkCacheAgainstModel(
  { runs, steps, open }: { runs: number; steps: number; open: (again: boolean) => Promise<Cache> },
): Promise<void> {
  await fc.assert(
    fc.asyncProperty(fc.array(act, { maxLength: steps, size: "max" }), async (acts) => {
      let cache = await open(false);
      try {
        const known = new Map<string, Known>();
        let count = 0;
        let dead: Entry[] = [];
        for (const [what, which, one, two] of acts) {
          const key = keys[which % keys.length]!;
          const [entry] = cache.find(key);
          const it = entry && known.get(etagOf(entry))!;
          if (what === "add") {
            const tag = `${++count}`;
            const length = lengths[one]!;
            known.set(tag, { bytes: pattern(length, count), written: new Uint8Array(length) });
            const fields = [["etag", tag]] as [string, string][];
            const added = cache.add(key, responseOf({ length: two ? length : null, fields, tags: [key] }));
            if (entry) assert(entry.gone, "it was replaced");
            assert(added.gone || cache.find(key)[0] === added);
          } else if (what === "again") {
            await cache.close();
            cache = await open(true);
            dead = [];
          } else if (what === "purge") {
            const selection = [
              { keys: [key], prefixes: [], tags: [] },
              { keys: [], prefixes: [key], tags: [] },
              { keys: [], prefixes: [], tags: [key] },
            ][one as number]!;
            await cache.purge(selection, { soft: two === true });
            if (two) assert(cache.find(key).every(({ response }) => response.stale));
            else assertEquals(cache.find(key), []);
          } else if (entry && it) {
            const start = Math.floor((Number(one) / 1000) * it.bytes.length);
            const end = Math.min(it.bytes.length, start + Math.ceil((Number(two) / 1000) ** 3 * 1_500_000));
            if (what === "write") {
              await entry.write(start, it.bytes.slice(start, end));
              it.written.fill(1, start, end);
            } else if (what === "fill") {
              it.written.fill(1);
              if (await fill(entry, it.bytes)) entry.update({ ...entry.response, length: it.bytes.length });
            } else if (what === "use") entry.use();
            else if (what === "remove") {
              await cache.remove(entry);
              dead.push(entry);
              assertEquals(cache.find(key), []);
            } else {
              const into = new Uint8Array(end - start);
              const got = await entry.read(start, into);
              assertEquals(into.subarray(0, got), it.bytes.slice(start, start + got));
              assert(it.written.subarray(start, start + got).every((byte) => byte === 1), "nobody wrote that");
            }
          }
          for (const name of keys) for (const found of cache.find(name)) check(found, known);
          for (const old of dead) assert(old.gone && !cache.find(old.key).includes(old));
        }
      } finally {
        await cache.close();
      }
    }),
    { numRuns: runs },
  );
}

function check(entry: Entry, known: Map<string, Known>): void {
  const { bytes, written } = known.get(etagOf(entry))!;
  assert(!entry.gone);
  if (entry.body) assertEquals(entry.body, bytes);
  let last = -1;
  for (const { start, end } of entry.held) {
    assert(start > last && end > start && end <= bytes.length, "in order, apart, and inside");
    last = end;
    assert(written[start] === 1 && written[end - 1] === 1, "what is held was written");
  }
}

function etagOf({ response }: Entry): string {
  return response.fields.find(([name]) => name === "etag")![1];
}
