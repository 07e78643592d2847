/** Chance that can be had again: everything random of a round comes from its seed. */
import { between, pick, type Random, seeded } from "../../sim/prng.ts";

/** Draws; the same seed gives the same draws. */
export class Chance {
  /** From 0 up to 1. */
  readonly next: Random;

  constructor(seed: number) {
    this.next = seeded(seed);
  }

  /** A whole number from `least` to `most`. */
  between(least: number, most: number): number {
    return between(this.next, least, most);
  }

  /** One of them. */
  pick<T>(from: readonly T[]): T {
    return pick(this.next, from);
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
