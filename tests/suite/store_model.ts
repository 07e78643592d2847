/** A store against a model of a few lines: random histories must look the same from outside. */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { compareVersions, type Manifest, tombstone } from "../../proto/mod.ts";
import { comparePaths } from "../../server/store/path_order.ts";
import type { Store } from "../../server/store/store.ts";
import { chunksOf, manifestOf, pattern, read, sha256, versionOf } from "./store_suite.ts";

const paths = ["/a", "/a/b", "/a/\u{ff5e}", "/a/\u{1f4f7}", "/b"];
const someBytes = fc.record({ length: fc.nat(2000), seed: fc.nat(5) }).map(({ length, seed }) => pattern(length, seed));
const somePath = fc.constantFrom(...paths);
const someVersion = fc.record({ wallMs: fc.nat(5), counter: fc.nat(2), server: fc.constantFrom("a", "b") });

type Act =
  | { do: "stage"; bytes: Uint8Array }
  | { do: "put"; path: string; version: ReturnType<typeof versionOf>; bytes: Uint8Array | null }
  | { do: "list"; prefix: string; after: string; limit: number; tombstones: boolean }
  | { do: "changes"; limit: number }
  | { do: "forget"; path: string; version: ReturnType<typeof versionOf> }
  | { do: "part"; bytes: Uint8Array; from: number; to: number };

const someAct: fc.Arbitrary<Act> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ do: fc.constant("stage" as const), bytes: someBytes }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("put" as const),
      path: somePath,
      version: someVersion,
      bytes: fc.option(someBytes, { freq: 4 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("list" as const),
      prefix: fc.constantFrom("", "/a", "/a/", "/c"),
      after: fc.constantFrom("", ...paths),
      limit: fc.integer({ min: 1, max: 6 }),
      tombstones: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("forget" as const), path: somePath, version: someVersion }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("changes" as const), limit: fc.integer({ min: 1, max: 3 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("part" as const), bytes: someBytes, from: fc.nat(100), to: fc.nat(100) }),
  },
);

/** Tries `runs` random histories, each on a store of its own; a failure shows the shortest one found. */
export async function checkStoreAgainstModel(open: () => Promise<Store>, runs: number): Promise<void> {
  await fc.assert(
    fc.asyncProperty(fc.array(someAct, { maxLength: 40 }), async (acts) => {
      await using store = await open();
      await replay(store, acts);
    }),
    { numRuns: runs },
  );
}

async function replay(store: Store, acts: Act[]): Promise<void> {
  const manifests = new Map<string, Manifest>();
  const bodies = new Map<string, Uint8Array>();
  for (const act of acts) {
    if (act.do === "stage") {
      await store.stage(chunksOf(act.bytes, 300));
      bodies.set(sha256(act.bytes), act.bytes);
    } else if (act.do === "put") {
      const manifest = act.bytes ? manifestOf(act.path, act.version, act.bytes) : tombstone(act.path, act.version);
      const old = manifests.get(act.path);
      const order = old ? compareVersions(act.version, old.version) : 1;
      const outcome = await store.put(manifest).catch((error) => error.status);
      if (order <= 0) assertEquals(outcome, order === 0);
      else if (act.bytes && !bodies.has(manifest.sha256)) assertEquals(outcome, 409);
      else {
        assertEquals(outcome, true);
        manifests.delete(act.path);
        manifests.set(act.path, manifest);
      }
    } else if (act.do === "list") {
      const { entries, more } = await store.list({ by: "path", ...act });
      const all = [...manifests.values()].filter(({ path, deleted }) =>
        path.startsWith(act.prefix) && (act.tombstones || !deleted) && (!act.after || comparePaths(path, act.after) > 0)
      ).sort((a, b) => comparePaths(a.path, b.path));
      assertEquals(entries.map(({ manifest }) => manifest), all.slice(0, act.limit));
      assertEquals(more, all.length > act.limit);
    } else if (act.do === "forget") {
      const old = manifests.get(act.path);
      const known = old !== undefined && compareVersions(old.version, act.version) === 0;
      assertEquals(await store.forget(act.path, act.version), known);
      if (known) manifests.delete(act.path);
    } else if (act.do === "changes") {
      // A Map that an overwritten key is taken from and added to again is in the order of changes.
      assertEquals(await everyChange(store, act.limit), [...manifests.values()]);
    } else {
      const digest = sha256(act.bytes);
      const [start, end] = [act.from, act.to].map((percent) => Math.floor(act.bytes.length * percent / 100)) as [
        number,
        number,
      ];
      const held = bodies.get(digest);
      if (!held) assertEquals(await store.open(digest), null);
      else if (start <= end) assertEquals(await read(store, digest, { start, end }), held.slice(start, end));
    }
  }
  for (const path of paths) assertEquals(await store.get(path), manifests.get(path) ?? null);
  for (const [digest, bytes] of bodies) assertEquals(await read(store, digest), bytes);
}

async function everyChange(store: Store, limit: number): Promise<Manifest[]> {
  const found: Manifest[] = [];
  for (let after = 0, more = true; more;) {
    const page = await store.list({ by: "change", after, limit });
    for (const { manifest, change } of page.entries) {
      if (change <= after) throw new Error(`change ${change} comes after ${after}`);
      after = change;
      found.push(manifest);
    }
    more = page.more;
  }
  return found;
}
