/**
 * What is under way to one other server: a window of the store's change feed. Pure: time is an argument.
 *
 *     feed:     1  2  3  4  5  6  7  8  9 …
 *               settled | window: 4 and 7 are unsettled | not read yet
 *     cursor = 3 (just below the lowest unsettled), scanned = 7
 *
 * After a restart the feed is read from the cursor again; what was settled above it is offered once more,
 * and answered with HELD. Entries that the other server failed to take are put off: they hold the cursor,
 * but not the window.
 */
import type { Manifest } from "../../proto/mod.ts";
import type { Entry } from "../store/store.ts";

/** One unsettled entry of the feed. */
export interface Item {
  readonly path: string;
  readonly change: number;
  /** At its first offer; later ones read it anew, for the path may have been overwritten meanwhile. */
  manifest: Manifest | null;
  /** When it may be offered. */
  dueMs: number;
  /** How often the other server failed to take it. */
  failures: number;
  /** It is in an offer that was not answered yet. */
  sent: boolean;
  /** It must be offered alone: an offer with it in was refused as a whole. */
  alone: boolean;
  /** It was put off, and does not fill the window. */
  deferred: boolean;
}

/** The unsettled entries for one server. */
export class SendWindow {
  readonly #items = new Map<string, Item>();
  readonly #limits: { window: number; deferred: number };
  #scanned: number;

  constructor(cursor: number, limits: { window: number; deferred: number }) {
    this.#scanned = cursor;
    this.#limits = limits;
  }

  /** The last change that was read. */
  get scanned(): number {
    return this.#scanned;
  }

  /** Everything up to this change is settled. */
  get cursor(): number {
    let lowest = this.#scanned + 1;
    for (const { change } of this.#items.values()) lowest = Math.min(lowest, change);
    return lowest - 1;
  }

  /** Unsettled entries. */
  get size(): number {
    return this.#items.size;
  }

  /** True where the other server failed to take one of them. */
  get failing(): boolean {
    for (const { failures } of this.#items.values()) if (failures > 0) return true;
    return false;
  }

  /** How many more entries may be read. */
  get room(): number {
    let active = 0;
    for (const { deferred } of this.#items.values()) if (!deferred) active++;
    return Math.max(0, this.#limits.window - active);
  }

  /** Takes the next entry of the feed; `dueMs` null where the other server is known to hold it. */
  take({ manifest, change }: Entry, dueMs: number | null): void {
    this.#scanned = change;
    this.#items.delete(manifest.path); // an older version of the same path is of no interest any more
    if (dueMs === null) return;
    const fresh = { failures: 0, sent: false, alone: false, deferred: false };
    this.#items.set(manifest.path, { path: manifest.path, change, manifest, dueMs, ...fresh });
  }

  /**
   * What may be offered now, first come first. New entries are not put together with those that were offered
   * before, whose bodies may take long; and nothing is put beside an entry that must be alone.
   */
  due(nowMs: number, most: number): Item[] {
    const found: Item[] = [];
    for (const item of this.#items.values()) {
      if (item.sent || item.dueMs > nowMs) continue;
      if (item.alone) {
        if (found.length === 0) return [item];
        continue;
      }
      const isNew = item.manifest !== null;
      if (found.length > 0 && isNew !== (found[0]!.manifest !== null)) continue;
      if (found.push(item) === most) break;
    }
    return found;
  }

  /** When the next entry may be offered; Infinity where none waits. */
  nextDueMs(): number {
    let next = Infinity;
    for (const { sent, dueMs } of this.#items.values()) if (!sent) next = Math.min(next, dueMs);
    return next;
  }

  /** The other server has it, or never will. */
  settle(item: Item): void {
    if (this.#items.get(item.path) === item) this.#items.delete(item.path);
  }

  /** To be offered again at `dueMs`. */
  again(item: Item, dueMs: number): void {
    Object.assign(item, { sent: false, manifest: null, dueMs });
  }

  /** To be offered again much later; until then others take its place, as long as not too many are put off. */
  defer(item: Item, dueMs: number): void {
    this.again(item, dueMs);
    item.failures++;
    if (item.deferred) return;
    let put = 0;
    for (const { deferred } of this.#items.values()) if (deferred) put++;
    item.deferred = put < this.#limits.deferred;
  }
}
