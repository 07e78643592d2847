/**
 * The one entry for local writes: whatever an upload, a `PUT` or a `DELETE` makes visible passes here.
 * (What other servers wrote comes in by `cluster/` and keeps the stamp that they gave it.)
 */
import {
  CdnError,
  formatVersion,
  type HybridClock,
  type Manifest,
  type Metadata,
  tombstone,
  type Version,
} from "../proto/mod.ts";
import type { Cluster } from "./cluster/cluster.ts";
import { KeyedLock } from "./keyed_lock.ts";
import { isLive, newestOf } from "./parts.ts";
import type { StagedBody, Store } from "./store/store.ts";

/** Looks at the newest manifest of the path and throws (412) where the write must not happen. */
export type Precondition = (current: Manifest | null) => void;

/** What a write led to. */
export interface Written {
  /** What is stored now. */
  manifest: Manifest;
  /** Servers that are known to hold it on disk, ourselves among them. */
  copies: number;
  /** True where there was no object at the path before. */
  created: boolean;
}

/** Makes local writes. They are durable here when they resolve; `Cluster.secure` says when they are elsewhere. */
export interface Writer {
  /**
   * Makes a staged body visible at a path, durable before it resolves.
   * @throws {CdnError} what `precondition` throws, and what the store throws.
   */
  write(path: string, body: StagedBody, metadata: Metadata, precondition?: Precondition): Promise<Written>;
  /** Puts a tombstone at a path. @throws {CdnError} 404 where there is no object. */
  remove(path: string, precondition?: Precondition): Promise<Written>;
}

/** How often a write is stamped anew because another server's newer one came in between. */
const ATTEMPTS = 10;

/** A writer for one store. Writes to one path happen one after the other, so that a precondition holds. */
export function createWriter(
  { store, cluster, clock, now }: {
    store: Store;
    cluster: Pick<Cluster, "sign" | "copies" | "draining" | "wanted">;
    clock: HybridClock;
    now: () => number;
  },
): Writer {
  const lock = new KeyedLock();

  // deno-lint-ignore require-await -- so that what throws rejects
  async function commit(path: string, decide: (current: Manifest | null, stamp: () => Version) => Manifest) {
    if (cluster.draining()) {
      throw new CdnError(`Cannot write ${path}: this server is being drained; write to another one`, {
        source: "server",
        status: 503,
        retry: true,
        retryAfterSeconds: 30,
      });
    }
    return lock.run(path, async (): Promise<Written> => {
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const current = await newestOf(path, { cluster, store });
        const manifest = cluster.sign(decide(current, () => clock.next(now(), current?.version)));
        if (await store.put(manifest)) {
          return { manifest, copies: cluster.copies(manifest), created: !isLive(current) };
        }
        // Replication put a newer version there since we looked: look again, and stamp after it.
      }
      throw new CdnError(`Cannot write ${path}: newer versions keep coming in from other servers`, {
        source: "server",
        status: 503,
        retry: true,
        retryAfterSeconds: 1,
      });
    });
  }

  return {
    write: (path, { sha256, size }, metadata, precondition) =>
      commit(path, (current, stamp) => {
        precondition?.(current);
        const { mediaType, name, modifiedMs, meta } = metadata;
        return { path, version: stamp(), deleted: false, sha256, size, mediaType, name, modifiedMs, meta };
      }),
    remove: (path, precondition) =>
      commit(path, (current, stamp) => {
        if (!isLive(current)) throw notFound(path, current);
        precondition?.(current);
        return tombstone(path, stamp());
      }),
  };
}

/** A 404; that of a tombstone carries the version of the delete, so that a proxy knows that it is final. */
export function notFound(path: string, current: Manifest | null): CdnError {
  return new CdnError(`There is no object at ${path.slice(0, 200)}`, {
    source: "client",
    status: 404,
    ...(current ? { headers: { "metacdn-version": formatVersion(current.version) } } : {}),
  });
}
