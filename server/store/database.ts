/** SQLite files of our own: durable, and open in one process at a time. */
import { DatabaseSync } from "node:sqlite";
import { CdnError } from "../../proto/mod.ts";
import { withRoom } from "./room.ts";

/**
 * Opens a database, made by `schema` where it is new, and keeps it locked until it is closed or the
 * process is gone: the kernel takes the lock back, so that a killed process leaves none behind.
 *
 * With EXCLUSIVE locking, WAL needs no shared memory file, which on a full disk could end the process (SIGBUS).
 * With FULL, what a statement changed is on disk when it returns.
 * @param version of the schema; a file made by another one is refused
 * @throws {CdnError} where another process has it open, or where it is not ours.
 */
export async function openDatabase(
  path: string,
  { schema, version }: { schema: string; version: number },
): Promise<DatabaseSync> {
  let database: DatabaseSync | undefined;
  try {
    return await withRoom(`open ${path}`, () => {
      database = new DatabaseSync(path);
      database.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
      database.exec("BEGIN IMMEDIATE");
      const { user_version } = database.prepare("PRAGMA user_version").get() as { user_version: number };
      if (user_version === 0) database.exec(`${schema}; PRAGMA user_version = ${version}`);
      else if (user_version !== version) throw new Error(`it has version ${user_version}, and we know ${version}`);
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
