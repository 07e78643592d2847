/** The pricing server's database: one SQLite file, held by one process, every commit on disk before it is answered. */
import { DatabaseSync } from "node:sqlite";
import { dirname } from "@std/path";
import { CdnError } from "../proto/mod.ts";

/** Of the tables below; a file of a newer program is not touched. */
const SCHEMA_VERSION = 1;

const SCHEMA = `
  -- Every write of a sheet, for ever. The newest by (at_ms, by) is the one that counts; a NULL sheet is a delete.
  CREATE TABLE IF NOT EXISTS changes (
    provider TEXT NOT NULL, region TEXT NOT NULL, at_ms INTEGER NOT NULL, by TEXT NOT NULL, sheet BLOB,
    PRIMARY KEY (provider, region, at_ms, by)
  ) STRICT, WITHOUT ROWID;
  -- Grow-only counters. The key's order makes every pool of a month one range of it.
  CREATE TABLE IF NOT EXISTS counters (
    month TEXT NOT NULL, provider TEXT NOT NULL, region TEXT NOT NULL, server TEXT NOT NULL, reporter TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (month, provider, region, server, reporter)
  ) STRICT, WITHOUT ROWID;
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

/**
 * Opens the database at `path` (":memory:" for none that lasts), and makes its folder and tables where they are missing.
 * @throws {CdnError} where another process has it open, it is none of ours, or the folder cannot be used.
 */
export function openDatabase(path: string): DatabaseSync {
  let database: DatabaseSync | null = null;
  try {
    if (path !== ":memory:") Deno.mkdirSync(dirname(path), { recursive: true });
    database = new DatabaseSync(path);
    // FULL: a commit is on disk when it returns. EXCLUSIVE: the sheets are held in memory too (`book.ts`), so a
    // second process on the same file would answer with old prices; it is turned away instead.
    database.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
    const { user_version: version } = database.prepare("PRAGMA user_version").get() as { user_version: number };
    if (version > SCHEMA_VERSION) throw new Error(`a newer program wrote it (version ${version} of its tables)`);
    database.exec(`BEGIN IMMEDIATE; ${SCHEMA} COMMIT`);
    return database;
  } catch (cause) {
    database?.close();
    const words = (cause as Error).message;
    const why = /is locked/.test(words) ? "another pricing server has it open" : words;
    throw new CdnError(`Cannot open ${path}: ${why}`, { source: "server", cause });
  }
}

/**
 * Does all of `work` or nothing of it.
 * @throws {CdnError} 507 where there is no room; what was stored before is untouched and can still be read.
 */
export function transaction<T>(database: DatabaseSync, work: () => T): T {
  try {
    database.exec("BEGIN IMMEDIATE");
    const result = work();
    database.exec("COMMIT");
    return result;
  } catch (cause) {
    if (database.isTransaction) database.exec("ROLLBACK");
    if (/is full/.test((cause as Error).message)) {
      throw new CdnError("Cannot store this: there is no room left", { source: "server", status: 507, cause });
    }
    throw cause;
  }
}
