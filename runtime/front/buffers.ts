/** Memory for bodies on their way: lent for one answer, and used again for the next, whoever's it is. */

/** The size of one, in bytes: a large part of a body, and the head before it. */
export const BUFFER_BYTES = 256 * 1024 + 4096;
/** The size of one while many are lent: then those who have one are many, or slow. */
export const SMALL_BYTES = 32 * 1024;
/** How many large ones are lent at a time. */
const MOST_LARGE = 64;
/** How many are kept while nobody needs them. */
const MOST_KEPT = 32;

/** Buffers that wait for their next use. */
export class Buffers {
  readonly #free: Uint8Array<ArrayBuffer>[] = [];
  #lent = 0;

  /** One whose content is of no meaning; at least {@link SMALL_BYTES} long. */
  take(): Uint8Array<ArrayBuffer> {
    if (++this.#lent > MOST_LARGE) return new Uint8Array(SMALL_BYTES);
    return this.#free.pop() ?? new Uint8Array(BUFFER_BYTES);
  }

  /** Takes one back: nothing may read or write it any more, the system neither. */
  give(buffer: Uint8Array<ArrayBuffer>): void {
    this.#lent--;
    if (buffer.length === BUFFER_BYTES && this.#free.length < MOST_KEPT) this.#free.push(buffer);
  }
}
