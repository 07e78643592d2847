import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { compareVersions, type Manifest } from "../../../proto/mod.ts";
import { digestBytes, DigestTree, entryDigest, KEPT_LEVELS, keyName } from "../../../server/cluster/digest_tree.ts";
import { horizonMs } from "../../../server/cluster/stale.ts";
import { pathKey } from "../../../server/store/path_key.ts";
import { comparePaths } from "../../../server/store/path_order.ts";
import { chunksOf, manifestOf, pattern, sha256 } from "../../suite/store_suite.ts";
import {
  HOUR,
  live,
  Net,
  openSite,
  Site,
  type SiteOptions,
  stampOf,
  START,
  tombstone,
  VirtualTime,
} from "./catalog_kit.ts";

const TOMBSTONE_MS = 8 * HOUR;
const HORIZON = horizonMs(START, TOMBSTONE_MS);
const paths = ["/a", "/a/b", "/a/\u{ff5e}", "/a/\u{1f4f7}"];
const bodies = [pattern(10, 1), pattern(20, 2), pattern(30, 3)];

/** A version tells what was written: two servers never write the same version. */
function written(path: string, hour: number, counter: number): Manifest {
  const version = stampOf(HORIZON + (hour - 2) * HOUR, "ab"[counter % 2]!, counter);
  return hour % 3 === 0 ? tombstone(path, version) : manifestOf(path, version, bodies[(hour + counter) % 3]!);
}

const someManifest = fc.tuple(fc.constantFrom(...paths), fc.nat(6), fc.nat(2)).map((given) => written(...given));
const someBody = fc.constantFrom(...bodies);

type Act =
  | { do: "learn" | "put" | "forget"; manifest: Manifest }
  | { do: "stage" | "settle" | "lose"; body: Uint8Array }
  | { do: "reopen" | "expire" };

const someAct: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constantFrom("learn", "put", "forget"), manifest: someManifest }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constantFrom("stage", "settle", "lose"), body: someBody }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("reopen", "expire") }) },
) as fc.Arbitrary<Act>;

/** What a catalog must be like, in a few maps. */
class Model {
  readonly rows = new Map<string, Manifest>();
  readonly wanted = new Map<string, Manifest>();
  readonly bodies = new Set<string>();

  known(path: string): Manifest | null {
    const [row, wanted] = [this.rows.get(path), this.wanted.get(path)];
    return !wanted ? row ?? null : row && compareVersions(row.version, wanted.version) >= 0 ? row : wanted;
  }

  has(manifest: Manifest): boolean {
    return manifest.deleted || this.bodies.has(manifest.sha256);
  }

  learn(manifest: Manifest): string {
    const known = this.known(manifest.path);
    const order = known ? compareVersions(manifest.version, known.version) : 1;
    if (order < 0 || !known && manifest.deleted && manifest.version.wallMs < HORIZON) return "old";
    if (order === 0 && !this.wanted.has(manifest.path)) return "held";
    return this.hold(manifest) ? "held" : "wanted";
  }

  put(manifest: Manifest): boolean | number {
    const row = this.rows.get(manifest.path);
    const order = row ? compareVersions(manifest.version, row.version) : 1;
    if (order > 0 && !this.has(manifest)) return 409;
    if (order > 0) {
      this.rows.set(manifest.path, manifest);
      const wanted = this.wanted.get(manifest.path);
      if (wanted && compareVersions(wanted.version, manifest.version) < 0) this.wanted.delete(manifest.path);
    }
    if (order >= 0) this.settle(manifest.sha256);
    return order >= 0;
  }

  hold(manifest: Manifest): boolean {
    if (!this.has(manifest)) this.wanted.set(manifest.path, manifest);
    else {
      this.rows.set(manifest.path, manifest);
      this.wanted.delete(manifest.path);
    }
    return this.has(manifest);
  }

  settle(digest: string): void {
    for (const manifest of [...this.wanted.values()]) if (manifest.sha256 === digest) this.hold(manifest);
  }

  lose(digest: string): void {
    this.bodies.delete(digest);
    for (const row of this.rows.values()) {
      if (!row.deleted && row.sha256 === digest && this.known(row.path) === row) this.wanted.set(row.path, row);
    }
  }

  forget({ path, version }: Manifest): boolean {
    const is = (manifest: Manifest | undefined) => manifest && compareVersions(manifest.version, version) === 0;
    const forgotten = is(this.rows.get(path)) || is(this.wanted.get(path));
    if (is(this.rows.get(path))) this.rows.delete(path);
    if (is(this.wanted.get(path))) this.wanted.delete(path);
    return Boolean(forgotten);
  }

  reopen(): void {
    for (const manifest of [...this.wanted.values()]) this.hold(manifest);
    for (const row of this.rows.values()) {
      if (!this.has(row) && !this.wanted.has(row.path)) this.wanted.set(row.path, row);
    }
  }

  expire(): void {
    const isOver = ({ deleted, version }: Manifest) => deleted && version.wallMs < HORIZON;
    if (!paths.some((path) => this.known(path) && isOver(this.known(path)!))) return;
    for (const row of [...this.rows.values()]) if (isOver(row)) this.rows.delete(row.path);
  }
}

const options = (): SiteOptions => ({ net: new Net(), id: "s", settings: { tombstoneMs: TOMBSTONE_MS } });

Deno.test("random histories agree with the model, and the tree with what is known", () =>
  fc.assert(
    fc.asyncProperty(fc.array(someAct, { maxLength: 40 }), async (acts) => {
      let site = await openSite(options());
      const model = new Model();
      for (const act of acts) {
        const { catalog } = site;
        if (act.do === "learn") assertEquals(await catalog.learn(act.manifest), model.learn(act.manifest));
        else if (act.do === "put") {
          const outcome = await catalog.store.put(act.manifest).catch((error) => error.status);
          assertEquals(outcome, model.put(act.manifest));
        } else if (act.do === "forget") {
          assertEquals(await catalog.forget(act.manifest.path, act.manifest.version), model.forget(act.manifest));
        } else if (act.do === "stage") {
          await catalog.store.stage(chunksOf(act.body));
          model.bodies.add(sha256(act.body));
        } else if (act.do === "settle") {
          const before = new Set(model.wanted.keys());
          model.settle(sha256(act.body));
          for (const { path } of await catalog.settle(sha256(act.body))) assert(before.delete(path));
          assertEquals(before, new Set(model.wanted.keys()));
        } else if (act.do === "lose") {
          site.store.lose(sha256(act.body));
          model.lose(sha256(act.body));
        } else if (act.do === "expire") {
          while ((await catalog.expire(START)).more);
          model.expire();
        } else {
          await site.close();
          site = await openSite({ ...options(), store: site.store, ledger: site.ledger });
          model.reopen();
        }
        await site.catalog.ended();
        await compare(site, model);
      }
      await site.close();
    }),
    { numRuns: 300 },
  ));

async function compare(site: Site, model: Model): Promise<void> {
  const tree = new DigestTree();
  const known = paths.flatMap((path) => model.known(path) ?? [])
    .sort((a, b) => pathKey(a.path) - pathKey(b.path) || comparePaths(a.path, b.path));
  for (const { path, version } of known) tree.add(pathKey(path), entryDigest(path, version));
  for (const path of paths) {
    for (let level = 0; level <= KEPT_LEVELS; level++) {
      const name = keyName(pathKey(path)).slice(0, level);
      assertEquals(site.catalog.tree.node(name), tree.node(name));
    }
    assertEquals(await site.catalog.get(path), model.known(path));
    assertEquals(site.catalog.isWanted(path), model.wanted.get(path) ?? null);
    assertEquals(await site.store.get(path), model.rows.get(path) ?? null);
  }
  assertEquals((await site.all()).map(({ manifest }) => manifest), known);
  const wanted = [...model.wanted.values()];
  const summary = site.catalog.summary();
  assertEquals(
    [summary.digest, summary.objects, summary.wantedObjects, summary.wantedBytes],
    [
      digestBytes(tree.node("").digest),
      BigInt(known.length),
      BigInt(wanted.length),
      BigInt(wanted.reduce((bytes, { size }) => bytes + size, 0)),
    ],
  );
}

Deno.test("what is put and learned while the catalog is being read is counted once", async () => {
  const time = new VirtualTime();
  const first = await openSite({ ...options(), time });
  const old = Array.from({ length: 2500 }, (_, n) => tombstone(`/old/${n}`, stampOf(START + n)));
  const learning = first.learn(old);
  await time.pass(0);
  await learning;
  await first.close();
  const site = new Site({ ...options(), time, store: first.store, ledger: first.ledger });
  const opened = site.catalog.open();
  const changes: Promise<unknown>[] = [];
  for (let turn = 0; !site.catalog.ready; turn++) {
    assert(turn < 10, "it must come to an end");
    assertEquals(site.catalog.summary().digest.length, 0);
    for (let n = turn * 7; n < 2500; n += 97) {
      changes.push(
        site.catalog.store.put(tombstone(`/old/${n}`, stampOf(START + 10_000 + turn))),
        site.catalog.learn(live(`/new/${n}`, stampOf(START + turn))),
        site.catalog.forget(`/old/${n + 1}`, stampOf(START + n + 1)),
      );
    }
    await time.pass(0);
  }
  await opened;
  await time.pass(0);
  await Promise.all(changes);
  const tree = new DigestTree();
  const all = await site.all();
  for (const { key, manifest: { path, version } } of all) tree.add(key, entryDigest(path, version));
  assert(all.length > 2400 && all.length < 2600, `${all.length}`);
  assertEquals(site.catalog.tree.node(""), tree.node(""));
  await site.close();
});

Deno.test("listeners hear of what becomes wanted and of what becomes visible, once each", async () => {
  const site = await openSite(options());
  const heard: string[] = [];
  site.catalog.onWanted(({ path }) => heard.push(`wanted ${path}`));
  site.catalog.onHeld(({ path }) => heard.push(`held ${path}`));
  const body = pattern(10, 1);
  await site.catalog.learn(manifestOf("/a", stampOf(START), body));
  await site.catalog.learn(manifestOf("/a", stampOf(START), body));
  await site.catalog.learn(manifestOf("/b", stampOf(START), body));
  await site.catalog.store.stage(chunksOf(body));
  await site.catalog.settle(sha256(body));
  await site.catalog.store.put(manifestOf("/c", stampOf(START), body));
  await site.catalog.store.put(manifestOf("/c", stampOf(START), body));
  await site.catalog.learn(tombstone("/a", stampOf(START + 1)));
  site.store.lose(sha256(body));
  await site.catalog.ended();
  assertEquals(heard, [
    "wanted /a",
    "wanted /b",
    "held /a",
    "held /b",
    "held /c",
    "held /a",
    ...["/b", "/c"].map((path) => `wanted ${path}`),
  ]);
  await site.close();
});

Deno.test("what is wanted and cannot be saved is an error for those who learned it, and is not known", async () => {
  const site = await openSite(options());
  site.ledger.wanted.setAll = () => {
    throw new Error("no room");
  };
  const outcomes = await Promise.allSettled(["/a", "/b"].map((path) => site.catalog.learn(live(path, stampOf(START)))));
  assertEquals(outcomes.map(({ status }) => status), ["rejected", "rejected"]);
  assertEquals(site.catalog.tree.node("").count, 0);
  await site.close();
});

Deno.test("two servers that have yet to read what they know are not the same", async () => {
  const net = new Net();
  const [a, b] = [new Site({ net, id: "a" }), new Site({ net, id: "b" })];
  const same = () => [a.catalog.isSame(b.catalog.summary()), b.catalog.isSame(a.catalog.summary())];
  assertEquals(same(), [false, false], "both unread");
  await a.catalog.open();
  assertEquals(same(), [false, false], "one of both unread");
  await b.catalog.open();
  assertEquals(same(), [true, true]);
  await a.catalog.learn(written("/a", 1, 0));
  assertEquals(same(), [false, false]);
  await b.catalog.learn(written("/a", 1, 0));
  assertEquals(same(), [true, true]);
});
