/**
 * The purges that a server knows, in `purges.sqlite`: what it must not forget while its own cache, or another server,
 * may lack them. Each has a place, by the order in which they came here; others remember up to which place they have
 * read our log, and so miss none, whatever its stamp.
 */
import type { DatabaseSync } from "node:sqlite";
import { formatVersion, parseVersion, protobufCodec, type Version, wire } from "../../proto/mod.ts";
import type { Logger } from "../../runtime/log.ts";
import { atOnce, openDatabase, openSoundDatabase } from "../store/database.ts";
import { orNoRoom } from "../store/room.ts";
import { type Purge, purgeFromWire, purgeToWire } from "./purge.ts";

/** `removed` is null until our own cache has been purged. */
const schema = `
  CREATE TABLE purges (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    version TEXT NOT NULL UNIQUE,
    recordedMs INTEGER NOT NULL,
    purge BLOB NOT NULL,
    removed INTEGER
  ) STRICT;
  CREATE TABLE cursors (id TEXT PRIMARY KEY, log TEXT NOT NULL, place INTEGER NOT NULL) STRICT;
  CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT`;

/** How far another server's log was read. */
export interface Cursor {
  log: string;
  place: number;
}

/** The last purge that was forgotten: its place, and when it was written down; both 0 where none was. */
export interface Floor {
  place: number;
  ms: number;
}

/** How long, and how many, and how many bytes of them. */
export interface Keeping {
  keepMs: number;
  mostPurges: number;
  mostBytes: number;
}

type Row = Record<string, string | number | Uint8Array | null>;

/**
 * Opens the log at `file`, made where it is new. A damaged one is set aside, and a new one made.
 * @throws {CdnError} where another process has it open, or there is no room to open it (507).
 */
export async function openPurgeLog(
  file: string,
  keeping: Keeping,
  { now, log }: { now: () => number; log: Logger },
): Promise<PurgeLog> {
  return new PurgeLog(await openSoundDatabase(file, { schema, version: 1 }, { now, log }), keeping);
}

/** A log that is forgotten with the process. */
export async function memoryPurgeLog(keeping: Keeping): Promise<PurgeLog> {
  return new PurgeLog(await openDatabase(":memory:", { schema, version: 1 }), keeping);
}

/** See {@link openPurgeLog}. Where there is no room, what saves throws a `CdnError` 507. */
export class PurgeLog {
  /** Another one where the log was lost and made anew. */
  readonly id: string;
  readonly #db: DatabaseSync;
  readonly #keeping: Keeping;
  readonly #cursors = new Map<string, Cursor>();
  readonly #add;
  readonly #one;
  #head: number;
  #floor: Floor;
  #count: number;
  #bytes: number;

  constructor(db: DatabaseSync, keeping: Keeping) {
    this.#db = db;
    this.#keeping = keeping;
    this.#add = db.prepare("INSERT INTO purges (version, recordedMs, purge) VALUES (?, ?, ?)");
    this.#one = db.prepare("SELECT purge, removed FROM purges WHERE version = ?");
    this.id = this.#fact("log") ?? crypto.randomUUID();
    this.#saveFact("log", this.id);
    this.#floor = JSON.parse(this.#fact("floor") ?? '{"place":0,"ms":0}');
    // The sequence outlives the rows: no place is given twice.
    this.#head = Number((db.prepare("SELECT seq FROM sqlite_sequence").get() as Row | undefined)?.seq ?? 0);
    const { count, bytes } = db.prepare("SELECT count(*) AS count, total(length(purge)) AS bytes FROM purges")
      .get() as Row;
    [this.#count, this.#bytes] = [Number(count), Number(bytes)];
    for (const { id, log, place } of db.prepare("SELECT id, log, place FROM cursors").all() as Row[]) {
      this.#cursors.set(String(id), { log: String(log), place: Number(place) });
    }
  }

  /** The last place; 0 where there never was a purge. */
  get head(): number {
    return this.#head;
  }

  /** The last that was forgotten. */
  get floor(): Floor {
    return this.#floor;
  }

  /** Until when, by our clock, nothing that others wrote down is missing in our cache; 0 where that was never so. */
  get currentMs(): number {
    return Number(this.#fact("currentMs") ?? 0);
  }

  saveCurrent(ms: number): void {
    this.#saveFact("currentMs", String(ms));
  }

  has(version: Version): boolean {
    return this.#one.get(formatVersion(version)) !== undefined;
  }

  get(version: Version): Purge | null {
    const row = this.#one.get(formatVersion(version)) as Row | undefined;
    return row ? purgeOf(row) : null;
  }

  /** Durable when it returns; false where it is known. Makes room first: the oldest go. */
  add(purge: Purge, nowMs: number): boolean {
    if (this.has(purge.version)) return false;
    const bytes = protobufCodec.encode(wire.PurgeSchema, purgeToWire(purge));
    orNoRoom("write a purge down", () => {
      this.prune(nowMs, bytes.length);
      this.#head = Number(this.#add.run(formatVersion(purge.version), nowMs, bytes).lastInsertRowid);
    });
    this.#count++;
    this.#bytes += bytes.length;
    return true;
  }

  /** How many stored responses it meant in our cache; null where that was not purged yet, or it is not known. */
  removed(version: Version): number | null {
    const removed = (this.#one.get(formatVersion(version)) as Row | undefined)?.removed ?? null;
    return removed === null ? null : Number(removed);
  }

  /** Our cache has been purged. Known after the end of the process, but perhaps not after that of the machine. */
  settle(version: Version, removed: number): void {
    const settle = this.#db.prepare("UPDATE purges SET removed = ? WHERE version = ?");
    this.#soon("write down that a purge was done", () => settle.run(removed, formatVersion(version)));
  }

  /** What our cache has not been purged of, in order. */
  unsettled(): Purge[] {
    return (this.#db.prepare("SELECT purge FROM purges WHERE removed IS NULL ORDER BY place").all() as Row[])
      .map(purgeOf);
  }

  /** The stamps behind a place, and the place of the last of them. */
  after(place: number, limit: number): { versions: Version[]; next: number } {
    const rows = this.#db.prepare("SELECT place, version FROM purges WHERE place > ? ORDER BY place LIMIT ?")
      .all(place, limit) as Row[];
    const versions = rows.flatMap(({ version }) => parseVersion(String(version)) ?? []);
    return { versions, next: rows.length < limit ? this.#head : Number(rows.at(-1)!.place) };
  }

  cursor(id: string): Cursor | null {
    return this.#cursors.get(id) ?? null;
  }

  saveCursor(id: string, { log, place }: Cursor): void {
    const before = this.#cursors.get(id);
    if (before?.log === log && before.place === place) return;
    const save = this.#db.prepare("INSERT OR REPLACE INTO cursors (id, log, place) VALUES (?, ?, ?)");
    this.#soon("save what was read of purges", () => save.run(id, log, place));
    this.#cursors.set(id, { log, place });
  }

  /** Forgets what is too old, and the oldest where there are too many for `bytes` more. Never what is to be done yet. */
  prune(nowMs: number, bytes = 0): void {
    const { keepMs, mostPurges, mostBytes } = this.#keeping;
    const oldest = this.#db.prepare(
      "SELECT place, recordedMs, length(purge) AS bytes FROM purges WHERE removed IS NOT NULL ORDER BY place LIMIT 100",
    );
    for (;;) {
      const rows = oldest.all() as Row[];
      let [count, size] = [this.#count, this.#bytes];
      const gone = rows.filter((row) => {
        if (row.recordedMs as number >= nowMs - keepMs && count < mostPurges && size + bytes <= mostBytes) return false;
        count--;
        size -= row.bytes as number;
        return true;
      });
      if (gone.length === 0) return;
      const floor = {
        place: Math.max(this.#floor.place, ...gone.map(({ place }) => place as number)),
        ms: Math.max(this.#floor.ms, ...gone.map(({ recordedMs }) => recordedMs as number)),
      };
      atOnce(this.#db, () => {
        for (const { place } of gone) this.#db.prepare("DELETE FROM purges WHERE place = ?").run(place!);
        this.#saveFact("floor", JSON.stringify(floor));
      });
      [this.#count, this.#bytes, this.#floor] = [count, size, floor];
    }
  }

  close(): void {
    this.#db.close();
  }

  #fact(name: string): string | null {
    const row = this.#db.prepare("SELECT value FROM facts WHERE name = ?").get(name) as Row | undefined;
    return row ? String(row.value) : null;
  }

  #saveFact(name: string, value: string): void {
    const save = this.#db.prepare("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)");
    this.#soon("save what is known of purges", () => save.run(name, value));
  }

  /** Without a wait for the disk: where it is lost, something is done or read once more. */
  #soon(action: string, work: () => unknown): void {
    if (this.#db.isTransaction) return void orNoRoom(action, work);
    this.#db.exec("PRAGMA synchronous = NORMAL");
    try {
      orNoRoom(action, work);
    } finally {
      this.#db.exec("PRAGMA synchronous = FULL");
    }
  }
}

function purgeOf({ purge }: Row): Purge {
  return purgeFromWire(protobufCodec.decode(wire.PurgeSchema, purge as Uint8Array));
}
