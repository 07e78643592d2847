/** Time that passes, made from a wall clock that may be set. */

/**
 * Never goes back, and never leaps: where the wall clock was set, or this process did not run (a suspended machine), a
 * step counts for no more than `mostMs`. So nobody is taken for dead because our own clock leapt. Read it more often
 * than every `mostMs`.
 */
export class SteadyClock {
  #lastMs: number;
  #steadyMs = 0;
  /** How often the wall clock leapt: what was measured over a leap is worth nothing. */
  leaps = 0;

  constructor(readonly now: () => number, readonly mostMs: number) {
    this.#lastMs = now();
  }

  /** Milliseconds since it was made. */
  read(): number {
    const nowMs = this.now();
    const step = nowMs - this.#lastMs;
    this.#lastMs = nowMs;
    if (step < 0 || step > this.mostMs) this.leaps++;
    return this.#steadyMs += Math.min(Math.max(step, 0), this.mostMs);
  }
}
