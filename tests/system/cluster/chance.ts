/** Chance that can be had again: everything random of a round comes from its seed. */

/** Draws; the same seed gives the same draws (Mulberry32, T. Ettinger, 2017). */
export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 up to 1. */
  next(): number {
    let t = this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from `least` to `most`. */
  between(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1));
  }

  /** One of them. */
  pick<T>(from: readonly T[]): T {
    if (from.length === 0) throw new RangeError("nothing to pick from");
    return from[Math.floor(this.next() * from.length)]!;
  }

  /** A size between both in bytes; small ones as often as large ones on a logarithmic scale. */
  size(least: number, most: number): number {
    return Math.round(least * (most / least) ** this.next());
  }

  /** Bytes that do not compress. */
  bytes(size: number): Uint8Array<ArrayBuffer> {
    const words = new Uint32Array(Math.ceil(size / 4));
    let x = this.between(1, 2 ** 31);
    for (let at = 0; at < words.length; at++) { // xorshift32 (G. Marsaglia, 2003)
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      words[at] = x;
    }
    return new Uint8Array(words.buffer, 0, size);
  }

  /** One after the other: a stream of draws of its own for each that draws concurrently. */
  fork(): Chance {
    return new Chance(this.between(0, 2 ** 31));
  }
}
