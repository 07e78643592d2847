/**
 * The price sheets: those that the program comes with, and over them what operators wrote.
 *
 * Only writes are stored, all of them, each with who and when; a delete is a write too (a tombstone). So a
 * deleted sheet of the seed stays deleted, a sheet that nobody touched follows the program's own seed when that
 * is renewed, and two books could be made equal by exchanging rows: the newest by (time, writer) counts.
 */
import type { DatabaseSync } from "node:sqlite";
import { clone, create, fromBinary } from "@bufbuild/protobuf";
import { CdnError, protobufCodec, wire } from "../proto/mod.ts";
import { transaction } from "./database.ts";

/** The most sheets that are kept; all clouds together have a few hundred regions. */
export const MOST_SHEETS = 2000;

/** Who writes, and when. */
export interface Write {
  /** The token's fingerprint or "local", and the address: `token:1f2e3d4c@192.0.2.7`. */
  by: string;
  nowMs: number;
}

/** What counts for one provider and region; a null sheet was deleted. */
interface Entry {
  sheet: wire.Sheet | null;
  atMs: number;
}

/** The sheets of one pricing server. */
export class Book {
  readonly #database: DatabaseSync;
  readonly #seed = new Map<string, wire.Sheet>();
  /** By `provider/region`; the same as in the database, and changed only after it. */
  readonly #entries = new Map<string, Entry>();

  constructor(database: DatabaseSync, seed: readonly wire.Sheet[]) {
    this.#database = database;
    for (const sheet of seed) {
      // Older than whatever anybody writes, here or at a peer.
      const stamped = Object.assign(clone(wire.SheetSchema, sheet), { updatedMs: 0n, updatedBy: "seed" });
      this.#seed.set(keyOf(sheet), stamped);
      this.#entries.set(keyOf(sheet), { sheet: stamped, atMs: 0 });
    }
    const newest = database.prepare(`
      SELECT provider, region, at_ms, sheet FROM (
        SELECT *, row_number() OVER (PARTITION BY provider, region ORDER BY at_ms DESC, by DESC) AS place FROM changes
      ) WHERE place = 1`);
    for (const row of newest.iterate() as Iterable<ChangeRow & { provider: string; region: string }>) {
      this.#entries.set(keyOf(row), { sheet: decodeSheet(row.sheet), atMs: row.at_ms });
    }
  }

  /** The sheet of a provider and region; null where there is none. */
  get(provider: string, region: string): wire.Sheet | null {
    return this.#entries.get(keyOf({ provider, region }))?.sheet ?? null;
  }

  /** All sheets, by provider and region. */
  list(): wire.Sheet[] {
    const keys = [...this.#entries.keys()].sort();
    return keys.map((key) => this.#entries.get(key)!.sheet).filter((sheet) => sheet !== null);
  }

  /**
   * Keeps a checked sheet; it counts at once. Returns it with its time and writer.
   * @throws {CdnError} 507 where there is no room.
   */
  put(sheet: wire.Sheet, { by, nowMs }: Write): wire.Sheet {
    if (!this.get(sheet.provider, sheet.region) && this.list().length >= MOST_SHEETS) {
      throw new CdnError(`Cannot keep more than ${MOST_SHEETS} sheets`, { source: "client", status: 507 });
    }
    const atMs = this.#stamp(sheet, nowMs);
    const stamped = Object.assign(clone(wire.SheetSchema, sheet), { updatedMs: BigInt(atMs), updatedBy: by });
    this.#write(sheet, { sheet: stamped, atMs }, by);
    return stamped;
  }

  /** Takes a sheet away, for good; false where there is none. */
  delete(provider: string, region: string, { by, nowMs }: Write): boolean {
    if (!this.get(provider, region)) return false;
    const place = { provider, region };
    this.#write(place, { sheet: null, atMs: this.#stamp(place, nowMs) }, by);
    return true;
  }

  /** What was written for a provider and region, the newest first; the seed comes last. */
  history(provider: string, region: string, limit = 100): wire.SheetChange[] {
    const rows = this.#database.prepare(
      "SELECT at_ms, by, sheet FROM changes WHERE provider = ? AND region = ? ORDER BY at_ms DESC, by DESC LIMIT ?",
    ).all(provider, region, limit) as unknown as ChangeRow[];
    const changes = rows.map((row) => change(decodeSheet(row.sheet), row.at_ms, row.by));
    const seed = this.#seed.get(keyOf({ provider, region }));
    if (seed && changes.length < limit) changes.push(change(seed, 0, seed.updatedBy));
    return changes;
  }

  /** Newer than the write before, whatever the clock says: else a write would not count. */
  #stamp(place: { provider: string; region: string }, nowMs: number): number {
    return Math.max(nowMs, (this.#entries.get(keyOf(place))?.atMs ?? 0) + 1);
  }

  #write({ provider, region }: { provider: string; region: string }, entry: Entry, by: string): void {
    const bytes = entry.sheet && protobufCodec.encode(wire.SheetSchema, entry.sheet);
    transaction(this.#database, () => {
      this.#database.prepare("INSERT INTO changes (provider, region, at_ms, by, sheet) VALUES (?, ?, ?, ?, ?)")
        .run(provider, region, entry.atMs, by, bytes);
    });
    this.#entries.set(keyOf({ provider, region }), entry);
  }
}

interface ChangeRow {
  at_ms: number;
  by: string;
  sheet: Uint8Array | null;
}

/** Neither name may have a slash in it. */
function keyOf({ provider, region }: { provider: string; region: string }): string {
  return `${provider}/${region}`;
}

/** Without the rules: what was stored under older rules must still be read. */
function decodeSheet(bytes: Uint8Array | null): wire.Sheet | null {
  return bytes && fromBinary(wire.SheetSchema, bytes);
}

function change(sheet: wire.Sheet | null, atMs: number, by: string): wire.SheetChange {
  return create(wire.SheetChangeSchema, { ...(sheet ? { sheet } : {}), atMs: BigInt(atMs), by });
}
