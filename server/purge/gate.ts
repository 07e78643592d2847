/** Whether what is stored may be served: not while purges may be missing. */

/** Open from the start. */
export class Gate {
  #waiting: Promise<void> | null = null;
  #release: (() => void) | null = null;
  #staleBeforeMs = 0;

  /** Until when nothing may be served from the cache; null where it may. */
  get waiting(): Promise<void> | null {
    return this.#waiting;
  }

  /** Responses that came before count as stale: milliseconds since 1970; 0: none. */
  get staleBeforeMs(): number {
    return this.#staleBeforeMs;
  }

  close(): void {
    this.#waiting ??= new Promise((resolve) => this.#release = resolve);
  }

  /** @param staleBeforeMs 0 where no purge is missing */
  open(staleBeforeMs: number): void {
    this.#staleBeforeMs = staleBeforeMs;
    this.#release?.();
    this.#release = this.#waiting = null;
  }
}
