/** Memory for bodies on their way: lent for one answer, and used again for the next, whoever's it is. */

/** The size of one, in bytes. */
export const BUFFER_BYTES = 256 * 1024;
/** How many are kept while nobody needs them. */
const MOST_KEPT = 32;

/** Buffers that wait for their next use. */
export class Buffers {
  readonly #free: Uint8Array<ArrayBuffer>[] = [];

  /** One whose content is of no meaning. */
  take(): Uint8Array<ArrayBuffer> {
    return this.#free.pop() ?? new Uint8Array(BUFFER_BYTES);
  }

  /** Takes one back: nothing may read or write it any more, the system neither. */
  give(buffer: Uint8Array<ArrayBuffer>): void {
    if (this.#free.length < MOST_KEPT) this.#free.push(buffer);
  }
}
