/**
 * Whether what we know may have been deleted meanwhile. Tombstones live for `tombstoneMs`: who was away for longer may
 * hold what everybody else deleted, and would bring it back.
 *
 * - A *stale* server neither offers nor gives away what is older than the horizon. When it has compared everything with
 *   a judge, what is that old and unknown there is set aside, and it is fresh.
 * - A *judge* is one that does not say that it is stale: who knows all that the cluster knows. Nobody is one at its
 *   start, for its disk may be a new one, but after a comparison with a judge.
 * - Where nobody is a judge (a new cluster, or one that was off as a whole), a grace ends it: nothing is lost. One that
 *   came out of a grace is no judge for another grace, so that those whose grace began later come out of theirs.
 */
import type { Manifest } from "../../proto/mod.ts";
import type { Logger } from "../../runtime/log.ts";
import type { Ledger } from "./ports.ts";

/** Horizons are whole hours. */
export const HOUR_MS = 3_600_000;
/** Facts in the ledger. */
const CONTACT = "last-contact-ms";
const GRACE = "stale-grace-ms";
/** Between two saves of the last contact. */
const SAVE_MS = 60_000;

/**
 * Tombstones older than this are past their time. Whole hours, so that servers agree most of the time.
 * @returns milliseconds since 1970
 */
export function horizonMs(nowMs: number, tombstoneMs: number): number {
  return Math.floor((nowMs - tombstoneMs) / HOUR_MS) * HOUR_MS;
}

/** An hour above {@link horizonMs}: clocks differ. What is older is in doubt where we are stale. */
export function doubtMs(nowMs: number, tombstoneMs: number): number {
  return horizonMs(nowMs, tombstoneMs) + HOUR_MS;
}

/** Who has others beside it and heard of none for longer than tombstones live. */
export function wasAwayTooLong(
  { hasMembers, lastContactMs, nowMs, tombstoneMs }: {
    hasMembers: boolean;
    /** Null where there never was one. */
    lastContactMs: number | null;
    nowMs: number;
    tombstoneMs: number;
  },
): boolean {
  return hasMembers && lastContactMs !== null && nowMs - lastContactMs > tombstoneMs;
}

/** What a stale server does with a row that it would offer to a fresh one. */
export function verdict(
  { deleted, wallMs, knownThere, peerStale, doubtMs }: {
    deleted: boolean;
    wallMs: number;
    /** The peer knows some version of the path. */
    knownThere: boolean;
    peerStale: boolean;
    doubtMs: number;
  },
): "offer" | "keep" | "set aside" {
  if (wallMs >= doubtMs) return "offer";
  return deleted || knownThere || peerStale ? "keep" : "set aside";
}

/** When the grace among servers of which none is a judge began; null where it does not run. */
export function graceBegan(
  { beganMs, nowMs, peers }: {
    beganMs: number | null;
    nowMs: number;
    /** Those that are in contact. */
    peers: readonly { stale: boolean }[];
  },
): number | null {
  if (peers.length === 0) return beganMs;
  if (peers.some(({ stale }) => !stale)) return null;
  // A clock that was put back begins anew.
  return beganMs === null || beganMs > nowMs ? nowMs : beganMs;
}

/** What {@link Staleness} works with. */
export interface StalenessOptions {
  ledger: Pick<Ledger, "fact" | "saveFact">;
  settings: { tombstoneMs: number; staleGraceMs: number };
  now: () => number;
  log: Logger;
  /** Keeps what is taken out of the catalog where an operator finds it; durable when it resolves. */
  setAside: (manifests: readonly Manifest[]) => Promise<void>;
}

/** The rules above with a memory. */
export class Staleness {
  readonly #options: StalenessOptions;
  #stale: boolean;
  #judge = false;
  #graceMs: number | null;
  #lingerMs = -Infinity;
  #contactMs: number | null;

  /** @param hasMembers other servers are on the list at our start */
  constructor(options: StalenessOptions, hasMembers: boolean) {
    this.#options = options;
    this.#contactMs = this.#fact(CONTACT);
    this.#graceMs = this.#fact(GRACE);
    this.#stale = false;
    if (hasMembers) this.#look();
  }

  /** What is older than {@link doubtMs} may have been deleted: it is not to be offered, nor given away. */
  get stale(): boolean {
    return this.#stale;
  }

  /** What others are told: that we are no judge. */
  get told(): boolean {
    return this.#stale || !this.#judge || this.#options.now() < this.#lingerMs;
  }

  /** In milliseconds since 1970. */
  get doubtMs(): number {
    return doubtMs(this.#options.now(), this.#options.settings.tombstoneMs);
  }

  /** Whether we may speak of a manifest to others. */
  mayOffer({ version }: Pick<Manifest, "version">): boolean {
    return !this.#stale || version.wallMs >= this.doubtMs;
  }

  /** Another server answered, or asked. While we are stale nothing is saved, so that a restart does not make us fresh. */
  contact(): void {
    if (this.#stale || this.#look()) return;
    const nowMs = this.#options.now();
    if (this.#contactMs !== null && Math.abs(nowMs - this.#contactMs) < SAVE_MS) return;
    this.#contactMs = nowMs;
    this.#save(CONTACT, nowMs);
  }

  /** Begins and ends the grace. To be called now and then with those that are in contact. */
  tick(peers: readonly { stale: boolean }[]): void {
    if (!this.#stale && this.#judge) return;
    const { now, settings: { staleGraceMs }, log } = this.#options;
    const began = graceBegan({ beganMs: this.#graceMs, nowMs: now(), peers });
    if (began !== this.#graceMs) {
      this.#graceMs = began;
      if (this.#stale) this.#save(GRACE, began);
    }
    if (began === null || peers.length === 0 || now() - began < staleGraceMs) return;
    if (this.#stale) log.warn("all servers were away: what is here counts as it is", { servers: peers.length });
    this.#lingerMs = now() + staleGraceMs;
    this.#freshen();
  }

  /**
   * A peer has compared everything with us, or knows the very same.
   * @param peer.stale what it says of itself
   */
  compared(peer: { stale: boolean }): void {
    if (peer.stale || (!this.#stale && this.#judge)) return;
    this.#freshen();
  }

  /**
   * Keeps aside what a judge does not know, then forgets it.
   * @param forget takes one out of the catalog
   */
  async setAside(
    manifests: readonly Manifest[],
    { peer, forget }: { peer: string; forget: (manifest: Manifest) => Promise<boolean> },
  ): Promise<void> {
    if (manifests.length === 0) return;
    await this.#options.setAside(manifests);
    for (const manifest of manifests) await forget(manifest);
    this.#options.log.warn("set aside what may have been deleted while we were away", {
      peer,
      objects: manifests.length,
    });
  }

  #look(): boolean {
    const { settings: { tombstoneMs }, now, log } = this.#options;
    const lastContactMs = this.#contactMs;
    this.#stale = wasAwayTooLong({ hasMembers: true, lastContactMs, nowMs: now(), tombstoneMs });
    if (this.#stale) log.warn("was away for longer than tombstones live", { lastContactMs });
    return this.#stale;
  }

  #freshen(): void {
    const wasStale = this.#stale;
    this.#stale = false;
    this.#judge = true;
    this.#graceMs = null;
    if (!wasStale) return;
    this.#contactMs = this.#options.now();
    this.#save(CONTACT, this.#contactMs);
    this.#save(GRACE, null);
  }

  #fact(name: string): number | null {
    const text = this.#options.ledger.fact(name);
    return text ? Number(text) : null;
  }

  #save(name: string, ms: number | null): void {
    this.#options.ledger.saveFact(name, ms === null ? "" : String(ms));
  }
}
