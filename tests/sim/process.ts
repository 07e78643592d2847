/** What a simulated machine runs, seen from the story: the real cluster (`machine.ts`), or one made wrong on purpose. */
import type { Answer, CallName, Question } from "../../server/cluster/calls.ts";
import type { Keys, Ledger, Network, Partials } from "../../server/cluster/ports.ts";
import type { Schedule } from "../../server/cluster/wake.ts";
import type { Manifest } from "../../proto/mod.ts";
import type { Logger } from "../../runtime/log.ts";
import type { OpenBody } from "../../server/store/store.ts";
import type { DiskStore } from "./disk_store.ts";
import type { Random } from "./prng.ts";

/** Where a machine stands, and who owns it. */
export interface Place {
  provider: string;
  region: string;
  /** `jurisdiction` and `operator`. */
  labels: Record<string, string>;
}

/** All that a process gets of its machine. Every one of these is dead once the process is. */
export interface Host {
  id: string;
  url: string;
  place: Place;
  /** URLs of others, as `--peers` has them. */
  peers: string[];
  /** How many servers must hold a write before it is acknowledged. */
  minCopies: number;
  store: DiskStore;
  ledger: Ledger;
  partials: Partials;
  keys: Keys;
  network: Network;
  now: () => number;
  random: Random;
  schedule: Schedule;
  log: Logger;
  /** The server replaces a version that nobody has, which only what was never acknowledged may be. */
  gaveUp: (path: string, version: string) => void;
}

/** What a reader gets: of a deleted object the tombstone, and no bytes. */
export interface Read {
  manifest: Manifest;
  bytes: Uint8Array | null;
}

/** A running server. */
export interface Process {
  /** A peer's call. `from` is who signed it. */
  answer<Name extends CallName>(name: Name, question: Question<Name>, from: string): Promise<Answer<Name>>;
  /** A peer asks for a body (or what there is of it) from a byte on; null where it is not here. @throws {CdnError} 416 */
  openBody(sha256: string, start: number): Promise<OpenBody | null>;
  /** Resolves once it is acknowledged. @throws {CdnError} otherwise; the outcome may be unknown. */
  put(path: string, bytes: Uint8Array): Promise<Manifest>;
  /** As {@link put}. @throws {CdnError} 404 where there is no object. */
  remove(path: string): Promise<Manifest>;
  /** Null where the path was never heard of. @throws {CdnError} where it cannot be had now. */
  read(path: string): Promise<Read | null>;
  /** How it sees the others: their ids, and "alive", "suspect", "dead", "left" or "unknown". */
  members(): { id: string; state: string }[];
  /** Ends in order. */
  close(): Promise<void>;
}

/** Starts a process on a machine. */
export type Boot = (host: Host) => Promise<Process>;
