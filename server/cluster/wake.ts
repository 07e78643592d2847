/** Waiting: for a time, for a call, or for the end, whichever comes first. */

/** Runs `action` after `ms`; the returned function calls it off. */
export type Schedule = (action: () => void, ms: number) => () => void;

/** The process's own timers. */
export const byTimer: Schedule = (action, ms) => {
  const timer = setTimeout(action, ms);
  return () => clearTimeout(timer);
};

/** What setTimeout takes; anything longer would fire at once. */
const LONGEST_MS = 2 ** 31 - 1;

/** One sleeper's alarm. A call that comes while nobody sleeps is kept for the next sleep. */
export class Wake {
  #called = false;
  #end: (() => void) | null = null;

  constructor(readonly schedule: Schedule = byTimer) {}

  /** Ends the sleep, or the next one. */
  call(): void {
    this.#called = true;
    this.#end?.();
  }

  /** Resolves after `ms`, at a {@link call}, or when `signal` aborts; it never rejects. */
  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#called && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const end = () => {
          cancel();
          signal.removeEventListener("abort", end);
          this.#end = null;
          resolve();
        };
        const cancel = this.schedule(end, Math.min(Math.max(ms, 0), LONGEST_MS));
        this.#end = end;
        signal.addEventListener("abort", end);
      });
    }
    this.#called = false;
  }
}
