/**
 * Versions that nobody has. A server may be lost after others heard of a write of it and before anybody had the body:
 * then that version is known everywhere and held nowhere, and would hide for ever the one before it, which was
 * acknowledged. Such a version is given up: whoever holds the one before writes that anew, with a newer stamp; where
 * nobody holds one, a tombstone takes its place.
 *
 * It is safe because it happens only to what cannot have been acknowledged. An acknowledged version was once on at
 * least `leastCopies` origins. So where fewer than that many cannot be asked, or had its body and lost it, and all the
 * others never had it, it never was.
 */
import { create } from "@bufbuild/protobuf";
import { compareVersions, formatVersion, type Manifest, tombstone, type Version, wire } from "../../proto/mod.ts";
import type { Logger } from "../../runtime/log.ts";
import { bodySize, type Store } from "../store/store.ts";
import type { Catalog } from "./catalog.ts";

const { UNKNOWN, NEWER, HELD, WANTED, LOST } = wire.Standing_State;

/** How this server stands to a version. */
export async function standingOf(
  { catalog, store }: { catalog: Pick<Catalog, "isWanted">; store: Pick<Store, "get" | "open"> },
  path: string,
  version: Version,
): Promise<wire.Standing> {
  const wanted = catalog.isWanted(path);
  const row = await store.get(path);
  const rowOrder = row ? compareVersions(row.version, version) : -1;
  const order = Math.max(rowOrder, wanted ? compareVersions(wanted.version, version) : -1);
  const hasBody = row !== null && !row.deleted && await bodySize(store, row.sha256) !== null;
  const holdsOlder = rowOrder < 0 && hasBody;
  const state = order < 0
    ? UNKNOWN
    : order > 0
    ? NEWER
    : rowOrder < 0
    ? WANTED
    : row!.deleted || (hasBody && !wanted)
    ? HELD
    : LOST;
  return create(wire.StandingSchema, { state, holdsOlder });
}

/** What giving up works with. */
export interface AbandonOptions {
  catalog: Pick<Catalog, "isWanted">;
  store: Pick<Store, "get" | "open">;
  /** The other origins on the list, reachable or not. */
  origins: () => { id: string; url: string }[];
  /** Asks another server how it stands to a version. */
  ask: (url: string, manifest: Manifest) => Promise<wire.Standing>;
  /** How many servers held what was acknowledged. */
  leastCopies: () => number;
  /** A stamp of ours that is newer than another. */
  stamp: (after: Version) => Version;
  /** Makes a write of ours visible. */
  write: (manifest: Manifest) => Promise<unknown>;
  /** Another server has it after all. */
  onFound: (manifest: Manifest, id: string) => void;
  log: Logger;
}

/** Gives up what nobody has. */
export class Abandon {
  readonly #options: AbandonOptions;
  readonly #busy = new Set<string>();

  constructor(options: AbandonOptions) {
    this.#options = options;
  }

  /** Asks around for a version whose body nobody who was asked could give, and gives it up where that is safe. */
  async consider(manifest: Manifest): Promise<void> {
    const { path } = manifest;
    if (this.#busy.has(path)) return;
    this.#busy.add(path);
    try {
      await this.#consider(manifest);
    } finally {
      this.#busy.delete(path);
    }
  }

  async #consider(manifest: Manifest): Promise<void> {
    const { catalog, store, origins, ask, leastCopies, stamp, write, onFound, log } = this.#options;
    const { path, version } = manifest;
    const own = await standingOf(this.#options, path, version);
    if (own.state !== WANTED && own.state !== LOST) return;
    /** Those that may have had it when it was acknowledged, if it was. */
    let possible = own.state === LOST ? 1 : 0;
    let held = own.holdsOlder;
    for (const { id, url } of origins()) {
      const standing = await ask(url, manifest).catch(() => null);
      if (standing === null || standing.state === LOST) possible++;
      else if (standing.state === HELD) return onFound(manifest, id);
      else if (standing.state === NEWER) return; // repair brings that one
      held ||= standing?.holdsOlder ?? false;
    }
    if (possible >= leastCopies()) return;
    const wanted = catalog.isWanted(path);
    if (!wanted || compareVersions(wanted.version, version) !== 0) return;
    const before = own.holdsOlder ? await store.get(path) : null;
    if (!before && held) return; // whoever has the version before does it
    log.warn("gave up a version that nobody has: it was never acknowledged", {
      path,
      version: formatVersion(version),
      instead: before ? "the version before" : "a tombstone",
    });
    await write(before ? { ...before, version: stamp(version) } : tombstone(path, stamp(version)));
  }
}
