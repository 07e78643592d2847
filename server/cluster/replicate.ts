/**
 * The hot path of replication: feeds one other server from the store's own feed of changes, which is the
 * durable queue. It keeps a window of unsettled entries (`window.ts`), offers them in batches, and moves
 * a persisted cursor behind them.
 */
import { create } from "@bufbuild/protobuf";
import { CdnError, type Manifest, manifestToWire, wire } from "../../proto/mod.ts";
import type { Logger } from "../../runtime/log.ts";
import { type PeerClient, words } from "../../runtime/peer_client.ts";
import type { Store } from "../store/store.ts";
import type { Health } from "./health.ts";
import type { Holders } from "./holders.ts";
import type { Ledger } from "./ledger.ts";
import type { Members } from "./members.ts";
import { backoffMs, type ClusterSettings } from "./settings.ts";
import { type Schedule, Wake } from "./wake.ts";
import { type Item, SendWindow } from "./window.ts";

/** What a sender works with. */
export interface SenderOptions {
  store: Store;
  members: Members;
  health: Health;
  holders: Holders;
  ledger: Ledger;
  peers: PeerClient;
  settings: ClusterSettings;
  now: () => number;
  random: () => number;
  schedule: Schedule;
  log: Logger;
}

/** Entries counted in one step, to know the lag of what is beyond the window; and the pause between two steps. */
const COUNT_STEP = 500;
const COUNT_PAUSE_MS = 20;
/** How often the cursor is saved while it moves. */
const SAVE_MS = 1_000;

const encoder = new TextEncoder();
const { HELD, PULLING, REFUSED } = wire.OfferAnswer_Outcome;

/** Feeds one other server until it is closed. */
export class Sender {
  readonly #options: SenderOptions;
  readonly #window: SendWindow;
  readonly #wake: Wake;
  readonly #stop = new AbortController();
  readonly #offers = new Set<Promise<void>>();
  readonly #ended: Promise<void>;
  #failures = 0;
  #pausedUntilMs = 0;
  /** How far the entries beyond the window were counted, and how many they were. */
  #countedTo: number;
  #ahead = 0;
  #saved: number;
  #savedMs = -Infinity;

  /** @param id the server that is fed */
  constructor(readonly id: string, options: SenderOptions) {
    this.#options = options;
    this.#saved = this.#countedTo = options.ledger.cursor(id);
    this.#window = new SendWindow(this.#saved, options.settings);
    this.#wake = new Wake(options.schedule);
    this.#ended = this.#loop();
  }

  /** The feed has something new. */
  changed(): void {
    this.#wake.call();
  }

  /** The other server can be reached (again): do not wait any longer. */
  reached(): void {
    this.#pausedUntilMs = 0;
    this.#wake.call();
  }

  /** Objects that the other server has not confirmed; beyond the window as far as they were counted. */
  get lag(): number {
    return this.#window.size + this.#ahead;
  }

  /** Resolves when nothing of it runs any more. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
    await Promise.all(this.#offers);
    this.#save(true);
  }

  async #loop(): Promise<void> {
    const { settings, now, random, log } = this.#options;
    const { signal } = this.#stop;
    let storeFailures = 0;
    while (!signal.aborted) {
      let waitMs = settings.scanMs;
      try {
        const whole = await this.#fill();
        const paused = this.#pausedUntilMs - now();
        if (paused > 0) waitMs = Math.min(waitMs, paused);
        else {
          while (this.#offers.size < settings.offersAtOnce && this.#pausedUntilMs <= now() && await this.#offerNext());
          if (this.#offers.size < settings.offersAtOnce) waitMs = Math.min(waitMs, this.#window.nextDueMs() - now());
        }
        if (!whole && await this.#countAhead()) waitMs = Math.min(waitMs, COUNT_PAUSE_MS);
        this.#save(false);
        storeFailures = 0;
      } catch (error) {
        if (signal.aborted) return;
        log.error("replication cannot read the store", { to: this.id, error });
        waitMs = backoffMs(++storeFailures, settings.backoff, random);
      }
      await this.#wake.sleep(waitMs, signal);
    }
  }

  /** Reads the feed as far as the window has room. True where nothing is left to read. */
  async #fill(): Promise<boolean> {
    const { store, holders } = this.#options;
    for (let room; (room = this.#window.room) > 0;) {
      const { entries, more } = await store.list({ by: "change", after: this.#window.scanned, limit: room });
      for (const entry of entries) {
        if (entry.change <= this.#countedTo) this.#ahead = Math.max(0, this.#ahead - 1);
        this.#window.take(entry, holders.has(this.id, entry.manifest) ? null : this.#firstOfferMs(entry.manifest));
      }
      if (!more) {
        this.#ahead = 0;
        return true;
      }
    }
    return false;
  }

  /** What another server wrote is left to that server for a moment, where we know it to be at work. */
  #firstOfferMs({ version }: Manifest): number {
    const { members, health, settings, now } = this.#options;
    const relayed = version.server !== members.self.id && version.server !== this.id &&
      members.get(version.server) !== null && !health.isMissing(version.server);
    return relayed ? now() + settings.relayMs : 0;
  }

  /** Counts a step of what lies beyond the window. True where there is more to count. */
  async #countAhead(): Promise<boolean> {
    if (this.#countedTo < this.#window.scanned) [this.#countedTo, this.#ahead] = [this.#window.scanned, 0];
    const { entries, more } = await this.#options.store.list({
      by: "change",
      after: this.#countedTo,
      limit: COUNT_STEP,
    });
    this.#ahead += entries.length;
    this.#countedTo = entries.at(-1)?.change ?? this.#countedTo;
    return more;
  }

  /** Sends one offer. False where nothing is due. */
  async #offerNext(): Promise<boolean> {
    const { settings, now } = this.#options;
    const due = this.#window.due(now(), settings.batch);
    const items: Item[] = [];
    const manifests: Manifest[] = [];
    let bytes = 0;
    for (const item of due) {
      const manifest = item.manifest ?? await this.#reread(item);
      if (!manifest) continue;
      bytes += encoder.encode(JSON.stringify(manifest)).length;
      if (items.length > 0 && bytes > settings.batchBytes) break;
      item.sent = true;
      items.push(item);
      manifests.push(manifest);
    }
    if (items.length === 0) return due.length > 0;
    const offer = this.#offer(items, manifests);
    this.#offers.add(offer);
    offer.finally(() => {
      this.#offers.delete(offer);
      this.#wake.call();
    });
    return true;
  }

  /** The entry's manifest where it is still the newest of its path; else the feed has that one further on. */
  async #reread(item: Item): Promise<Manifest | null> {
    const manifest = await this.#options.store.get(item.path);
    if (manifest && !this.#options.holders.has(this.id, manifest)) return manifest;
    this.#window.settle(item);
    return null;
  }

  async #offer(items: Item[], manifests: Manifest[]): Promise<void> {
    const { members, health, peers, settings } = this.#options;
    const url = members.get(this.id)?.url;
    if (url === undefined) return; // taken off the list: we are about to be closed
    try {
      const offer = create(wire.OfferSchema, {
        from: members.self.id,
        url: members.self.url,
        manifests: manifests.map(manifestToWire),
      });
      const { results } = await peers.ask(`${url}/-/v1/peer/offers`, wire.OfferAnswerSchema, {
        question: [wire.OfferSchema, offer],
        timeoutMs: settings.offerTimeoutMs + settings.waitMs,
        signal: this.#stop.signal,
      });
      if (results.length !== items.length) {
        throw new CdnError(`${url} gave ${results.length} answers to ${items.length} offers`, { source: "peer" });
      }
      this.#failures = 0;
      if (!this.#window.failing) health.refused(this.id, "");
      for (const [at, item] of items.entries()) this.#answered(item, manifests[at]!, results[at]!);
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      this.#unanswered(items, error);
    }
  }

  #answered(item: Item, manifest: Manifest, { outcome, reason }: wire.OfferAnswer_Result): void {
    const { holders, health, settings, now, random, log } = this.#options;
    const where = { to: this.id, path: item.path, reason };
    if (outcome === HELD) {
      holders.note(this.id, manifest);
      this.#window.settle(item);
      if (item.failures > 0 && !this.#window.failing) health.refused(this.id, ""); // it was the last that had failed
    } else if (outcome === REFUSED) {
      log.warn("a server refuses an object", where);
      health.refused(this.id, `refused ${item.path}: ${reason}`);
      this.#window.settle(item);
    } else if (outcome === PULLING) {
      this.#window.again(item, now() + settings.againMs);
    } else {
      log.warn("a server could not take an object", where);
      health.refused(this.id, `could not take ${item.path}: ${reason}`);
      this.#window.defer(item, now() + later(item, settings, random));
    }
  }

  /** A whole offer failed: one wrong manifest must not hold up the rest, nor a server that is away cost much. */
  #unanswered(items: Item[], error: unknown): void {
    const { health, settings, now, random, log } = this.#options;
    if (error instanceof CdnError && (error.status === 400 || error.status === 413)) {
      for (const item of items) {
        if (items.length > 1) this.#window.again(item, 0);
        else this.#window.defer(item, now() + later(item, settings, random));
        item.alone = true;
      }
      log.warn("a server refuses a whole offer", { to: this.id, manifests: items.length, error: words(error) });
    } else {
      this.#pausedUntilMs = now() + backoffMs(++this.#failures, settings.backoff, random);
      for (const item of items) this.#window.again(item, 0);
    }
    health.refused(this.id, `offer failed: ${words(error)}`);
  }

  #save(last: boolean): void {
    const { cursor, size } = this.#window;
    const nowMs = this.#options.now();
    if (cursor === this.#saved || (!last && size > 0 && nowMs - this.#savedMs < SAVE_MS)) return;
    this.#options.ledger.saveCursor(this.id, cursor);
    [this.#saved, this.#savedMs] = [cursor, nowMs];
  }
}

/** At least half of the wait is certain: "much later". */
function later({ failures }: Item, { failed }: ClusterSettings, random: () => number): number {
  const most = Math.min(failed.mostMs, failed.leastMs * 2 ** Math.min(failures, 30));
  return most * (0.5 + random() / 2);
}
