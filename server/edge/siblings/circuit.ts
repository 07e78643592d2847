/** Whom not to ask for now: who failed is left alone, longer each time. */
import { type Backoff, backoffMs } from "../../cluster/settings.ts";

interface Failing {
  failures: number;
  untilMs: number;
  /** One request is on its way to find out. */
  trying: boolean;
}

/** One circuit an id. Pure but for what it remembers; time and chance are arguments. */
export class Circuits {
  readonly #backoff: Backoff;
  readonly #failing = new Map<string, Failing>();

  constructor(backoff: Backoff) {
    this.#backoff = backoff;
  }

  /** True where it may be asked; after a failure one at a time, until one is answered. */
  allows(id: string, nowMs: number): boolean {
    const failing = this.#failing.get(id);
    if (!failing) return true;
    if (failing.trying || nowMs < failing.untilMs) return false;
    return failing.trying = true;
  }

  succeeded(id: string): void {
    this.#failing.delete(id);
  }

  failed(id: string, nowMs: number, random: () => number): void {
    const failures = (this.#failing.get(id)?.failures ?? 0) + 1;
    // At least half of it: with none at all it would be asked at once.
    const { leastMs, mostMs } = this.#backoff;
    const waitMs = backoffMs(failures, { leastMs: leastMs / 2, mostMs: mostMs / 2 }, random) +
      Math.min(mostMs, leastMs * 2 ** Math.min(failures - 1, 30)) / 2;
    this.#failing.set(id, { failures, untilMs: nowMs + waitMs, trying: false });
  }

  /** It is not known how it would have answered. */
  undecided(id: string): void {
    const failing = this.#failing.get(id);
    if (failing) failing.trying = false;
  }
}
