/** What is told on top of other messages until enough have been told (SWIM §4.1: infection-style dissemination). */

/** News by key: of each key only the newest counts, which is looked up when it is told. */
export class News {
  readonly #told = new Map<string, number>();

  /** There is something new of this key: it is told from the beginning. */
  add(key: string): void {
    this.#told.delete(key); // so that what is newest comes last in the map
    this.#told.set(key, 0);
  }

  /** It need not be told any more. */
  drop(key: string): void {
    this.#told.delete(key);
  }

  /** Up to `limit` keys for one message: the least told first, of these the newest. Each is given `most` times in all. */
  take(limit: number, most: number): string[] {
    const keys = [...this.#told.keys()].reverse()
      .sort((a, b) => this.#told.get(a)! - this.#told.get(b)!).slice(0, limit);
    for (const key of keys) {
      const told = this.#told.get(key)! + 1;
      if (told >= most) this.#told.delete(key);
      else this.#told.set(key, told);
    }
    return keys;
  }

  get size(): number {
    return this.#told.size;
  }
}
