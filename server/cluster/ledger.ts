/** What the cluster remembers over a restart, in `cluster.sqlite`. */
import type { DatabaseSync } from "node:sqlite";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  formatVersion,
  type Manifest,
  manifestFromWire,
  manifestToWire,
  protobufCodec,
  type Version,
  wire,
} from "../../proto/mod.ts";
import { openDatabase } from "../store/database.ts";
import { pathKey } from "../store/path_key.ts";
import { orNoRoom } from "../store/room.ts";
import type { Ledger, WantedTable } from "./ports.ts";
import { kindOf } from "./records.ts";

/** `place` is the rowid; a row that is replaced keeps it. */
const schema = `
  CREATE TABLE IF NOT EXISTS servers (id TEXT, kind TEXT, record BLOB NOT NULL, PRIMARY KEY (id, kind)) STRICT;
  CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
  CREATE TABLE wanted (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    path TEXT NOT NULL UNIQUE,
    key INTEGER NOT NULL,
    version TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    size INTEGER NOT NULL,
    manifest BLOB NOT NULL
  ) STRICT;
  CREATE INDEX wanted_by_key ON wanted (key, path);
  CREATE INDEX wanted_by_body ON wanted (sha256)`;

type Row = Record<string, string | number | Uint8Array>;

/**
 * Opens the ledger at `file`, made where it is new; one process at a time.
 * @throws {CdnError} where another process has it open, or there is no room to open it (507).
 */
export async function openLedger(file: string): Promise<SqliteLedger> {
  return new SqliteLedger(await openDatabase(file, { schema, version: 1 }));
}

/** A {@link Ledger} on disk. Where there is no room, what saves throws a `CdnError` 507. */
export class SqliteLedger implements Ledger {
  readonly wanted: SqliteWanted;
  readonly #db: DatabaseSync;

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.wanted = new SqliteWanted(db);
  }

  records(): wire.Server[] {
    const rows = this.#db.prepare("SELECT record FROM servers ORDER BY id, kind").all();
    return rows.map((row) => protobufCodec.decode(wire.ServerSchema, row.record as Uint8Array));
  }

  saveRecord(record: wire.Server): void {
    this.#save(
      "INSERT OR REPLACE INTO servers (id, kind, record) VALUES (?, ?, ?)",
      record.id,
      kindOf(record),
      protobufCodec.encode(wire.ServerSchema, record),
    );
  }

  fact(name: string): string | null {
    const row = this.#db.prepare("SELECT value FROM facts WHERE name = ?").get(name);
    return row ? String(row.value) : null;
  }

  saveFact(name: string, value: string): void {
    this.#save("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", name, value);
  }

  close(): void {
    this.#db.close();
  }

  #save(statement: string, ...values: (string | number | Uint8Array)[]): void {
    orNoRoom("save the list of servers", () => this.#db.prepare(statement).run(...values));
  }
}

/** The table of wanted manifests. */
class SqliteWanted implements WantedTable {
  readonly #db: DatabaseSync;
  readonly #one;
  readonly #upsert;
  readonly #delete;
  readonly #next;
  readonly #list;
  readonly #byBody;
  readonly #byKey;
  readonly #total: { objects: number; bytes: number };

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#one = db.prepare("SELECT manifest, version, size FROM wanted WHERE path = ?");
    this.#upsert = db.prepare(`
      INSERT INTO wanted (path, key, version, sha256, size, manifest) VALUES (?, ?, ?, ?, ?, ?)
      ON CONFLICT (path) DO UPDATE SET version = excluded.version, sha256 = excluded.sha256, size = excluded.size,
        manifest = excluded.manifest`);
    this.#delete = db.prepare("DELETE FROM wanted WHERE path = ? AND version = ?");
    this.#next = db.prepare("SELECT place, manifest FROM wanted WHERE place > ? ORDER BY place LIMIT ?");
    this.#list = db.prepare("SELECT manifest FROM wanted WHERE path > ? ORDER BY path LIMIT ?");
    this.#byBody = db.prepare("SELECT manifest FROM wanted WHERE sha256 = ? ORDER BY place");
    this.#byKey = db.prepare(`
      SELECT manifest FROM wanted WHERE key < ? AND (key, path) > (?, ?) ORDER BY key, path LIMIT ?`);
    const row = db.prepare("SELECT count(*) AS objects, coalesce(sum(size), 0) AS bytes FROM wanted").get() as Row;
    this.#total = { objects: Number(row.objects), bytes: Number(row.bytes) };
  }

  get(path: string): Manifest | null {
    if (this.#total.objects === 0) return null;
    const row = this.#one.get(path) as Row | undefined;
    return row ? manifestOf(row) : null;
  }

  set(manifest: Manifest): void {
    orNoRoom(`save what is wanted of ${manifest.path}`, () => this.#set(manifest));
  }

  /** As {@link set} for each; durable in one go, all or none. */
  setAll(manifests: readonly Manifest[]): void {
    const before = { ...this.#total };
    orNoRoom("save what is wanted", () => {
      this.#db.exec("BEGIN");
      try {
        for (const manifest of manifests) this.#set(manifest);
        this.#db.exec("COMMIT");
      } catch (error) {
        Object.assign(this.#total, before);
        // On a full disk SQLite may have rolled back by itself.
        if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
        throw error;
      }
    });
  }

  remove(path: string, version: Version, { soon } = { soon: false }): boolean {
    if (this.#total.objects === 0) return false;
    const size = Number((this.#one.get(path) as Row | undefined)?.size ?? 0);
    const removed = orNoRoom(`save what is wanted of ${path}`, () => this.#remove(path, version, soon));
    if (removed) {
      this.#total.objects--;
      this.#total.bytes -= size;
    }
    return removed;
  }

  /** `soon`: without a wait for the disk; the next one takes it along. */
  #remove(path: string, version: Version, soon: boolean): boolean {
    if (soon) this.#db.exec("PRAGMA synchronous = NORMAL");
    try {
      return this.#delete.run(path, formatVersion(version)).changes > 0;
    } finally {
      if (soon) this.#db.exec("PRAGMA synchronous = FULL");
    }
  }

  next(after: number, limit: number): { manifest: Manifest; place: number }[] {
    const rows = this.#next.all(after, limit) as Row[];
    return rows.map((row) => ({ manifest: manifestOf(row), place: Number(row.place) }));
  }

  list(after: string, limit: number): Manifest[] {
    return (this.#list.all(after, limit) as Row[]).map(manifestOf);
  }

  byBody(sha256: string): Manifest[] {
    if (this.#total.objects === 0) return [];
    return (this.#byBody.all(sha256) as Row[]).map(manifestOf);
  }

  byKey(from: number, to: number, limit: number, after?: { key: number; path: string }): Manifest[] {
    if (this.#total.objects === 0) return [];
    // No path is empty, so (from, "") is before all of `from`.
    const behind = after && after.key >= from ? after : { key: from, path: "" };
    return (this.#byKey.all(to, behind.key, behind.path, limit) as Row[]).map(manifestOf);
  }

  total(): { objects: number; bytes: number } {
    return { ...this.#total };
  }

  #set(manifest: Manifest): void {
    const { path, version, sha256, size } = manifest;
    const old = this.#one.get(path) as Row | undefined;
    const bytes = toBinary(wire.ManifestSchema, manifestToWire(manifest));
    this.#upsert.run(path, pathKey(path), formatVersion(version), sha256, size, bytes);
    this.#total.objects += old ? 0 : 1;
    this.#total.bytes += size - Number(old?.size ?? 0);
  }
}

function manifestOf(row: Row): Manifest {
  return manifestFromWire(fromBinary(wire.ManifestSchema, row.manifest as Uint8Array));
}
