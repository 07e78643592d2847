/**
 * Where a server keeps its objects. Five methods; `disk.ts` and `memory.ts` implement them, and
 * `tests/suite/store_suite.ts` holds every implementation to the same rules.
 *
 * Bodies are content-addressed: one body may serve many manifests. A manifest is visible only once its
 * whole body is here and has been verified.
 */
import type { Manifest } from "../../proto/mod.ts";

/** A body that is held, but that no manifest need name yet. */
export interface StagedBody {
  /** As 64 lower-case hexadecimal digits. */
  sha256: string;
  /** In bytes. */
  size: number;
}

/**
 * What a body is made from: chunks, or a file on the store's own machine. The file is gone once it is
 * staged (moved where possible), and stands untouched where staging fails.
 */
export type BodySource = AsyncIterable<Uint8Array> | {
  file: string;
  /** What the caller itself found by hashing these very bytes: they are not read once more. */
  hashed?: StagedBody;
};

/** A stored manifest, with its place in the store's own order of changes. */
export interface Entry {
  /** What the path has; a tombstone too. */
  manifest: Manifest;
  /** Grows with every change of this store, and never comes again; an overwritten path moves to its new place. */
  change: number;
}

/** A held body that was opened. Read the stream to its end or cancel it: a file may be open behind it. */
export interface OpenBody {
  /** Of the whole body, also where only a part of it was asked for; in bytes. */
  size: number;
  /** What was asked for. It reads from where it stands: a slow reader costs one buffer, not the body. */
  stream: ReadableStream<Uint8Array<ArrayBuffer>>;
}

/** Which entries to list, and in which order. */
export type ListQuery =
  /** By path (code point order: that of the UTF-8 bytes), from the one after `after`; tombstones only where asked for. */
  | { by: "path"; prefix?: string; after?: string; limit: number; tombstones?: boolean }
  /** By change, from the one after `after`; tombstones too. */
  | { by: "change"; after: number; limit: number }
  /** Those with key (`pathKey`) in [from, to), by key, then path, from the one after `after`; tombstones too. */
  | { by: "key"; from: number; to: number; limit: number; after?: { key: number; path: string } }
  /** Live ones that name a body. */
  | { by: "body"; sha256: string; limit: number };

/** One page of a listing. */
export interface Listing {
  /** In the order asked for; at most the limit. */
  entries: Entry[];
  /** True where further entries follow. */
  more: boolean;
}

/** A store of objects. Every method may throw a `CdnError`: 507 without `retry` where there is no room. */
export interface Store extends AsyncDisposable {
  /** The newest manifest of a path, a tombstone too; null where the path was never heard of. */
  get(path: string): Promise<Manifest | null>;

  /**
   * Takes in a body: streams it, hashes it, and makes it durable. Nothing is visible by it yet. The body
   * stays for at least `graceMs` (a setting of the store) even where no manifest names it.
   * A body that is held already is not kept twice.
   * @throws {CdnError} 400 (source "client", message names both) where it is not what was expected;
   * what the source throws is passed on. In both cases nothing is left behind.
   */
  stage(source: BodySource, expected?: { sha256?: string; size?: number }): Promise<StagedBody>;

  /**
   * Makes a manifest visible if it is newer than what is here (`compareVersions`), and durable before it
   * resolves. Its body must have been staged. True where it is what {@link get} now answers with, also
   * where the very same version was here already; false where something newer is.
   * @throws {CdnError} 409 where the body is not held, 400 where it has another size than the manifest says.
   */
  put(manifest: Manifest): Promise<boolean>;

  /**
   * A held body, or the part of it from `start` up to but not including `end`; null where it is not held.
   * For an empty part nothing is opened.
   * @throws {RangeError} for a part that is not inside the body.
   */
  open(sha256: string, range?: { start: number; end: number }): Promise<OpenBody | null>;

  /** A page of manifests. */
  list(query: ListQuery): Promise<Listing>;

  /** Removes the row of a path where it has this very version. */
  forget(path: string, version: Manifest["version"]): Promise<boolean>;

  /** Is told of bodies that were found damaged or gone. */
  onLost: (lost: { sha256: string; reason: string }) => void;
}

/** The size of a held body in bytes; null where it is not held. Nothing is opened for it. */
export async function bodySize(store: Pick<Store, "open">, sha256: string): Promise<number | null> {
  const body = await store.open(sha256, { start: 0, end: 0 });
  await body?.stream.cancel();
  return body && body.size;
}
