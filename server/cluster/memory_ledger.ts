/** A ledger in memory, for simulations and tests: what a restart of the process would lose, a restart of the object does not. */
import { compareVersions, type Manifest, type Version, type wire } from "../../proto/mod.ts";
import { pathKey } from "../store/path_key.ts";
import { comparePaths } from "../store/path_order.ts";
import type { Ledger, WantedTable } from "./ports.ts";
import { kindOf } from "./records.ts";

/** A {@link Ledger} that outlives `close`, as a file would. */
export class MemoryLedger implements Ledger {
  readonly wanted: MemoryWanted = new MemoryWanted();
  readonly #records = new Map<string, wire.Server>();
  readonly #facts = new Map<string, string>();

  records(): wire.Server[] {
    return [...this.#records].sort(([a], [b]) => a < b ? -1 : 1).map(([, record]) => record);
  }

  saveRecord(record: wire.Server): void {
    this.#records.set(`${record.id}\0${kindOf(record)}`, record);
  }

  fact(name: string): string | null {
    return this.#facts.get(name) ?? null;
  }

  saveFact(name: string, value: string): void {
    this.#facts.set(name, value);
  }

  close(): void {}
}

interface Row {
  manifest: Manifest;
  place: number;
  key: number;
}

/** The table of wanted manifests; manifests are not copied, for nobody changes one. */
class MemoryWanted implements WantedTable {
  readonly #rows = new Map<string, Row>();
  readonly #bodies = new Map<string, Set<string>>();
  /** By key, then path; may hold rows that are gone, and is in order only while {@link #sorted}. */
  #byKey: Row[] = [];
  #sorted = true;
  #gone = 0;
  #last = 0;
  #bytes = 0;

  get(path: string): Manifest | null {
    return this.#rows.get(path)?.manifest ?? null;
  }

  set(manifest: Manifest): void {
    const { path, sha256, size } = manifest;
    let row = this.#rows.get(path);
    if (row) {
      this.#forgetBody(row.manifest);
      row.manifest = manifest;
    } else {
      row = { manifest, place: ++this.#last, key: pathKey(path) };
      this.#rows.set(path, row);
      this.#byKey.push(row);
      this.#sorted = false;
    }
    this.#bytes += size;
    const named = this.#bodies.get(sha256) ?? new Set();
    this.#bodies.set(sha256, named.add(path));
  }

  setAll(manifests: readonly Manifest[]): void {
    for (const manifest of manifests) this.set(manifest);
  }

  remove(path: string, version: Version): boolean {
    const row = this.#rows.get(path);
    if (!row || compareVersions(row.manifest.version, version) !== 0) return false;
    this.#forgetBody(row.manifest);
    this.#gone++;
    return this.#rows.delete(path);
  }

  next(after: number, limit: number): { manifest: Manifest; place: number }[] {
    const found: { manifest: Manifest; place: number }[] = [];
    for (const { manifest, place } of this.#rows.values()) { // in the order of places
      if (place <= after) continue;
      if (found.push({ manifest, place }) >= limit) break;
    }
    return found;
  }

  list(after: string, limit: number): Manifest[] {
    const paths = [...this.#rows.keys()].filter((path) => comparePaths(path, after) > 0).sort(comparePaths);
    return paths.slice(0, limit).map((path) => this.#rows.get(path)!.manifest);
  }

  byBody(sha256: string): Manifest[] {
    return [...this.#bodies.get(sha256) ?? []].map((path) => this.#rows.get(path)!.manifest);
  }

  byKey(from: number, to: number, limit: number, after?: { key: number; path: string }): Manifest[] {
    const rows = this.#inOrder();
    const behind = after && after.key >= from ? after : { key: from, path: "" };
    let low = 0;
    for (let high = rows.length; low < high;) {
      const middle = (low + high) >> 1;
      if (order(rows[middle]!.key, rows[middle]!.manifest.path, behind) > 0) high = middle;
      else low = middle + 1;
    }
    const found: Manifest[] = [];
    for (; low < rows.length && rows[low]!.key < to && found.length < limit; low++) found.push(rows[low]!.manifest);
    return found;
  }

  total(): { objects: number; bytes: number } {
    return { objects: this.#rows.size, bytes: this.#bytes };
  }

  #inOrder(): Row[] {
    if (this.#gone > 0) this.#byKey = this.#byKey.filter((row) => this.#rows.get(row.manifest.path) === row);
    this.#gone = 0;
    if (!this.#sorted) this.#byKey.sort((a, b) => order(a.key, a.manifest.path, { key: b.key, path: b.manifest.path }));
    this.#sorted = true;
    return this.#byKey;
  }

  #forgetBody({ path, sha256, size }: Manifest): void {
    this.#bytes -= size;
    const named = this.#bodies.get(sha256)!;
    named.delete(path);
    if (named.size === 0) this.#bodies.delete(sha256);
  }
}

function order(key: number, path: string, behind: { key: number; path: string }): number {
  return key - behind.key || comparePaths(path, behind.path);
}
