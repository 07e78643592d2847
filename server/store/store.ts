/**
 * Where a server keeps its objects. Six methods; `disk.ts` and `memory.ts` implement them, and
 * `tests/suite/store_suite.ts` holds every implementation to the same rules.
 *
 * Bodies are content-addressed: one body may serve many manifests. A manifest is visible only once its
 * whole body is here and has been verified. A disk may lose a body again: then the manifest stays, `open`
 * gives null, listeners are told, and staging the body once more heals it.
 */
import { isDeepStrictEqual } from "node:util";
import type { Manifest, Version } from "../../proto/mod.ts";
import type { BodySource as Source } from "../../runtime/http1/body_source.ts";

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
  /** The same, for a reader with memory of his own, where the store has it: either is read, never both. */
  source?: Source;
}

/** Which entries to list, and in which order. */
export type ListQuery =
  /** By path (code point order: that of the UTF-8 bytes), from the one after `after`; tombstones only where asked for. */
  | { by: "path"; prefix?: string; after?: string; limit: number; tombstones?: boolean }
  /** By change, from the one after `after`; tombstones too. */
  | { by: "change"; after: number; limit: number }
  /** Those whose `pathKey` is in [from, to), by key and then path, from the one behind `after`; tombstones too. */
  | { by: "key"; from: number; to: number; limit: number; after?: { key: number; path: string } }
  /** Those that name the body, by path; no tombstones. */
  | { by: "body"; sha256: string; limit: number };

/** One page of a listing. */
export interface Listing {
  /** In the order asked for; at most the limit. */
  entries: Entry[];
  /** True where further entries follow. */
  more: boolean;
}

/** A body that was held, and is not any more. */
export interface LostBody {
  /** As 64 lower-case hexadecimal digits. */
  sha256: string;
  /** In words for people. */
  reason: string;
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
   * where the very same version was here already; false where something newer is. A signature that the very
   * same version lacks here is taken over: a change as any other.
   * @throws {CdnError} 409 where the body is not held, 400 where it has another size than the manifest says.
   */
  put(manifest: Manifest): Promise<boolean>;

  /**
   * A held body, or the part of it from `start` up to but not including `end`; null where it is not held.
   * For an empty part nothing is opened. Bytes that turn out not to be those that were staged do not go out:
   * the stream errors (`CdnError` 500 with `retry`), and the body is not held any more.
   * @throws {RangeError} for a part that is not inside the body.
   */
  open(sha256: string, range?: { start: number; end: number }): Promise<OpenBody | null>;

  /** A page of manifests. */
  list(query: ListQuery): Promise<Listing>;

  /**
   * Takes away all that is known of a path, where it has exactly this version; durable when it resolves.
   * False where it has another version, or none. The body's grace begins as where it is overwritten.
   * An older version may be put afterwards: that is what a tombstone is kept against.
   */
  forget(path: string, version: Version): Promise<boolean>;

  /** Hears, once, of each body that was held and is found not to be any more. To be set; must not throw. */
  onLost: (lost: LostBody) => void;
}

/** True where `given` is what is `held`, with a signature that `held` lacks. */
export function addsSignature(given: Manifest, held: Manifest): boolean {
  if (given.signature === undefined || held.signature !== undefined) return false;
  const { signature: _, ...unsigned } = given;
  return isDeepStrictEqual({ ...unsigned, meta: { ...unsigned.meta } }, held);
}

/** The size of a held body in bytes; null where it is not held. Nothing is opened for it. */
export async function bodySize(store: Pick<Store, "open">, sha256: string): Promise<number | null> {
  const body = await store.open(sha256, { start: 0, end: 0 });
  await body?.stream.cancel();
  return body && body.size;
}
