/**
 * The price sheets: those that the program comes with, and over them what operators wrote, here or at a peer.
 *
 * Each sheet is a last-writer-wins register (M. Shapiro et al., "A comprehensive study of Convergent and Commutative
 * Replicated Data Types", 2011, §3.2.1), stamped by a hybrid clock; a delete is a write too (a tombstone). A sheet of
 * the seed has the oldest stamp of all, so that whatever anybody wrote goes before it; it is never told to a peer, and
 * a sheet that nobody touched follows the program's own seed when that is renewed.
 */
import type { DatabaseSync } from "node:sqlite";
import { clone, create, fromBinary } from "@bufbuild/protobuf";
import {
  CdnError,
  compareVersions,
  formatVersion,
  type HybridClock,
  messageFaults,
  protobufCodec,
  type Version,
  versionFromWire,
  versionToWire,
  wire,
} from "../proto/mod.ts";
import { transaction } from "./database.ts";
import type { Sequence } from "./sequence.ts";
import { SetDigest } from "./set_digest.ts";

/** The most sheets that are kept; all clouds together have a few hundred regions. */
export const MOST_SHEETS = 2000;

/** The most that is taken from peers, tombstones among them: what several servers took in apart must find room. */
const MOST_ENTRIES = 5 * MOST_SHEETS;

/** Who writes, and when. */
export interface Write {
  /** The token's fingerprint or "local", and the address: `token:1f2e3d4c@192.0.2.7`. */
  by: string;
  nowMs: number;
}

/** What a {@link Book} and a `UsageBook` say of entries that a peer sent. */
export interface Merged {
  /** How many of them were news. */
  taken: number;
  /** Why others were not taken, in words; the sender is at fault. */
  refused: string[];
}

/** What counts for one provider and region; a null sheet was deleted. */
interface Entry {
  sheet: wire.Sheet | null;
  stamp: Version;
  by: string;
  /** Its place in the log; 0 for the seed, which is not in it. */
  seq: number;
}

interface Place {
  provider: string;
  region: string;
}

/** The sheets of one pricing server. */
export class Book {
  readonly #database: DatabaseSync;
  readonly #clock: HybridClock;
  readonly #sequence: Sequence;
  readonly #seed = new Map<string, wire.Sheet>();
  /** By `provider/region`; the same as in the database, and changed only after it. */
  readonly #entries = new Map<string, Entry>();
  /** Of all that was written: by place and stamp. */
  readonly digest = new SetDigest();

  constructor(
    database: DatabaseSync,
    { seed, clock, sequence }: { seed: readonly wire.Sheet[]; clock: HybridClock; sequence: Sequence },
  ) {
    this.#database = database;
    this.#clock = clock;
    this.#sequence = sequence;
    for (const sheet of seed) {
      const stamped = Object.assign(clone(wire.SheetSchema, sheet), { updatedMs: 0n, updatedBy: "seed" });
      this.#seed.set(keyOf(sheet), stamped);
      this.#entries.set(keyOf(sheet), {
        sheet: stamped,
        stamp: { wallMs: 0, counter: 0, server: "" },
        by: "seed",
        seq: 0,
      });
    }
    const newest = database.prepare(`
      SELECT * FROM (
        SELECT *, row_number() OVER (
          PARTITION BY provider, region ORDER BY at_ms DESC, counter DESC, server DESC
        ) AS place FROM changes
      ) WHERE place = 1`);
    for (const row of newest.iterate() as Iterable<ChangeRow & Place & { seq: number }>) {
      this.#keep(keyOf(row), { sheet: decodeSheet(row.sheet), stamp: stampOf(row), by: row.by, seq: row.seq });
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
    const stamp = this.#stamp(sheet, nowMs);
    const stamped = stampedSheet(sheet, sheet, stamp, by);
    this.#write([[sheet, { sheet: stamped, stamp, by, seq: this.#sequence.next() }]]);
    return stamped;
  }

  /** Takes a sheet away, for good; false where there is none. */
  delete(provider: string, region: string, { by, nowMs }: Write): boolean {
    if (!this.get(provider, region)) return false;
    const place = { provider, region };
    this.#write([[place, { sheet: null, stamp: this.#stamp(place, nowMs), by, seq: this.#sequence.next() }]]);
    return true;
  }

  /** What was written for a provider and region and counted here, the newest first; the seed comes last. */
  history(provider: string, region: string, limit = 100): wire.SheetChange[] {
    const rows = this.#database.prepare(`
      SELECT at_ms, counter, server, by, sheet FROM changes WHERE provider = ? AND region = ?
      ORDER BY at_ms DESC, counter DESC, server DESC LIMIT ?`).all(provider, region, limit) as unknown as ChangeRow[];
    const changes = rows.map((row) => change(decodeSheet(row.sheet), row));
    const seed = this.#seed.get(keyOf({ provider, region }));
    if (seed && changes.length < limit) changes.push(change(seed, { at_ms: 0, by: "seed", server: "seed" }));
    return changes;
  }

  /** What was written and lies beyond a place in the log, in its order; at most so many. */
  after(seq: number, most: number): { seq: number; entry: wire.SheetEntry }[] {
    return [...this.#entries].filter(([, entry]) => entry.seq > seq)
      .sort(([, a], [, b]) => a.seq - b.seq).slice(0, most).map(([key, { sheet, stamp, by, seq }]) => {
        const [provider, region] = key.split("/") as [string, string];
        const entry = create(wire.SheetEntrySchema, {
          provider,
          region,
          ...(sheet ? { sheet } : {}),
          stamp: versionToWire(stamp),
          by,
        });
        return { seq, entry };
      });
  }

  /** Takes from a peer's entries what is news, all of it or nothing where there is no room. */
  merge(entries: readonly wire.SheetEntry[], nowMs: number): Merged {
    const news = new Map<string, [Place, Entry]>();
    const refused: string[] = [];
    for (const entry of entries) {
      const { provider, region, by } = entry;
      const key = keyOf(entry);
      const why = this.#fault(entry, nowMs);
      if (why !== null) {
        refused.push(`${key.slice(0, 140)} ${why}`);
        continue;
      }
      const stamp = versionFromWire(entry.stamp);
      const current = news.get(key)?.[1] ?? this.#entries.get(key);
      if (current && compareVersions(stamp, current.stamp) <= 0) continue;
      if (!current && this.#entries.size + news.size >= MOST_ENTRIES) {
        refused.push(`${key}: more than ${MOST_ENTRIES} places are not kept`);
        continue;
      }
      const sheet = entry.sheet ? stampedSheet(entry.sheet, entry, stamp, by) : null;
      news.set(key, [{ provider, region }, { sheet, stamp, by, seq: this.#sequence.next() }]);
    }
    if (news.size > 0) this.#write([...news.values()]);
    return { taken: news.size, refused };
  }

  #fault(entry: wire.SheetEntry, nowMs: number): string | null {
    const [fault] = messageFaults(wire.SheetEntrySchema, entry);
    if (fault) return `${fault.field} ${fault.detail}`;
    const stamp = versionFromWire(entry.stamp);
    if (this.#clock.observe(stamp, nowMs)) return null;
    const seconds = Math.round((stamp.wallMs - nowMs) / 1000);
    return `was stamped by ${stamp.server} ${seconds} s ahead of the clock here: is one of the clocks wrong?`;
  }

  /**
   * Newer than the write before, whatever the clock says: else a write would not count. By a millisecond at least, so
   * that the time alone, which is all that a sheet shows of it, tells two writes of a place apart, and so does its ETag.
   */
  #stamp(place: Place, nowMs: number): Version {
    const before = this.#entries.get(keyOf(place))?.stamp;
    return this.#clock.next(Math.max(nowMs, (before?.wallMs ?? 0) + 1), before);
  }

  #write(entries: [Place, Entry][]): void {
    transaction(this.#database, () => {
      const insert = this.#database.prepare(`
        INSERT INTO changes (provider, region, at_ms, counter, server, by, sheet, seq) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`);
      for (const [{ provider, region }, { sheet, stamp: { wallMs, counter, server }, by, seq }] of entries) {
        const bytes = sheet && protobufCodec.encode(wire.SheetSchema, sheet);
        insert.run(provider, region, wallMs, counter, server, by, bytes, seq);
      }
    });
    for (const [place, entry] of entries) this.#keep(keyOf(place), entry);
  }

  #keep(key: string, entry: Entry): void {
    for (const one of [this.#entries.get(key), entry]) {
      if (one && one.seq > 0) this.digest.toggle("sheet", key, formatVersion(one.stamp));
    }
    this.#entries.set(key, entry);
  }
}

interface ChangeRow {
  at_ms: number;
  counter: number;
  server: string;
  by: string;
  sheet: Uint8Array | null;
}

/** Neither name may have a slash in it. */
function keyOf({ provider, region }: Place): string {
  return `${provider}/${region}`;
}

function stampOf({ at_ms: wallMs, counter, server }: ChangeRow): Version {
  return { wallMs, counter, server };
}

/** A sheet as it is kept, the same bytes on each server: so its ETag is the same everywhere. */
function stampedSheet(sheet: wire.Sheet, { provider, region }: Place, { wallMs }: Version, by: string): wire.Sheet {
  return Object.assign(clone(wire.SheetSchema, sheet), {
    provider,
    region,
    updatedMs: BigInt(wallMs),
    updatedBy: by,
  });
}

/** Without the rules: what was stored under older rules must still be read. */
function decodeSheet(bytes: Uint8Array | null): wire.Sheet | null {
  return bytes && fromBinary(wire.SheetSchema, bytes);
}

function change(sheet: wire.Sheet | null, { at_ms, by, server }: Pick<ChangeRow, "at_ms" | "by" | "server">) {
  return create(wire.SheetChangeSchema, { ...(sheet ? { sheet } : {}), atMs: BigInt(at_ms), by, server });
}
