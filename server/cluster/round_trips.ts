/** How long each server takes to answer, and hence how long to wait for it. */

interface Estimate {
  meanMs: number;
  deviationMs: number;
}

/** Smoothed as TCP does it (RFC 6298 §2). */
export class RoundTrips {
  readonly #estimates = new Map<string, Estimate>();

  /** @param leastMs the shortest wait */
  constructor(readonly leastMs: number) {}

  add(id: string, ms: number): void {
    const before = this.#estimates.get(id);
    this.#estimates.set(
      id,
      before
        ? {
          meanMs: before.meanMs * 7 / 8 + ms / 8,
          deviationMs: before.deviationMs * 3 / 4 + Math.abs(before.meanMs - ms) / 4,
        }
        : { meanMs: ms, deviationMs: ms / 2 },
    );
  }

  forget(id: string): void {
    this.#estimates.delete(id);
  }

  /** How long an answer may take: at least three round trips. Where none was measured a connection is opened first. */
  timeoutMs(id: string): number {
    const estimate = this.#estimates.get(id);
    if (!estimate) return this.leastMs * 3;
    const { meanMs, deviationMs } = estimate;
    return Math.max(this.leastMs, meanMs * 3, meanMs + 4 * deviationMs);
  }
}
