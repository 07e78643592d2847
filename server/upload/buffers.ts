/** Memory for chunks: a fixed number of buffers, used again, so that no crowd of clients can fill it. */

/** A buffer that is given back by `using`. */
export interface Lent extends Disposable {
  bytes: Uint8Array<ArrayBuffer>;
}

/** Lends at most `count` buffers of `size` bytes at a time. */
export class Buffers {
  readonly #free: Uint8Array<ArrayBuffer>[] = [];
  readonly #waiting: ((lent: Lent) => void)[] = [];
  #made = 0;

  constructor(readonly count: number, readonly size: number) {}

  /** Resolves when one is free, first come first served. */
  acquire(): Promise<Lent> {
    const bytes = this.#free.pop();
    if (bytes) return Promise.resolve(this.#lend(bytes));
    if (this.#made < this.count) {
      this.#made++;
      return Promise.resolve(this.#lend(new Uint8Array(this.size)));
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #lend(bytes: Uint8Array<ArrayBuffer>): Lent {
    return {
      bytes,
      [Symbol.dispose]: () => {
        const next = this.#waiting.shift();
        if (next) next(this.#lend(bytes));
        else this.#free.push(bytes);
      },
    };
  }
}
