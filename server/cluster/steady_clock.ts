/** Time that passes, made from a wall clock that may be set. */

/**
 * Never goes back, and never leaps: where the wall clock was set, or this process did not run (a suspended machine), a
 * step counts for no more than `mostMs`. So nobody is taken for dead because our own clock leapt, or because we slept.
 * Where it is read more rarely than every `mostMs`, it goes slower than the wall.
 */
export class SteadyClock {
  #lastMs: number;
  #steadyMs = 0;

  constructor(readonly now: () => number, readonly mostMs: number) {
    this.#lastMs = now();
  }

  /** Milliseconds since it was made. */
  read(): number {
    const nowMs = this.now();
    const step = nowMs - this.#lastMs;
    this.#lastMs = nowMs;
    return this.#steadyMs += Math.min(Math.max(step, 0), this.mostMs);
  }
}
