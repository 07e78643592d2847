/** A purge as plain data: what it names, and what is meant by it. */
import { create } from "@bufbuild/protobuf";
import { type Version, versionFromWire, versionToWire, wire } from "../../proto/mod.ts";
import type { Selection } from "../edge/cache/cache.ts";

/** One purge. Its stamp is its name; it orders nothing, for each purge is applied whenever it comes. */
export interface Purge {
  readonly version: Version;
  readonly selection: Selection;
  readonly soft: boolean;
}

/** What can be purged: a cache. */
export interface Purgeable {
  /**
   * Removes what a selection means or, softly, marks it stale. When it resolves no restart brings it back. From the call
   * on, what was asked for before is not to be stored, nor given to who asks now.
   * @returns how many stored responses it meant
   */
  purge(selection: Selection, options: { soft: boolean }): Promise<number>;
}

/** The cache of a server that has none. */
export const noCache: Purgeable = { purge: () => Promise.resolve(0) };

/** Every stored response. */
export const everything: Selection = { keys: [], prefixes: ["/"], tags: [] };

/**
 * The key that a URL is cached by: its path and query as they stand, without scheme, host and fragment. What is no path
 * must be an http(s) URL (`proto/rules.ts`).
 */
export function purgeKey(url: string): string {
  const target = (url.startsWith("/") ? url : url.replace(/^https?:\/\/[^/?#]+/i, "")).replace(/#.*$/s, "");
  return target.startsWith("/") ? target : `/${target}`;
}

/** What a request names. */
export function selectionOf({ urls, prefixes, tags }: wire.PurgeRequest): Selection {
  return { keys: [...new Set(urls.map(purgeKey))], prefixes, tags };
}

/** From the wire's shape, which a codec has checked already. */
export function purgeFromWire({ version, keys, prefixes, tags, soft }: wire.Purge): Purge {
  return { version: versionFromWire(version), selection: { keys, prefixes, tags }, soft };
}

/** To the wire's shape. */
export function purgeToWire({ version, selection: { keys, prefixes, tags }, soft }: Purge): wire.Purge {
  return create(wire.PurgeSchema, {
    version: versionToWire(version),
    keys: [...keys],
    prefixes: [...prefixes],
    tags: [...tags],
    soft,
  });
}
