/**
 * W-TinyLFU (Einziger, Friedman, Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", ACM TOS 2017): who stays
 * in memory. A window of 1 % takes everything. What leaves it comes to the others only where it was asked for more often
 * than those that would have to go for it: than all of them together, so that it is worth its bytes ("aggregated
 * victims", Einziger, Eytan, Friedman, Manes, "Lightweight Robust Size Aware Cache Management", ACM TOS 2022), or than
 * the first of them. The others are a segmented LRU: who was used there is protected, up to 80 %. Pure.
 */
import { type Linked, List } from "./list.ts";

/** What may go. */
export interface TinyItem extends Linked {
  bytes: number;
  /** A hash that tells it again when it comes back: 32 bits. */
  readonly print: number;
  /** The list that it is in; null where it is in none. */
  list: List<this> | null;
}

const WINDOW_SHARE = 0.01;
const PROTECTED_SHARE = 0.8;
/** Counts are halved after so many uses for each item there is. */
const USES_PER_ITEM = 10;

/** Decides who goes. */
export class TinyLfu<T extends TinyItem> {
  readonly #window = new List<T>();
  readonly #probation = new List<T>();
  readonly #protected = new List<T>();
  readonly #sketch = new Sketch(1 << 16);
  #items = 0;

  /** @param bySize whether a large item must be worth all that go for it */
  constructor(readonly limit: number, readonly bySize: boolean) {}

  /** Of all items. */
  get bytes(): number {
    return this.#window.bytes + this.#probation.bytes + this.#protected.bytes;
  }

  /** Something was asked for, be it here or not. */
  seen(print: number): void {
    this.#sketch.add(print, USES_PER_ITEM * (this.#items + 100));
  }

  /** How often it was asked for lately, at least about. */
  uses(print: number): number {
    return this.#sketch.estimate(print);
  }

  /** Takes in an item, which counts as a use of it. Whoever calls then asks {@link TinyLfu.evict} who has to go. */
  insert(item: T): void {
    this.seen(item.print);
    this.#items++;
    this.#put(item, this.#window);
  }

  /** An item that is here was used. */
  use(item: T): void {
    this.seen(item.print);
    if (item.list === this.#window) this.#put(item, this.#window);
    else {
      this.#put(item, this.#protected);
      while (this.#protected.bytes > PROTECTED_SHARE * this.limit) this.#put(this.#protected.first()!, this.#probation);
    }
  }

  /** Lets go of an item that is not wanted any more. */
  remove(item: T): void {
    item.list!.remove(item);
    item.list = null;
    this.#items--;
  }

  /** The item has changed its size. */
  resize(item: T, bytes: number): void {
    item.list!.bytes += bytes - item.bytes;
    item.bytes = bytes;
  }

  /** Whether an item would be let in. */
  admits(print: number, bytes: number, limit: number): boolean {
    const victims = this.#whoWouldGo(this.#lacking(bytes, limit));
    return victims.length === 0 || this.#isWorth(print, victims);
  }

  /** Takes out the item that should go next, so that all others take at most `limit`; null where nobody has to. */
  evict(limit: number): T | null {
    if (this.#lacking(0, limit) > 0) return this.#out(this.#victims().next().value!);
    while (this.#window.bytes > WINDOW_SHARE * limit) {
      const candidate = this.#window.first()!;
      const victims = this.#whoWouldGo(this.#lacking(candidate.bytes, limit));
      if (victims.length > 0 && !this.#isWorth(candidate.print, victims)) {
        // They have won, and need not do so again at once.
        for (const victim of victims) this.#put(victim, victim.list!);
        return this.#out(candidate);
      }
      this.#put(candidate, this.#probation);
      if (this.#lacking(0, limit) > 0) return this.#out(victims[0] ?? candidate);
    }
    return null;
  }

  /** What lacks outside the window for so many bytes more. */
  #lacking(bytes: number, limit: number): number {
    return this.#probation.bytes + this.#protected.bytes + bytes - (1 - WINDOW_SHARE) * limit;
  }

  #whoWouldGo(lacking: number): T[] {
    const victims: T[] = [];
    let freed = 0;
    for (const victim of this.#victims()) {
      if (freed >= lacking || (!this.bySize && victims.length > 0)) break;
      victims.push(victim);
      freed += victim.bytes;
    }
    return victims;
  }

  #isWorth(print: number, victims: readonly T[]): boolean {
    return this.uses(print) > victims.reduce((sum, victim) => sum + this.uses(victim.print), 0);
  }

  #put(item: T, list: List<T>): void {
    item.list?.remove(item);
    item.list = list;
    list.append(item);
  }

  #out(item: T): T {
    this.remove(item);
    return item;
  }

  *#victims(): Generator<T, undefined> {
    for (let item = this.#probation.first(); item; item = item.after) yield item;
    for (let item = this.#protected.first(); item; item = item.after) yield item;
  }
}

/** A count-min sketch with counts up to 15 (Cormode and Muthukrishnan 2005), of which only the least are raised. */
class Sketch {
  readonly #counts: Uint8Array;
  #added = 0;

  /** @param width a power of two */
  constructor(readonly width: number) {
    this.#counts = new Uint8Array(4 * width);
  }

  /** Counts one; after `sample` of them all counts are halved. */
  add(print: number, sample: number): void {
    const least = this.estimate(print);
    if (least < 15) {
      for (let row = 0; row < 4; row++) {
        const place = this.#place(print, row);
        if (this.#counts[place] === least) this.#counts[place]!++;
      }
    }
    if (++this.#added < sample) return;
    this.#added >>= 1;
    this.#counts.forEach((count, at) => this.#counts[at] = count >> 1);
  }

  estimate(print: number): number {
    let least = 15;
    for (let row = 0; row < 4; row++) least = Math.min(least, this.#counts[this.#place(print, row)]!);
    return least;
  }

  #place(print: number, row: number): number {
    return row * this.width + ((Math.imul(print, MULTIPLIERS[row]!) >>> 13) & (this.width - 1));
  }
}

/** Odd numbers that have nothing to do with each other. */
const MULTIPLIERS = [0x9e3779b1, 0x85ebca6b, 0xc2b2ae35, 0x27d4eb2f];
