/** `Ledger` on a simulated disk: every change is durable when its method returns. */
import { compareVersions, type Manifest, protobufCodec, wire } from "../../proto/mod.ts";
import type { Ledger, WantedTable } from "../../server/cluster/ports.ts";
import { kindOf } from "../../server/cluster/records.ts";
import { comparePaths } from "../../server/store/path_order.ts";
import { copyManifest, keyOf, type Platter } from "./platter.ts";

/** A process's door to the small tables on its machine's disk. */
export function diskLedger(platter: Platter): Ledger {
  const { records, facts } = platter;
  return {
    records: () =>
      [...records].sort(([a], [b]) => a < b ? -1 : 1).map(([, bytes]) =>
        protobufCodec.decode(wire.ServerSchema, bytes.slice())
      ),
    saveRecord(record) {
      platter.change(records, `${record.id} ${kindOf(record)}`, protobufCodec.encode(wire.ServerSchema, record));
    },
    fact: (name) => facts.get(name) ?? null,
    saveFact: (name, value) => platter.change(facts, name, value),
    wanted: wantedTable(platter),
    close() {},
  };
}

function wantedTable(platter: Platter): WantedTable {
  const { wanted } = platter;
  const manifests = (choose: (manifest: Manifest) => boolean) =>
    [...wanted.values()].map(({ manifest }) => manifest).filter(choose).map(copyManifest);
  const byPath = (a: Manifest, b: Manifest) => comparePaths(a.path, b.path);
  const set = (manifest: Manifest) => {
    const place = wanted.get(manifest.path)?.place ?? ++platter.lastPlace;
    platter.change(wanted, manifest.path, { manifest: copyManifest(manifest), place });
  };
  return {
    get(path) {
      const row = wanted.get(path);
      return row ? copyManifest(row.manifest) : null;
    },
    set,
    setAll: (manifests) => manifests.forEach(set),
    remove(path, version) {
      const row = wanted.get(path);
      if (!row || compareVersions(row.manifest.version, version) !== 0) return false;
      platter.change(wanted, path, undefined);
      return true;
    },
    next: (after, limit) =>
      [...wanted.values()].filter(({ place }) => place > after).sort((a, b) => a.place - b.place).slice(0, limit)
        .map(({ manifest, place }) => ({ manifest: copyManifest(manifest), place })),
    list: (after, limit) => manifests(({ path }) => comparePaths(path, after) > 0).sort(byPath).slice(0, limit),
    byBody: (sha256) => manifests((manifest) => manifest.sha256 === sha256).sort(byPath),
    byKey: (from, to, limit, after) =>
      manifests(({ path }) => {
        const key = keyOf(path);
        return key >= from && key < to && (!after || (key - after.key || comparePaths(path, after.path)) > 0);
      }).sort((a, b) => keyOf(a.path) - keyOf(b.path) || byPath(a, b)).slice(0, limit),
    total() {
      let bytes = 0;
      for (const { manifest } of wanted.values()) bytes += manifest.size;
      return { objects: wanted.size, bytes };
    },
  };
}
