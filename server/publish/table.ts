/** What publishing saw and did last, in SQLite, so that a restart writes nothing again. */
import type { Logger } from "../../runtime/log.ts";
import { openSoundDatabase } from "../store/database.ts";
import { prefixEnd } from "../store/path_order.ts";
import { orNoRoom } from "../store/room.ts";
import type { Look } from "./folder.ts";

/** One file as it was last seen. */
export interface Row extends Look {
  /** The object's path. */
  readonly path: string;
  /** The disk that the folder around the file is on. */
  readonly device: string;
  /**
   * The version (`formatVersion`) that publishing put there: that one, and no other, may be deleted with the file. Null
   * where the object is somebody else's.
   */
  readonly version: string | null;
}

/** The table; every change is durable when it returns. They throw a `CdnError` 507 where there is no room. */
export interface PublishedTable extends Disposable {
  get(path: string): Row | null;
  set(row: Row): void;
  remove(path: string): void;
  /** The folder that the rows are of, as it was given; null where no scan was finished yet. */
  folder(): string | null;
  setFolder(folder: string): void;
  /** Up to `limit` rows whose path starts with `prefix`, by path, from the one after `after` (or the first). */
  page(prefix: string, after: string | null, limit: number): Row[];
}

const schema = `
  CREATE TABLE published (
    path TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    modified_ms INTEGER NOT NULL,
    inode TEXT NOT NULL,
    device TEXT NOT NULL,
    version TEXT
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE folder (only INTEGER PRIMARY KEY CHECK (only = 1), path TEXT NOT NULL) STRICT;
`;

/** Opens the table at `file`; one process at a time. What is damaged is set aside: then all is seen for the first time. */
export async function openPublishedTable(
  file: string,
  options: { now: () => number; log: Logger },
): Promise<PublishedTable> {
  const database = await openSoundDatabase(file, { schema, version: 1 }, options);
  const columns = "path, size, modified_ms AS modifiedMs, inode, device, version";
  const one = database.prepare(`SELECT ${columns} FROM published WHERE path = ?`);
  const replace = database.prepare("INSERT OR REPLACE INTO published VALUES (?, ?, ?, ?, ?, ?)");
  const remove = database.prepare("DELETE FROM published WHERE path = ?");
  const page = database.prepare(`SELECT ${columns} FROM published WHERE path > ? AND path < ? ORDER BY path LIMIT ?`);
  const folder = database.prepare("SELECT path FROM folder");
  const setFolder = database.prepare("INSERT OR REPLACE INTO folder VALUES (1, ?)");
  return {
    folder: () => (folder.get() as { path: string } | undefined)?.path ?? null,
    setFolder: (path) => void orNoRoom("note what is published", () => setFolder.run(path)),
    get: (path) => one.get(path) as unknown as Row | undefined ?? null,
    set: ({ path, size, modifiedMs, inode, device, version }) =>
      void orNoRoom(
        "note what is published",
        () => replace.run(path, size, modifiedMs, inode, device, version),
      ),
    remove: (path) => void orNoRoom("note what is published", () => remove.run(path)),
    // No path ends with "/", as a prefix does.
    page: (prefix, after, limit) => page.all(after ?? prefix, prefixEnd(prefix), limit) as unknown as Row[],
    [Symbol.dispose]: () => database.close(),
  };
}
