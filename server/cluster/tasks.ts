/** Work that goes on beside its caller, and is awaited at the end. */

/** What is under way. */
export class Tasks {
  readonly #running = new Set<Promise<unknown>>();

  /** Keeps `work` until it ends; `failed` hears why, where it fails. */
  run(work: Promise<unknown>, failed: (error: unknown) => void): void {
    const task = work.catch(failed).finally(() => this.#running.delete(task));
    this.#running.add(task);
  }

  /** Resolves when nothing runs any more, and nothing of what began meanwhile. */
  async ended(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
  }
}
