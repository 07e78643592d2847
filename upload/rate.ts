/** How fast it goes and how long it will take: a rate over the last seconds. Pure but for what it remembers. */

/** The rate looks back this far, in milliseconds. */
const WINDOW_MS = 5000;

/** Watches a growing count. */
export class Rate {
  /** Times and counts; the first is the one just before the window. */
  readonly #samples: { atMs: number; bytes: number }[] = [];

  /** Takes note of a count at a time. */
  add(bytes: number, atMs: number): void {
    this.#samples.push({ atMs, bytes });
    while (this.#samples.length > 2 && this.#samples[1]!.atMs <= atMs - WINDOW_MS) this.#samples.shift();
  }

  /** Bytes a second over the window; null while it cannot be known. */
  get perSecond(): number | null {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (!first || !last || last.atMs <= first.atMs) return null;
    return Math.max(0, (last.bytes - first.bytes) / (last.atMs - first.atMs) * 1000);
  }

  /** Seconds until the count is `size`; null while it cannot be known. */
  secondsLeft(size: number): number | null {
    const rate = this.perSecond;
    const done = this.#samples.at(-1)?.bytes ?? 0;
    return rate === null || rate <= 0 ? null : (size - done) / rate;
  }
}
