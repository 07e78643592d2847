/** The pricing server's database: one SQLite file, held by one process, every commit on disk before it is answered. */
import { DatabaseSync } from "node:sqlite";
import { dirname } from "@std/path";
import { CdnError } from "../proto/mod.ts";

/** Of the tables below; a file of a newer program is not touched, one of an older program is brought up to date. */
const SCHEMA_VERSION = 2;

const SCHEMA = `
  -- Every write of a sheet that counted here, for ever. The newest by (at_ms, counter, server) is the one that counts
  -- now; a NULL sheet is a delete. seq is its place in the log (sequence.ts).
  CREATE TABLE IF NOT EXISTS changes (
    provider TEXT NOT NULL, region TEXT NOT NULL, at_ms INTEGER NOT NULL, counter INTEGER NOT NULL,
    server TEXT NOT NULL, by TEXT NOT NULL, sheet BLOB, seq INTEGER NOT NULL,
    PRIMARY KEY (provider, region, at_ms, counter, server)
  ) STRICT, WITHOUT ROWID;
  -- Grow-only counters. The key's order makes every pool of a month one range of it.
  CREATE TABLE IF NOT EXISTS counters (
    month TEXT NOT NULL, provider TEXT NOT NULL, region TEXT NOT NULL, server TEXT NOT NULL, reporter TEXT NOT NULL,
    bytes INTEGER NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (month, provider, region, server, reporter)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS counters_by_seq ON counters (seq);
  -- Up to where each other server's log was taken in.
  CREATE TABLE IF NOT EXISTS positions (log TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT;
  -- Who we are (identity.ts).
  CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

/** Version 1 had neither stamps nor a log: its writes keep their order, and are ours (identity.ts puts the id in). */
const FROM_1 = `
  ALTER TABLE changes RENAME TO changes_1;
  ALTER TABLE counters RENAME TO counters_1;
  ${SCHEMA}
  INSERT INTO changes
    SELECT provider, region, at_ms, 0, '', by, sheet, row_number() OVER (ORDER BY at_ms, by) FROM changes_1;
  INSERT INTO counters
    SELECT *, (SELECT count(*) FROM changes_1) + row_number() OVER (ORDER BY month) FROM counters_1;
  DROP TABLE changes_1;
  DROP TABLE counters_1;
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
    database.exec(`BEGIN IMMEDIATE; ${version === 1 ? FROM_1 : SCHEMA} COMMIT`);
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
