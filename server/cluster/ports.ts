/**
 * What a cluster needs of the world. A server gives it the network, a disk and keys; a simulation gives it others, and
 * replays exactly: whatever is not here (and not time, chance and timers, which are given too) is computation.
 */
import { CdnError, type Manifest, type wire } from "../../proto/mod.ts";
import type { BodySource } from "../store/store.ts";
import type { Ask } from "./calls.ts";

/** Another server that can be asked. */
export interface Peer {
  id: string;
  url: string;
}

/** A body as another server begins to send it. */
export interface IncomingBody {
  /** Where in the body the chunks start: what was asked for, or 0. */
  start: number;
  /** Of the whole body, where the other server said so. */
  size: number | null;
  /** Throws a `CdnError` where it breaks off or pauses too long. Each chunk is valid until the next is asked for. */
  chunks: AsyncIterable<Uint8Array>;
}

/** How other servers are reached. Every failure is a `CdnError` (source "peer") with the status they answered. */
export interface Network {
  ask: Ask;
  /**
   * Asks for a body from byte `start` on. The caller reads the chunks to their end or returns the iterator.
   * @throws {CdnError} status 404 where it does not hold the body, 416 where the body has no such byte.
   */
  openBody(
    url: string,
    options: { sha256: string; start: number; idleMs: number; signal: AbortSignal },
  ): Promise<IncomingBody>;
  /**
   * Asks for several small bodies at once (`small_bodies.ts`): one each, in their order; null for one that is not
   * given. Not verified. A network may lack it: then they are asked for one by one.
   */
  smallBodies(
    url: string,
    bodies: readonly { sha256: string; size: number }[],
    options: { timeoutMs: number; signal: AbortSignal },
  ): Promise<(Uint8Array<ArrayBuffer> | null)[]>;
}

/** What a cluster remembers over a restart; every change is durable when the method returns. */
export interface Ledger {
  /** Every record of a server (`records.ts`). */
  records(): wire.Server[];
  /** Replaces the record of its id and kind. */
  saveRecord(record: wire.Server): void;
  /** A small fact by name, such as our incarnation; null where it was never saved. */
  fact(name: string): string | null;
  saveFact(name: string, value: string): void;
  /** What is known and whose body is not held. */
  wanted: WantedTable;
  close(): void;
}

/** Manifests whose bodies are not here: by path, one each. */
export interface WantedTable {
  get(path: string): Manifest | null;
  /** Adds or replaces. */
  set(manifest: Manifest): void;
  /** As {@link set} for each, with one wait for the disk. */
  setAll(manifests: readonly Manifest[]): void;
  /**
   * Those of a version only, so that a newer one is not lost. False where it is another one, or none.
   * @param options.soon it need not be durable at once: the store has it, and a start finds that out again
   */
  remove(path: string, version: Manifest["version"], options?: { soon: boolean }): boolean;
  /** In the order in which they were first set, behind the place `after` (0: from the start). */
  next(after: number, limit: number): { manifest: Manifest; place: number }[];
  /** By path, behind `after`. */
  list(after: string, limit: number): Manifest[];
  /** Those that name a body. */
  byBody(sha256: string): Manifest[];
  /** Those with key (`pathKey`) in [from, to), ordered by key, then path; behind `after`. */
  byKey(from: number, to: number, limit: number, after?: { key: number; path: string }): Manifest[];
  /** How many, and the bytes of their bodies. */
  total(): { objects: number; bytes: number };
}

/** Beginnings of bodies on the store's own disk, by digest. */
export interface Partials {
  /** How many bytes there are; 0 where none. */
  size(sha256: string): Promise<number>;
  /** Opens one to write on: at its end, or from nothing. @throws {CdnError} 507 where there is no room. */
  append(sha256: string, options: { fresh: boolean }): Promise<PartialWriter>;
  /** The bytes from `start` on that are there now, as chunks. */
  read(sha256: string, start: number): AsyncIterable<Uint8Array>;
  /** To be staged by the store, which takes it away. */
  source(sha256: string): BodySource;
  /** Throws it away, where there is one. */
  discard(sha256: string): Promise<void>;
}

/** An open beginning. */
export interface PartialWriter extends AsyncDisposable {
  /** @throws {CdnError} 507 where there is no room. */
  write(chunk: Uint8Array): Promise<void>;
}

/** Our key, and how others' signatures are checked: Ed25519 (RFC 8032). Synchronous, so that a simulation replays. */
export interface Keys {
  /** 32 bytes. */
  readonly publicKey: Uint8Array<ArrayBuffer>;
  /** With TLS: our certificate (DER), by which the CA binds our key to our id; empty without. */
  readonly certificate: Uint8Array<ArrayBuffer>;
  /** 64 bytes. */
  sign(bytes: Uint8Array): Uint8Array<ArrayBuffer>;
  verify(publicKey: Uint8Array, bytes: Uint8Array, signature: Uint8Array): boolean;
}

/** The purges of a server (`server/purge/`), to which its cluster hands on what others say of them. */
export interface Purging {
  /** Answers POST /-/v1/peer/purge: it is done when it resolves. @throws {CdnError} where it could not be. */
  take(order: wire.PurgeOrder): Promise<wire.PurgeTaken>;
  /** Answers POST /-/v1/peer/purges. */
  list(question: wire.PurgesQuestion): wire.PurgesPage;
  /** A server answers that, as far as we knew, did not. */
  met(id: string): void;
  /** Somebody is heard, after a time in which nobody was. */
  back(): void;
}

/** A server that takes no purges: absence is an implementation. */
export const noPurging: Purging = {
  // deno-lint-ignore require-await -- so that what is thrown rejects
  take: async () => noPurges(),
  list: () => noPurges(),
  met() {},
  back() {},
};

function noPurges(): never {
  throw new CdnError("Cannot purge: this server takes no purges", { source: "server", status: 501 });
}
