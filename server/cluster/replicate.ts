/**
 * The hot path of replication: offers new content to one other server, from memory and at once. It is not what makes
 * content safe: whatever is lost here (we end, the other server is away, the queue is full) shows as a difference of
 * two digests, and `repair.ts` mends it.
 */
import { create } from "@bufbuild/protobuf";
import { CdnError, compareVersions, type Manifest, manifestToWire, wire } from "../../proto/mod.ts";
import { words } from "../../runtime/words.ts";
import type { Network } from "./ports.ts";
import { backoffMs, type ClusterSettings } from "./settings.ts";
import { SMALL_BYTES } from "./small_bodies.ts";
import type { Surroundings } from "./surroundings.ts";
import { Wake } from "./wake.ts";

/** What a sender works with. */
export interface SenderOptions extends Omit<Surroundings, "signal"> {
  /** Our own id and URL. */
  self: () => { id: string; url: string };
  /** Where the other server is; null where it is not on the list any more. */
  urlOf: (id: string) => string | null;
  network: Network;
  settings: ClusterSettings;
  /** A body that is held here; null where it is not. */
  read: (sha256: string) => Promise<Uint8Array | null>;
  /** The other server holds this on disk; `newer`: not this, but that version, which it says is newer. */
  onHeld: (id: string, manifest: Manifest, newer: wire.Version | undefined) => void;
  /** It does not take what we offer, and why; "" once it does. */
  onRefused: (id: string, reason: string) => void;
}

/** One manifest that waits. */
interface Item {
  manifest: Manifest;
  /** When it may be offered. */
  dueMs: number;
  /** How often it was offered and not taken. */
  tries: number;
  sent: boolean;
  /** It is offered alone: an offer with it in was refused as a whole. */
  alone: boolean;
}

/** Bytes of bodies in one offer. */
const GIVEN_BYTES = SMALL_BYTES;

const encoder = new TextEncoder();
const { HELD, PULLING, REFUSED } = wire.OfferAnswer_Outcome;

/** Offers to one other server until it is closed. */
export class Sender {
  readonly #options: SenderOptions;
  readonly #items = new Map<string, Item>();
  readonly #wake: Wake;
  readonly #stop = new AbortController();
  readonly #offers = new Set<Promise<void>>();
  readonly #ended: Promise<void>;
  #failures = 0;
  #pausedUntilMs = 0;

  /** @param id the server that is offered to */
  constructor(readonly id: string, options: SenderOptions) {
    this.#options = options;
    this.#wake = new Wake(options.schedule);
    this.#ended = this.#loop();
  }

  /** Offers a manifest soon; it replaces an older one of its path. Where too many wait, it is left to repair. */
  offer(manifest: Manifest): void {
    const before = this.#items.get(manifest.path);
    if (before && compareVersions(before.manifest.version, manifest.version) >= 0) return;
    if (!before && this.#items.size >= this.#options.settings.queue) return;
    this.#items.delete(manifest.path);
    this.#items.set(manifest.path, { manifest, dueMs: 0, tries: 0, sent: false, alone: false });
    this.#wake.call();
  }

  /** The other server can be reached (again): do not wait any longer. */
  reached(): void {
    this.#pausedUntilMs = 0;
    this.#wake.call();
  }

  /** It is away: what waits is left to repair. */
  lost(): void {
    for (const [path, { sent }] of this.#items) if (!sent) this.#items.delete(path);
  }

  /** Manifests that it has not answered for. */
  get waiting(): number {
    return this.#items.size;
  }

  /** Resolves when nothing of it runs any more. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
    await Promise.all(this.#offers);
  }

  async #loop(): Promise<void> {
    const { settings, now } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      let waitMs = settings.scanMs;
      const paused = this.#pausedUntilMs - now();
      if (paused > 0) waitMs = Math.min(waitMs, paused);
      else {
        while (this.#offers.size < settings.offersAtOnce && this.#pausedUntilMs <= now() && this.#offerNext());
        if (this.#offers.size < settings.offersAtOnce) waitMs = Math.min(waitMs, this.#nextDueMs() - now());
      }
      await this.#wake.sleep(waitMs, signal);
    }
  }

  #nextDueMs(): number {
    let next = Infinity;
    for (const { sent, dueMs } of this.#items.values()) if (!sent) next = Math.min(next, dueMs);
    return next;
  }

  /** Sends one offer. False where nothing is due. */
  #offerNext(): boolean {
    const items = this.#due();
    if (items.length === 0) return false;
    for (const item of items) item.sent = true;
    const offer = this.#offer(items);
    this.#offers.add(offer);
    offer.finally(() => {
      this.#offers.delete(offer);
      this.#wake.call();
    });
    return true;
  }

  /**
   * First come, first offered. What is new is not put together with what was offered before, whose bodies may take
   * long.
   */
  #due(): Item[] {
    const { settings, now } = this.#options;
    const nowMs = now();
    const found: Item[] = [];
    let bytes = 0;
    for (const item of this.#items.values()) {
      if (item.sent || item.dueMs > nowMs) continue;
      if (item.alone) {
        if (found.length === 0) return [item];
        continue;
      }
      if (found.length > 0 && (item.tries > 0) !== (found[0]!.tries > 0)) continue;
      bytes += encoder.encode(JSON.stringify(item.manifest)).length;
      if (found.length > 0 && bytes > settings.batchBytes) break;
      if (found.push(item) === settings.batch) break;
    }
    return found;
  }

  async #offer(items: Item[]): Promise<void> {
    const { self, urlOf, network, settings, onRefused } = this.#options;
    const url = urlOf(this.id);
    if (url === null) return; // taken off the list: we are about to be closed
    const { id, url: ours } = self();
    try {
      const offer = create(wire.OfferSchema, {
        from: id,
        url: ours,
        manifests: items.map(({ manifest }) => manifestToWire(manifest)),
        bodies: await this.#bodiesOf(items),
      });
      const { results } = await network.ask(url, "offers", offer, {
        timeoutMs: settings.offerTimeoutMs + settings.waitMs,
        signal: this.#stop.signal,
      });
      if (results.length !== items.length) {
        throw new CdnError(`${url} gave ${results.length} answers to ${items.length} offers`, { source: "peer" });
      }
      this.#failures = 0;
      for (const [at, item] of items.entries()) this.#answered(item, results[at]!);
      if (results.every(({ outcome }) => outcome === HELD || outcome === PULLING)) onRefused(this.id, "");
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#unanswered(items, error);
    }
  }

  /** Small bodies go along the first time: who hears of something new lacks it, most often, and need not ask. */
  async #bodiesOf(items: readonly Item[]): Promise<Uint8Array[]> {
    const wanted = new Set<string>();
    let bytes = 0;
    for (const { manifest: { sha256, size }, tries } of items) {
      if (tries > 0 || size === 0 || bytes + size > GIVEN_BYTES || wanted.has(sha256)) continue;
      wanted.add(sha256);
      bytes += size;
    }
    const bodies = await Promise.all([...wanted].map((sha256) => this.#options.read(sha256)));
    return bodies.filter((body) => body !== null);
  }

  #answered(item: Item, { outcome, reason, newer }: wire.OfferAnswer_Result): void {
    const { settings, now, random, log, onHeld, onRefused } = this.#options;
    const { path } = item.manifest;
    if (outcome === HELD) {
      onHeld(this.id, item.manifest, newer);
      return this.#settle(item);
    }
    if (outcome === PULLING) return this.#again(item, now() + settings.againMs);
    log.warn(outcome === REFUSED ? "a server refuses an object" : "a server could not take an object", {
      to: this.id,
      path,
      reason,
    });
    onRefused(this.id, `${outcome === REFUSED ? "refused" : "could not take"} ${path}: ${reason}`);
    if (outcome === REFUSED || item.tries >= settings.offerTries) return this.#settle(item);
    this.#again(item, now() + backoffMs(item.tries + 1, settings.failed, random));
  }

  /** A whole offer failed: one wrong manifest must not hold up the rest, nor a server that is away cost much. */
  #unanswered(items: Item[], error: unknown): void {
    const { settings, now, random, log, onRefused } = this.#options;
    if (error instanceof CdnError && (error.status === 400 || error.status === 413)) {
      log.warn("a server refuses a whole offer", { to: this.id, manifests: items.length, error: words(error) });
      for (const item of items) {
        if (items.length === 1) this.#settle(item);
        else this.#again(item, 0);
        item.alone = true;
      }
    } else {
      this.#pausedUntilMs = now() + backoffMs(++this.#failures, settings.backoff, random);
      for (const item of items) this.#again(item, 0);
    }
    onRefused(this.id, `offer failed: ${words(error)}`);
  }

  #again(item: Item, dueMs: number): void {
    item.sent = false;
    item.tries++;
    item.dueMs = dueMs;
  }

  /** Answered for; a newer manifest of the path that came meanwhile has an item of its own. */
  #settle(item: Item): void {
    if (this.#items.get(item.manifest.path) === item) this.#items.delete(item.manifest.path);
  }
}
