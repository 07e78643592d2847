/**
 * The sessions of a server in SQLite, so that they outlive the process.
 *
 *     open       chunks are written to its part file
 *     held       the store has its bytes already; there is no part file
 *     sealed     a commit found all bytes there and right; the part file is not written any more
 *     stored     the object is visible here; too few servers hold it yet for a promise
 *     committed  it is acknowledged; remembered for clients that did not hear so
 */
import type { DatabaseSync } from "node:sqlite";
import type { Manifest, Metadata } from "../../proto/mod.ts";
import { openDatabase } from "../store/database.ts";
import { orNoRoom } from "../store/room.ts";
import type { Load } from "./limits.ts";
import type { Range } from "./ranges.ts";

/** How far a session is. */
export type SessionState = "open" | "held" | "sealed" | "stored" | "committed";

/** One session, as it is on disk. */
export interface Session {
  id: string;
  path: string;
  /** Null where it is not known before the commit. */
  size: number | null;
  /** Empty where it is not known before the commit. */
  sha256: string;
  metadata: Metadata;
  state: SessionState;
  /** What is on disk, while `open`. */
  received: Range[];
  expiresMs: number;
  /** The outcome, once committed. */
  object: Manifest | null;
  copies: number;
}

const schema = `
  CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    path TEXT NOT NULL,
    size INTEGER,
    sha256 TEXT NOT NULL,
    metadata TEXT NOT NULL,
    state TEXT NOT NULL,
    received TEXT NOT NULL,
    -- The bytes that it may come to on disk, as far as they are known.
    reserved INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    object TEXT,
    copies INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX sessions_by_upload ON sessions (path, sha256) WHERE state <> 'committed';
  CREATE INDEX sessions_by_expiry ON sessions (expires_ms);
`;

type Row = Record<string, string | number | null>;

/** The table; every method is done, and durable, when it returns. Changes throw a `CdnError` 507 where there is no room. */
export interface SessionTable extends Disposable {
  get(id: string): Session | null;
  /** An uncommitted session for these very bytes at this path. */
  find(path: string, size: number, sha256: string): Session | null;
  /** Writes a session, new or changed. */
  set(session: Session): void;
  remove(id: string): void;
  /** Ids of those that expired before `nowMs`. */
  expired(nowMs: number): string[];
  /** Those under way: how many, and how many bytes they may come to. */
  underWay(): Load;
}

/** Opens the table at `path`; one process at a time. */
export async function openSessionTable(path: string): Promise<SessionTable> {
  return sessionTable(await openDatabase(path, { schema, version: 1 }));
}

function sessionTable(database: DatabaseSync): SessionTable {
  const one = database.prepare("SELECT * FROM sessions WHERE id = ?");
  const same = database.prepare(
    "SELECT * FROM sessions WHERE path = ? AND sha256 = ? AND size = ? AND state <> 'committed' LIMIT 1",
  );
  const replace = database.prepare("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  const remove = database.prepare("DELETE FROM sessions WHERE id = ?");
  const expired = database.prepare("SELECT id FROM sessions WHERE expires_ms <= ?");
  const underWay = database.prepare(
    "SELECT count(*) AS sessions, coalesce(sum(reserved), 0) AS bytes FROM sessions WHERE state <> 'committed'",
  );
  return {
    get: (id) => sessionOf(one.get(id) as Row | undefined),
    find: (path, size, sha256) => sessionOf(same.get(path, sha256, size) as Row | undefined),
    set(session) {
      const { id, path, size, sha256, metadata, state, received, expiresMs, object, copies } = session;
      orNoRoom("record the upload", () =>
        replace.run(
          id,
          path,
          size,
          sha256,
          JSON.stringify(metadata),
          state,
          JSON.stringify(received.map(({ start, end }) => [start, end])),
          state === "held" || state === "stored" ? 0 : size ?? received.at(-1)?.end ?? 0,
          expiresMs,
          object && JSON.stringify(object),
          copies,
        ));
    },
    remove: (id) => void orNoRoom("forget the upload", () => remove.run(id)),
    expired: (nowMs) => (expired.all(nowMs) as { id: string }[]).map(({ id }) => id),
    underWay: () => underWay.get() as unknown as Load,
    [Symbol.dispose]: () => database.close(),
  };
}

function sessionOf(row: Row | undefined): Session | null {
  if (!row) return null;
  return {
    id: row.id as string,
    path: row.path as string,
    size: row.size as number | null,
    sha256: row.sha256 as string,
    metadata: JSON.parse(row.metadata as string),
    state: row.state as SessionState,
    received: (JSON.parse(row.received as string) as [number, number][]).map(([start, end]) => ({ start, end })),
    expiresMs: row.expires_ms as number,
    object: row.object === null ? null : JSON.parse(row.object as string),
    copies: row.copies as number,
  };
}
