/** Many at a time, or one alone. */
export class Gate {
  #inside = 0;
  #closed: Promise<void> | null = null;
  #emptied = () => {};

  /** Runs `work` beside others that pass; waits while somebody is alone. Must not be called from inside. */
  async pass<T>(work: () => Promise<T>): Promise<T> {
    while (this.#closed) await this.#closed;
    this.#inside++;
    try {
      return await work();
    } finally {
      if (--this.#inside === 0) this.#emptied();
    }
  }

  /** Runs `work` when all who pass are through; nobody passes meanwhile. One caller at a time. */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#closed = promise;
    try {
      if (this.#inside > 0) await new Promise<void>((empty) => this.#emptied = empty);
      return await work();
    } finally {
      this.#closed = null;
      this.#emptied = () => {};
      resolve();
    }
  }
}
