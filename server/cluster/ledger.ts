/** What the cluster remembers over a restart, in `cluster.sqlite`: the list of servers, and how far each was fed. */
import { DatabaseSync } from "node:sqlite";
import { protobufCodec, wire } from "../../proto/mod.ts";
import { kindOf } from "./records.ts";

/** The cluster's own file. Synchronous, and small: a row a server. */
export class Ledger {
  readonly #db: DatabaseSync;

  constructor(file: string) {
    this.#db = new DatabaseSync(file);
    this.#db.exec(`
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
      PRAGMA busy_timeout = 5000;
      CREATE TABLE IF NOT EXISTS servers (id TEXT, kind TEXT, record BLOB NOT NULL, PRIMARY KEY (id, kind)) STRICT;
      CREATE TABLE IF NOT EXISTS cursors (server TEXT PRIMARY KEY, change INTEGER NOT NULL) STRICT;
    `);
  }

  /** Every record (`records.ts`). */
  records(): wire.Server[] {
    const rows = this.#db.prepare("SELECT record FROM servers ORDER BY id, kind").all();
    return rows.map((row) => protobufCodec.decode(wire.ServerSchema, row.record as Uint8Array));
  }

  /** Replaces the record of its id and kind. */
  saveRecord(record: wire.Server): void {
    this.#db.prepare("INSERT OR REPLACE INTO servers (id, kind, record) VALUES (?, ?, ?)")
      .run(record.id, kindOf(record), protobufCodec.encode(wire.ServerSchema, record));
  }

  /** The change up to which a server has settled everything; 0 at first. */
  cursor(server: string): number {
    return Number(this.#db.prepare("SELECT change FROM cursors WHERE server = ?").get(server)?.change ?? 0);
  }

  saveCursor(server: string, change: number): void {
    this.#db.prepare("INSERT OR REPLACE INTO cursors (server, change) VALUES (?, ?)").run(server, change);
  }

  /** The server will be offered everything again. */
  dropCursor(server: string): void {
    this.#db.prepare("DELETE FROM cursors WHERE server = ?").run(server);
  }

  close(): void {
    this.#db.close();
  }
}
