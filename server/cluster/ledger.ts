/** What the cluster remembers over a restart, in `cluster.sqlite`. */
import type { DatabaseSync } from "node:sqlite";
import { clearImmediate, setImmediate } from "node:timers";
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
import { atOnce, openDatabase, rollBack } from "../store/database.ts";
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
    this.wanted.flush();
    this.#db.close();
  }

  #save(statement: string, ...values: (string | number | Uint8Array)[]): void {
    this.wanted.flush();
    orNoRoom("save the list of servers", () => this.#db.prepare(statement).run(...values));
  }
}

/** Manifests that are kept as they were read last. */
const KEPT = 1000;

/** The table of wanted manifests. */
class SqliteWanted implements WantedTable {
  readonly #db: DatabaseSync;
  readonly #kept = new Map<string, Manifest>();
  /** Ends the transaction of removals that need not be durable at once. */
  #flushing: ReturnType<typeof setImmediate> | null = null;
  readonly #one;
  readonly #upsert;
  readonly #delete;
  readonly #next;
  readonly #list;
  readonly #byBody;
  readonly #byKey;
  #total: { objects: number; bytes: number };

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#one = db.prepare("SELECT path, manifest, version, size FROM wanted WHERE path = ?");
    this.#upsert = db.prepare(`
      INSERT INTO wanted (path, key, version, sha256, size, manifest) VALUES (?, ?, ?, ?, ?, ?)
      ON CONFLICT (path) DO UPDATE SET version = excluded.version, sha256 = excluded.sha256, size = excluded.size,
        manifest = excluded.manifest`);
    this.#delete = db.prepare("DELETE FROM wanted WHERE path = ?");
    this.#next = db.prepare("SELECT place, path, manifest FROM wanted WHERE place > ? ORDER BY place LIMIT ?");
    this.#list = db.prepare("SELECT path, manifest FROM wanted WHERE path > ? ORDER BY path LIMIT ?");
    this.#byBody = db.prepare("SELECT path, manifest FROM wanted WHERE sha256 = ? ORDER BY place");
    this.#byKey = db.prepare(`
      SELECT path, manifest FROM wanted WHERE key < ? AND (key, path) > (?, ?) ORDER BY key, path LIMIT ?`);
    this.#total = this.#count();
  }

  get(path: string): Manifest | null {
    if (this.#total.objects === 0) return null;
    const kept = this.#kept.get(path);
    if (kept) return kept;
    const row = this.#one.get(path) as Row | undefined;
    return row ? this.#manifestOf(row) : null;
  }

  set(manifest: Manifest): void {
    this.flush();
    orNoRoom(`save what is wanted of ${manifest.path}`, () => this.#set(manifest));
  }

  /** As {@link set} for each; durable in one go, all or none. */
  setAll(manifests: readonly Manifest[]): void {
    this.flush();
    const before = { ...this.#total };
    try {
      orNoRoom("save what is wanted", () =>
        atOnce(this.#db, () => {
          for (const manifest of manifests) this.#set(manifest);
        }));
    } catch (error) {
      this.#total = before;
      throw error;
    }
  }

  remove(path: string, version: Version, { soon } = { soon: false }): boolean {
    if (this.#total.objects === 0) return false;
    if (!soon) this.flush();
    const row = this.#one.get(path) as Row | undefined;
    if (row?.version !== formatVersion(version)) return false;
    orNoRoom(`save what is wanted of ${path}`, () => {
      if (soon) this.#beginSoon();
      this.#delete.run(path);
    });
    this.#kept.delete(path);
    this.#total.objects--;
    this.#total.bytes -= Number(row.size);
    return true;
  }

  /** Makes what was removed "soon" part of the file; the next wait for the disk takes it along. */
  flush(): void {
    if (!this.#flushing) return;
    clearImmediate(this.#flushing);
    this.#flushing = null;
    try {
      this.#db.exec("COMMIT");
    } catch { // there is no room: they stand in the table until they are settled once more
      rollBack(this.#db);
      this.#total = this.#count();
    } finally {
      this.#db.exec("PRAGMA synchronous = FULL");
    }
  }

  #beginSoon(): void {
    if (this.#flushing) return;
    this.#db.exec("PRAGMA synchronous = NORMAL; BEGIN");
    this.#flushing = setImmediate(() => {
      this.flush();
    });
  }

  next(after: number, limit: number): { manifest: Manifest; place: number }[] {
    const rows = this.#next.all(after, limit) as Row[];
    return rows.map((row) => ({ manifest: this.#manifestOf(row), place: Number(row.place) }));
  }

  list(after: string, limit: number): Manifest[] {
    return this.#manifestsOf(this.#list.all(after, limit));
  }

  byBody(sha256: string): Manifest[] {
    if (this.#total.objects === 0) return [];
    return this.#manifestsOf(this.#byBody.all(sha256));
  }

  byKey(from: number, to: number, limit: number, after?: { key: number; path: string }): Manifest[] {
    if (this.#total.objects === 0) return [];
    // No path is empty, so (from, "") is before all of `from`.
    const behind = after && after.key >= from ? after : { key: from, path: "" };
    return this.#manifestsOf(this.#byKey.all(to, behind.key, behind.path, limit));
  }

  total(): { objects: number; bytes: number } {
    return { ...this.#total };
  }

  #count(): { objects: number; bytes: number } {
    const count = this.#db.prepare("SELECT count(*) AS objects, coalesce(sum(size), 0) AS bytes FROM wanted");
    const { objects, bytes } = count.get() as Row;
    return { objects: Number(objects), bytes: Number(bytes) };
  }

  #set(manifest: Manifest): void {
    const { path, version, sha256, size } = manifest;
    const old = this.#one.get(path) as Row | undefined;
    const bytes = toBinary(wire.ManifestSchema, manifestToWire(manifest));
    this.#upsert.run(path, pathKey(path), formatVersion(version), sha256, size, bytes);
    this.#total.objects += old ? 0 : 1;
    this.#total.bytes += size - Number(old?.size ?? 0);
    this.#kept.delete(path);
  }

  #manifestsOf(rows: unknown[]): Manifest[] {
    return (rows as Row[]).map((row) => this.#manifestOf(row));
  }

  #manifestOf({ path, manifest: bytes }: Row): Manifest {
    const kept = this.#kept.get(path as string);
    if (kept) return kept;
    const manifest = manifestFromWire(fromBinary(wire.ManifestSchema, bytes as Uint8Array));
    if (this.#kept.size === KEPT) this.#kept.delete(this.#kept.keys().next().value!);
    this.#kept.set(manifest.path, manifest);
    return manifest;
  }
}
