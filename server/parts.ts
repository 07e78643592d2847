/** What a running server is made of: the steps and endpoints get all they need from here. */
import type { Manifest } from "../proto/mod.ts";
import type { Guard } from "../runtime/guard.ts";
import type { Logger } from "../runtime/log.ts";
import type { Cluster } from "./cluster/cluster.ts";
import type { OpenedEdge } from "./edge/open.ts";
import type { Purges } from "./purge/mod.ts";
import type { HotBodies } from "./serve/hot.ts";
import type { HotAnswers } from "./serve/hot_answers.ts";
import type { CacheRules } from "./serve/policy.ts";
import type { Store } from "./store/store.ts";
import type { Uploads } from "./upload/uploads.ts";
import type { Writer } from "./write.ts";

/** Who a server is, as its record in the list of servers says it. */
export interface Identity {
  /** Its name among the servers. */
  id: string;
  /** The cloud that it is at, as price sheets name it. */
  provider: string;
  /** The cloud's region. */
  region: string;
  /** "origin" is sent all content; "edge" holds only what is uploaded to it. */
  role: "origin" | "edge";
  /** Shown in the list of servers. */
  labels: Record<string, string>;
}

/** How much is taken at once. Sizes in bytes, times in milliseconds. */
export interface Limits {
  /** The largest object. */
  maxObjectSize: number;
  /** The largest chunk of an upload session. */
  chunkSize: number;
  /** How long a sender may pause in the middle of a body. */
  idleMs: number;
  /** Most ranges of one request that are answered apart. */
  ranges: number;
  /** The largest message between servers. */
  peerMessage: number;
  /** Bodies and finished answers that are kept in memory, all together. */
  hotBytes: number;
  /** How far ahead of our clock another server's stamp may be. */
  maxAheadMs: number;
}

/** Sane for a small server. */
export const defaultLimits: Limits = {
  maxObjectSize: 2 ** 40,
  chunkSize: 1 << 20,
  idleMs: 30_000,
  ranges: 16,
  peerMessage: 4 << 20,
  hotBytes: 32 << 20,
  maxAheadMs: 300_000,
};

/** The parts of one server. */
export interface Parts {
  identity: Identity;
  store: Store;
  uploads: Uploads;
  cluster: Cluster;
  purges: Purges;
  writer: Writer;
  /** With it, content is what its origins have; null where it is what the store has. */
  edge: Pick<OpenedEdge, "edge" | "status"> | null;
  guard: Guard;
  hot: HotBodies;
  /** Of objects that are asked for often by the front; out of the same memory as `hot`. */
  answers: HotAnswers;
  /** Which caching fields a path gets. */
  policy: CacheRules;
  limits: Limits;
  log: Logger;
  now(): number;
  /** False before `start` and once closing has begun. */
  ready(): boolean;
}

/** A manifest that is an object and no tombstone. */
export function isLive(manifest: Manifest | null): manifest is Manifest {
  return manifest !== null && !manifest.deleted;
}

/** The newest version of a path that is known here, whether its body is here or not; null where none is. */
export async function newestOf(
  path: string,
  { cluster, store }: { cluster: Pick<Cluster, "wanted">; store: Pick<Store, "get"> },
): Promise<Manifest | null> {
  return cluster.wanted(path) ?? await store.get(path);
}
