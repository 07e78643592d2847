import { assertEquals, assertRejects } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import { join } from "@std/path";
import fc from "fast-check";
import { CdnError, compareVersions, type Manifest, wire } from "../../../proto/mod.ts";
import { openLedger } from "../../../server/cluster/ledger.ts";
import { MemoryLedger } from "../../../server/cluster/memory_ledger.ts";
import { pathKey } from "../../../server/store/path_key.ts";
import { comparePaths } from "../../../server/store/path_order.ts";
import { live, stampOf } from "./catalog_kit.ts";

type AnyLedger = Awaited<ReturnType<typeof openLedger>> | MemoryLedger;

async function withDisk(work: (open: () => Promise<AnyLedger>) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await work(() => openLedger(join(folder, "cluster.sqlite")));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function inMemory(work: (open: () => Promise<AnyLedger>) => Promise<void>): Promise<void> {
  const ledger = new MemoryLedger();
  await work(() => Promise.resolve(ledger));
}

const paths = ["/a", "/a/b", "/a/\u{ff5e}", "/a/\u{1f4f7}", "/740bf681b6e7", "/926e212bccc2"];
const someManifest = fc.tuple(fc.constantFrom(...paths), fc.nat(4)).map(([path, n]) => live(path, stampOf(n)));
const someAct = fc.oneof(
  fc.record({ do: fc.constantFrom("set", "remove"), manifest: someManifest }),
  fc.record({ do: fc.constant("setAll"), manifests: fc.array(someManifest, { maxLength: 5 }) }),
  fc.record({ do: fc.constant("reopen") }),
);

/** The table against a Map: a key that is set again keeps its place, as a Map's does. */
async function checkWanted(
  open: () => Promise<AnyLedger>,
  acts: typeof someAct extends fc.Arbitrary<infer A> ? A[] : never,
) {
  let ledger = await open();
  for (const manifest of ledger.wanted.list("", 100)) ledger.wanted.remove(manifest.path, manifest.version);
  const rows = new Map<string, Manifest>();
  for (const act of acts) {
    if ("manifest" in act && act.do === "set") {
      ledger.wanted.set(act.manifest);
      rows.set(act.manifest.path, act.manifest);
    } else if ("manifest" in act) {
      const { path, version } = act.manifest;
      const is = rows.has(path) && compareVersions(rows.get(path)!.version, version) === 0;
      assertEquals(ledger.wanted.remove(path, version), is);
      if (is) rows.delete(path);
    } else if ("manifests" in act) {
      ledger.wanted.setAll(act.manifests);
      for (const manifest of act.manifests) rows.set(manifest.path, manifest);
    } else {
      ledger.close();
      ledger = await open();
    }
  }
  const { wanted } = ledger;
  const all = [...rows.values()];
  for (const path of paths) assertEquals(wanted.get(path), rows.get(path) ?? null);
  assertEquals(wanted.total(), { objects: all.length, bytes: all.reduce((bytes, { size }) => bytes + size, 0) });
  const inOrder: Manifest[] = [];
  for (let after = 0, page; (page = wanted.next(after, 2)).length > 0; after = page.at(-1)!.place) {
    inOrder.push(...page.map(({ manifest }) => manifest));
  }
  assertEquals(inOrder, all);
  const byPath = all.toSorted((a, b) => comparePaths(a.path, b.path));
  assertEquals(wanted.list("", 100), byPath);
  assertEquals(wanted.list("/a", 2), byPath.filter(({ path }) => comparePaths(path, "/a") > 0).slice(0, 2));
  const byKey = byPath.toSorted((a, b) => pathKey(a.path) - pathKey(b.path));
  assertEquals(wanted.byKey(0, 2 ** 48, 100), byKey);
  for (const path of paths) {
    const key = pathKey(path);
    assertEquals(wanted.byKey(key, key + 1, 100), byKey.filter((one) => pathKey(one.path) === key));
    const behind = byKey.filter((one) => (pathKey(one.path) - key || comparePaths(one.path, path)) > 0);
    assertEquals(wanted.byKey(0, 2 ** 48, 2, { key, path }), behind.slice(0, 2));
  }
  for (let n = 0; n < 5; n++) {
    const { sha256 } = live("/", stampOf(n));
    assertEquals(
      wanted.byBody(sha256).map(({ path }) => path).sort(),
      all.filter((one) => one.sha256 === sha256).map(({ path }) => path).sort(),
    );
  }
  ledger.close();
}

for (const [kind, withLedger, runs] of [["disk", withDisk, 60], ["memory", inMemory, 200]] as const) {
  Deno.test(`${kind}: random histories of what is wanted agree with a map`, () =>
    withLedger((open) =>
      fc.assert(fc.asyncProperty(fc.array(someAct, { maxLength: 30 }), (acts) => checkWanted(open, acts)), {
        numRuns: runs,
      })
    ));

  Deno.test(`${kind}: records and facts are remembered`, () =>
    withLedger(async (open) => {
      const first = await open();
      const updated = create(wire.VersionSchema, { wallMs: 1n, server: "a" });
      const record = create(wire.ServerSchema, {
        id: "a",
        url: "http://a:1",
        provider: "p",
        region: "r",
        role: "origin",
        updated,
        publicKey: new Uint8Array(32), // what a server says of itself
      });
      first.saveRecord(record);
      first.saveRecord({ ...record, removed: true, publicKey: new Uint8Array() });
      first.saveRecord({ ...record, region: "s" });
      first.saveFact("x", "1");
      first.saveFact("x", "2");
      first.close();
      const second = await open();
      assertEquals(second.records().map(({ region, removed }) => [region, removed]), [["r", true], ["s", false]]);
      assertEquals([second.fact("x"), second.fact("y")], ["2", null]);
      second.close();
    }));
}

Deno.test("disk: several that are set together are set all or none", () =>
  withDisk(async (open) => {
    const ledger = await open();
    ledger.wanted.set(live("/a", stampOf(1)));
    const wrong = { ...live("/c", stampOf(1)), size: NaN };
    let thrown = false;
    try {
      ledger.wanted.setAll([live("/b", stampOf(1)), wrong]);
    } catch {
      thrown = true;
    }
    assertEquals([thrown, ledger.wanted.total(), ledger.wanted.get("/b")], [true, { objects: 1, bytes: 10 }, null]);
    ledger.wanted.set(live("/b", stampOf(1)));
    assertEquals(ledger.wanted.total().objects, 2);
    ledger.close();
  }));

Deno.test("disk: one process at a time", () =>
  withDisk(async (open) => {
    const ledger = await open();
    await assertRejects(open, CdnError, "another process");
    ledger.close();
  }));
