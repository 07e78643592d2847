/** A signal that ends requests: what is used of an `AbortController`, without its price. */
import type { StopSignal } from "./transport.ts";

/** Tells those who listen that nobody waits any more. */
export class Stop implements StopSignal {
  #aborted = false;
  readonly #listeners = new Set<() => void>();

  get aborted(): boolean {
    return this.#aborted;
  }

  addEventListener(_: "abort", listener: () => void): void {
    this.#listeners.add(listener);
  }

  removeEventListener(_: "abort", listener: () => void): void {
    this.#listeners.delete(listener);
  }

  /** Says so, once. */
  abort(): void {
    if (this.#aborted) return;
    this.#aborted = true;
    for (const listener of [...this.#listeners]) listener();
  }
}

/** The signal of a request that nothing ends. */
export const NEVER: StopSignal = { aborted: false, addEventListener() {}, removeEventListener() {} };
