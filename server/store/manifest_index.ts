/**
 * The index of a disk store: which manifest each path has, in SQLite.
 *
 * `change` is the rowid. AUTOINCREMENT never gives one twice, and an overwritten path is a new row: so it
 * moves to the end of the order by change.
 */
import type { DatabaseSync } from "node:sqlite";
import type { Manifest, Version } from "../../proto/mod.ts";
import type { Logger } from "../../runtime/log.ts";
import { atOnce, type DatabaseShape, openSoundDatabase } from "./database.ts";
import { pathKey } from "./path_key.ts";
import { prefixEnd } from "./path_order.ts";
import type { Entry, Listing, ListQuery } from "./store.ts";

const byKeyIndex = "CREATE INDEX manifests_by_key ON manifests (key, path);";
const shape: DatabaseShape = {
  version: 2,
  schema: `
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
      meta TEXT NOT NULL,
      signature TEXT,
      key INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX manifests_by_body ON manifests (sha256) WHERE deleted = 0;
    ${byKeyIndex}
  `,
  migrations: {
    1(database) {
      database.exec(`
        ALTER TABLE manifests ADD COLUMN signature TEXT;
        ALTER TABLE manifests ADD COLUMN key INTEGER NOT NULL DEFAULT 0`);
      const setKey = database.prepare("UPDATE manifests SET key = ? WHERE path = ?");
      for (const { path } of database.prepare("SELECT path FROM manifests").all()) {
        setKey.run(pathKey(path as string), path as string);
      }
      database.exec(byKeyIndex);
    },
  },
};

type Row = Record<string, string | number | null>;

/** The index; every method is done when it returns. Errors are SQLite's own. */
export interface ManifestIndex extends Disposable {
  get(path: string): Manifest | null;
  /** Puts a manifest in the place of what the path had; the number of this change. */
  set(manifest: Manifest): number;
  /** Takes a path away, where it has this version; what it had. That takes a number of a change, too. */
  remove(path: string, version: Version): Manifest | null;
  /** True where a visible manifest names the body. */
  names(sha256: string): boolean;
  /** Digests from `from` up to but not including `to` that visible manifests name, in order. */
  named(from: string, to: string): string[];
  list(query: ListQuery): Listing;
  /** How many paths there are. */
  count(): number;
  /** The last number that a change was given; 0 where there was none. */
  lastChange(): number;
  /** The next change gets a number above this one. */
  raiseChange(least: number): void;
  /** All that `work` changes is there, or nothing. */
  atOnce<T>(work: () => T): T;
}

/**
 * Opens the index at `path`; one process at a time. A damaged one is set aside, and the new one is empty.
 * @throws {CdnError} as `openSoundDatabase` does.
 */
export async function openManifestIndex(
  path: string,
  options: { now: () => number; log: Logger },
): Promise<ManifestIndex> {
  return manifestIndex(await openSoundDatabase(path, shape, options));
}

function manifestIndex(database: DatabaseSync): ManifestIndex {
  const one = database.prepare("SELECT * FROM manifests WHERE path = ?");
  const insert = database.prepare(`
    INSERT OR REPLACE INTO manifests
      (path, wall_ms, counter, server, deleted, sha256, size, media_type, name, modified_ms, meta, signature, key)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`);
  const remove = database.prepare(`
    DELETE FROM manifests WHERE path = ? AND wall_ms = ? AND counter = ? AND server = ? RETURNING *`);
  const naming = database.prepare("SELECT 1 FROM manifests WHERE sha256 = ? AND deleted = 0 LIMIT 1");
  const named = database.prepare(`
    SELECT DISTINCT sha256 FROM manifests WHERE deleted = 0 AND sha256 >= ? AND sha256 < ? ORDER BY sha256`);
  // sqlite.org/autoinc.html: applications may write this table.
  const sequence = database.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'manifests'");
  const raise = database.prepare("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'manifests'");
  const count = database.prepare("SELECT count(*) AS count FROM manifests");
  const byChange = database.prepare("SELECT * FROM manifests WHERE change > ? ORDER BY change LIMIT ?");
  const byPath = database.prepare(`
    SELECT * FROM manifests WHERE path >= ? AND path > ? AND deleted <= ? ORDER BY path LIMIT ?`);
  const byPrefix = database.prepare(`
    SELECT * FROM manifests WHERE path >= ? AND path > ? AND path < ? AND deleted <= ? ORDER BY path LIMIT ?`);
  const byKey = database.prepare(`
    SELECT * FROM manifests WHERE key >= ? AND key < ? AND (key, path) > (?, ?) ORDER BY key, path LIMIT ?`);
  const byBody = database.prepare("SELECT * FROM manifests WHERE sha256 = ? AND deleted = 0 ORDER BY path LIMIT ?");

  function rows(query: ListQuery, limit: number): Row[] {
    if (query.by === "change") return byChange.all(query.after, limit) as Row[];
    if (query.by === "body") return byBody.all(query.sha256, limit) as Row[];
    if (query.by === "key") {
      const { from, to, after = { key: -1, path: "" } } = query;
      return byKey.all(Math.max(from, after.key), to, after.key, after.path, limit) as Row[];
    }
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

    set({ path, version, deleted, sha256, size, mediaType, name, modifiedMs, meta, signature }) {
      return Number(
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
          signature ?? null,
          pathKey(path),
        ).lastInsertRowid,
      );
    },

    remove(path, { wallMs, counter, server }) {
      const row = remove.get(path, wallMs, counter, server) as Row | undefined;
      if (row) raise.run(1);
      return row ? entryOf(row).manifest : null;
    },

    names: (sha256) => naming.get(sha256) !== undefined,
    named: (from, to) => named.all(from, to).map(({ sha256 }) => sha256 as string),

    list(query) {
      const found = rows(query, query.limit + 1);
      return { entries: found.slice(0, query.limit).map(entryOf), more: found.length > query.limit };
    },

    count: () => count.get()!.count as number,
    lastChange: () => (sequence.get()?.seq ?? 0) as number,

    raiseChange(least) {
      database.exec("DELETE FROM sqlite_sequence WHERE name = 'manifests'");
      database.prepare("INSERT INTO sqlite_sequence (name, seq) VALUES ('manifests', ?)").run(least);
    },

    atOnce: (work) => atOnce(database, work),
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
      ...(row.signature !== null && { signature: row.signature as string }),
    },
  };
}
