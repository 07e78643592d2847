/** A list in memory that counts the bytes of its items, and is linked through them: each may leave from where it stands. */

/** What a {@link List} links its items by. */
export interface Linked {
  before: this | null;
  after: this | null;
}

/** A queue in memory, linked through its items. */
export class List<T extends Linked & { bytes: number }> {
  bytes = 0;
  #first: T | null = null;
  #last: T | null = null;

  first(): T | null {
    return this.#first;
  }

  append(item: T): void {
    item.before = this.#last;
    item.after = null;
    if (this.#last) this.#last.after = item;
    else this.#first = item;
    this.#last = item;
    this.bytes += item.bytes;
  }

  remove(item: T): void {
    if (item.before) item.before.after = item.after;
    else this.#first = item.after;
    if (item.after) item.after.before = item.before;
    else this.#last = item.before;
    item.before = item.after = null;
    this.bytes -= item.bytes;
  }
}
