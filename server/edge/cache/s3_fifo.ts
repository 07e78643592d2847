/**
 * S3-FIFO (Yang et al., "FIFO Queues are All You Need for Cache Eviction", SOSP 2023): what goes when room is short.
 *
 * What is new waits in a small queue, a tenth of all bytes; what was used twice when it comes to its end moves to the
 * main queue, all else goes, and is remembered for a while without its bytes. What comes back while it is remembered
 * begins in the main queue, and from there goes what was not used since its last round. A use only counts up to 3, so
 * that it costs nothing, and needs no lock and no write. Pure: queues may be lists in memory or rows of a table.
 */

/** What may go. */
export interface Item {
  bytes: number;
  /** How often it was used since it came or had its last round: 0 to {@link MOST_USES}. */
  frequency: number;
  /** True once it is in the main queue. */
  main: boolean;
  /** A hash that tells it again when it comes back: 32 bits. */
  readonly print: number;
}

/** First in, first out. */
export interface Queue<T extends Item> {
  /** Of all its items. */
  bytes: number;
  first(): T | null;
  append(item: T): void;
  remove(item: T): void;
}

/** More uses than this make no difference. */
export const MOST_USES = 3;
/** Uses by which an item has earned its place in the main queue. */
const EARNED = 2;
/** The small queue's part of all bytes. */
const SMALL_SHARE = 0.1;

/** Counts a use. */
export function use(item: { frequency: number }): void {
  if (item.frequency < MOST_USES) item.frequency++;
}

/** Counts a read of some of its bytes as a use, but for one that goes on where the last one ended: one reader is one use. */
export function useFrom(item: { frequency: number; readUntil: number }, start: number, end: number): void {
  if (start !== item.readUntil) use(item);
  item.readUntil = end;
}

/** Decides who goes. */
export class S3Fifo<T extends Item> {
  constructor(readonly small: Queue<T>, readonly main: Queue<T>, readonly ghosts: Ghosts) {}

  /** Of all items. */
  get bytes(): number {
    return this.small.bytes + this.main.bytes;
  }

  /** Takes in an item. */
  insert(item: T): void {
    item.main = this.ghosts.take(item.print);
    this.#queueOf(item).append(item);
  }

  /** Lets go of an item that is not wanted any more. */
  remove(item: T): void {
    this.#queueOf(item).remove(item);
  }

  /** The item has changed its size. */
  resize(item: T, bytes: number): void {
    this.#queueOf(item).bytes += bytes - item.bytes;
    item.bytes = bytes;
  }

  /** Takes out the item that should go next; null where there is none. */
  evict(): T | null {
    while (true) {
      const fromSmall = this.small.bytes > SMALL_SHARE * this.bytes || this.main.bytes === 0;
      const item = (fromSmall ? this.small.first() : this.main.first()) ?? this.small.first() ?? this.main.first();
      if (item === null) return null;
      this.#queueOf(item).remove(item);
      if (item.main ? item.frequency === 0 : item.frequency < EARNED) {
        if (!item.main) this.ghosts.add(item.print);
        return item;
      }
      item.frequency = item.main ? item.frequency - 1 : 0;
      item.main = true;
      this.main.append(item);
    }
  }

  #queueOf(item: T): Queue<T> {
    return item.main ? this.main : this.small;
  }
}

/** The prints of what went lately. A table of a fixed size, in which a new print takes the place of an older one. */
export class Ghosts {
  readonly #prints: Uint32Array;

  /** @param places a power of two: about as many as there are items */
  constructor(places = 1 << 16) {
    this.#prints = new Uint32Array(places);
  }

  add(print: number): void {
    this.#prints[place(print, this.#prints.length)] = print;
  }

  /** Whether it is remembered; from then on it is not. */
  take(print: number): boolean {
    const at = place(print, this.#prints.length);
    if (print >>> 0 === 0 || this.#prints[at] !== print >>> 0) return false;
    this.#prints[at] = 0;
    return true;
  }
}

/** Spread by Knuth's multiplicative hash, so that poor prints do as well. */
function place(print: number, places: number): number {
  return (Math.imul(print, 0x9e3779b1) >>> 7) & (places - 1);
}
