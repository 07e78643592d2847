/** SQLite files of our own: durable, and open in one process at a time. */
import { DatabaseSync } from "node:sqlite";
import { CdnError } from "../../proto/mod.ts";
import { ifThere } from "../../runtime/files.ts";
import type { Logger } from "../../runtime/log.ts";
import { withRoom } from "./room.ts";

/** What is in a database. */
export interface DatabaseShape {
  /** Makes the tables of a new file. */
  schema: string;
  /** The version of the schema. */
  version: number;
  /** Each makes of a file of the version that it stands under one of the next version. */
  migrations?: Record<number, (database: DatabaseSync) => void>;
}

/**
 * Opens a database, made by `schema` where it is new and migrated where it is older, and keeps it locked
 * until it is closed or the process is gone: the kernel takes the lock back, so that a killed process
 * leaves none behind. A new schema or a migration is there as a whole or not at all.
 *
 * With EXCLUSIVE locking, WAL needs no shared memory file, which on a full disk could end the process (SIGBUS).
 * With FULL, what a statement changed is on disk when it returns.
 * @param options with `check`, the whole file is read and its structure checked
 * @throws {CdnError} where another process has it open, where it is not ours or of a version that we do not
 * know, and where it is damaged ({@link isDamaged} of its cause).
 */
export async function openDatabase(
  path: string,
  shape: DatabaseShape,
  { check = false }: { check?: boolean } = {},
): Promise<DatabaseSync> {
  let database: DatabaseSync | undefined;
  try {
    return await withRoom(`open ${path}`, () => {
      database = new DatabaseSync(path);
      database.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
      database.exec("BEGIN IMMEDIATE");
      if (check) requireSound(database);
      bringUpToDate(database, shape);
      database.exec("COMMIT");
      return database;
    });
  } catch (cause) {
    try {
      database?.close();
    } catch { /* it did not open */ }
    if (cause instanceof CdnError) throw cause;
    const { message } = cause as Error;
    const why = message.includes("locked") ? "another process has it open" : message;
    throw new CdnError(`Cannot open ${path}: ${why}`, { source: "server", cause });
  }
}

/**
 * As {@link openDatabase}, with the whole file checked; where it is damaged, what there is of it is set aside, and a new
 * one is made.
 */
export async function openSoundDatabase(
  path: string,
  shape: DatabaseShape,
  { now, log }: { now: () => number; log: Logger },
): Promise<DatabaseSync> {
  // A log without its file is of no use to SQLite, which would delete it.
  if (isEmpty(path)) setAside(`${path}-wal`, now);
  try {
    return await openDatabase(path, shape, { check: true });
  } catch (error) {
    if (!(error instanceof CdnError) || !isDamaged(error.cause)) throw error;
    const aside = setAside(path, now);
    setAside(`${path}-wal`, now);
    log.warn("a database is damaged; it is set aside and built anew", { aside, error: error.message });
    return await openDatabase(path, shape);
  }
}

/** All that `work` changes is there, or nothing. */
export function atOnce<T>(database: DatabaseSync, work: () => T): T {
  database.exec("BEGIN IMMEDIATE");
  try {
    const done = work();
    database.exec("COMMIT");
    return done;
  } catch (error) {
    rollBack(database);
    throw error;
  }
}

/** On a full disk SQLite may have rolled back by itself. */
export function rollBack(database: DatabaseSync): void {
  if (database.isTransaction) database.exec("ROLLBACK");
}

/** Gives a file a name with the time, where there is one; its new name. */
export function setAside(path: string, now: () => number): string | null {
  const aside = path.replace(/(-wal)?$/, `.broken-${now()}$1`);
  return ifThere(() => {
    Deno.renameSync(path, aside);
    return aside;
  });
}

function isEmpty(path: string): boolean {
  return ifThere(() => Deno.statSync(path).size === 0) ?? true;
}

/** True for what SQLite says of a file whose bytes are not what it wrote (SQLITE_CORRUPT, SQLITE_NOTADB). */
export function isDamaged(error: unknown): boolean {
  // The runtime tells no error number, so that the words must do.
  return error instanceof Error && /malformed|not a database/.test(error.message);
}

function requireSound(database: DatabaseSync): void {
  const { quick_check: found } = database.prepare("PRAGMA quick_check(1)").get() as { quick_check: string };
  if (found !== "ok") throw new Error(`the database is malformed: ${found}`);
}

function bringUpToDate(database: DatabaseSync, { schema, version, migrations = {} }: DatabaseShape): void {
  const { user_version: found } = database.prepare("PRAGMA user_version").get() as { user_version: number };
  if (found === version) return;
  if (found === 0) database.exec(schema);
  for (let at = found; at !== 0 && at !== version; at++) {
    const migrate = at < version && migrations[at];
    if (!migrate) throw new Error(`it has version ${found}, and we know ${version}`);
    migrate(database);
  }
  database.exec(`PRAGMA user_version = ${version}`);
}
