/**
 * The index of a disk store: which manifest each path has, in SQLite.
 *
 * `change` is the rowid. AUTOINCREMENT never gives one twice, and an overwritten path is a new row: so it
 * moves to the end of the order by change.
 */
import type { DatabaseSync } from "node:sqlite";
import type { Manifest } from "../../proto/mod.ts";
import { openDatabase } from "./database.ts";
import { prefixEnd } from "./path_order.ts";
import type { Entry, Listing, ListQuery } from "./store.ts";

const schema = `
  CREATE TABLE manifests (
    change INTEGER PRIMARY KEY AUTOINCREMENT,
    path TEXT NOT NULL UNIQUE,
    wall_ms INTEGER NOT NULL,
    counter INTEGER NOT NULL,
    server TEXT NOT NULL,
    deleted INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    size INTEGER NOT NULL,
    media_type TEXT NOT NULL,
    name TEXT NOT NULL,
    modified_ms INTEGER NOT NULL,
    meta TEXT NOT NULL
  ) STRICT;
  CREATE INDEX manifests_by_body ON manifests (sha256) WHERE deleted = 0;
`;

type Row = Record<string, string | number>;

/** The index; every method is done when it returns. Errors are SQLite's own. */
export interface ManifestIndex extends Disposable {
  get(path: string): Manifest | null;
  /** Puts a manifest in the place of what the path had. */
  set(manifest: Manifest): void;
  /** True where a visible manifest names the body. */
  names(sha256: string): boolean;
  list(query: ListQuery): Listing;
}

/** Opens the index at `path`; one process at a time. */
export async function openManifestIndex(path: string): Promise<ManifestIndex> {
  return manifestIndex(await openDatabase(path, { schema, version: 1 }));
}

function manifestIndex(database: DatabaseSync): ManifestIndex {
  const one = database.prepare("SELECT * FROM manifests WHERE path = ?");
  const insert = database.prepare(`
    INSERT OR REPLACE INTO manifests
      (path, wall_ms, counter, server, deleted, sha256, size, media_type, name, modified_ms, meta)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`);
  const naming = database.prepare("SELECT 1 FROM manifests WHERE sha256 = ? AND deleted = 0 LIMIT 1");
  const byChange = database.prepare("SELECT * FROM manifests WHERE change > ? ORDER BY change LIMIT ?");
  const byPath = database.prepare(`
    SELECT * FROM manifests WHERE path >= ? AND path > ? AND deleted <= ? ORDER BY path LIMIT ?`);
  const byPrefix = database.prepare(`
    SELECT * FROM manifests WHERE path >= ? AND path > ? AND path < ? AND deleted <= ? ORDER BY path LIMIT ?`);

  function rows(query: ListQuery, limit: number): Row[] {
    if (query.by === "change") return byChange.all(query.after, limit) as Row[];
    const { prefix = "", after = "", tombstones = false } = query;
    const end = prefixEnd(prefix);
    return (end === null
      ? byPath.all(prefix, after, Number(tombstones), limit)
      : byPrefix.all(prefix, after, end, Number(tombstones), limit)) as Row[];
  }

  return {
    get(path) {
      const row = one.get(path) as Row | undefined;
      return row ? entryOf(row).manifest : null;
    },

    set({ path, version, deleted, sha256, size, mediaType, name, modifiedMs, meta }) {
      insert.run(
        path,
        version.wallMs,
        version.counter,
        version.server,
        Number(deleted),
        sha256,
        size,
        mediaType,
        name,
        modifiedMs,
        JSON.stringify(meta),
      );
    },

    names: (sha256) => naming.get(sha256) !== undefined,

    list(query) {
      const found = rows(query, query.limit + 1);
      return { entries: found.slice(0, query.limit).map(entryOf), more: found.length > query.limit };
    },

    [Symbol.dispose]: () => database.close(),
  };
}

function entryOf(row: Row): Entry {
  return {
    change: row.change as number,
    manifest: {
      path: row.path as string,
      version: { wallMs: row.wall_ms as number, counter: row.counter as number, server: row.server as string },
      deleted: row.deleted === 1,
      sha256: row.sha256 as string,
      size: row.size as number,
      mediaType: row.media_type as string,
      name: row.name as string,
      modifiedMs: row.modified_ms as number,
      meta: JSON.parse(row.meta as string),
    },
  };
}
