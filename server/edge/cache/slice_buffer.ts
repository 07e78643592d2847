/** Bytes of one slice of a body in memory: on their way to the disk, or to be read again and again. */
import type { ByteRange } from "../../serve/range.ts";
import { addRange, heldUntil } from "./ranges.ts";
import type { List } from "./list.ts";
import type { TinyItem } from "./tiny_lfu.ts";
import type { StoredResponse } from "../response.ts";
import type { TieredEntry } from "./entry.ts";

/** Bytes of a slice; the last one of a body may be shorter. */
export const SLICE_BYTES = 1 << 20;
/** What an object that is kept takes beside its bytes, about. */
export const OVERHEAD_BYTES = 512;
/** The smallest buffer. */
const LEAST_BYTES = 4096;

/**
 * Memory of slices that have left, for those that come: to get a megabyte anew, cleared, and to have it collected, costs
 * more than to fill it. What is in it is of no meaning.
 */
const spare: Uint8Array<ArrayBuffer>[] = [];
const MOST_SPARE = 16;

/** Grows with what is written; knows which of its bytes were. */
export class SliceBuffer implements TinyItem {
  // As an item of the tier in memory.
  bytes = 0;
  list: List<this> | null = null;
  before: this | null = null;
  after: this | null = null;
  /** Where the last read of it ended; -1 before any. */
  readUntil = -1;
  /** True while its bytes are on no disk and shall be there. */
  dirty = false;
  /** While it is being written to disk nothing may be added; over when this is. */
  leaving: Promise<void> | null = null;
  /** Within the slice, as all places here. */
  held: readonly ByteRange[] = [];
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  /** Where the first byte of the memory stands. */
  #from = 0;
  /** True once somebody else may have its memory. */
  #isShown = false;
  readonly #overhead: number;

  constructor(readonly entry: TieredEntry, readonly number: number, readonly print: number) {
    this.#overhead = OVERHEAD_BYTES + (number <= 0 ? weightOf(entry.response) : 0);
  }

  /** Where its slice begins in the body. */
  get offset(): number {
    return this.number * SLICE_BYTES;
  }

  /** What it takes. */
  get size(): number {
    return this.#bytes.length + this.#overhead;
  }

  /** What it would take with bytes from `start` to `end`. `most` is where the slice ends, as far as that is known. */
  sizeWith(start: number, end: number, most: number): number {
    const { from, until } = this.#extent(start, end, most);
    return until - from + this.#overhead;
  }

  /** Copies bytes in. `most` as in {@link SliceBuffer.sizeWith}. */
  write(at: number, bytes: Uint8Array, most: number): void {
    const { from, until } = this.#extent(at, at + bytes.length, most);
    if (until - from !== this.#bytes.length) {
      const larger = (until - from === SLICE_BYTES ? spare.pop() : undefined) ?? new Uint8Array(until - from);
      larger.set(this.#bytes, this.#bytes.length > 0 ? this.#from - from : 0);
      this.#bytes = larger;
      this.#from = from;
    }
    this.#bytes.set(bytes, at - this.#from);
    this.held = addRange(this.held, { start: at, end: at + bytes.length });
  }

  /** Takes over the memory that holds all of the slice. */
  adopt(bytes: Uint8Array<ArrayBuffer>): void {
    this.#isShown = true;
    this.#bytes = bytes;
    this.#from = 0;
    this.held = [{ start: 0, end: bytes.length }];
  }

  /** Its bytes are on disk, and nobody has them from here: its memory is for others. */
  release(): void {
    if (this.#bytes.length === SLICE_BYTES && !this.#isShown && spare.length < MOST_SPARE) spare.push(this.#bytes);
    this.#bytes = new Uint8Array(0);
    this.held = [];
  }

  /** Copies bytes out, as many as there are from `at` on and fit. */
  read(at: number, into: Uint8Array): number {
    const end = Math.min(heldUntil(this.held, at), at + into.length);
    into.set(this.#bytes.subarray(at - this.#from, end - this.#from));
    return end - at;
  }

  /** What is held of a range that is held, without a copy. */
  view({ start, end }: ByteRange): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(start - this.#from, end - this.#from);
  }

  /** All of the slice where exactly `length` bytes of it are held, from its first on; then its memory is no larger. */
  whole(length: number): Uint8Array<ArrayBuffer> | null {
    const [range] = this.held;
    if (this.held.length !== 1 || range!.start !== 0 || range!.end !== length) return null;
    if (this.#bytes.length !== length) this.#bytes = this.#bytes.slice(0, length);
    this.#isShown = true;
    return this.#bytes;
  }

  /** The memory that would do: it grows fourfold, so that few bytes are moved, and none twice but the first. */
  #extent(start: number, end: number, most: number): { from: number; until: number } {
    const empty = this.#bytes.length === 0;
    const from = empty ? start : Math.min(this.#from, start);
    const last = this.#from + this.#bytes.length;
    if (!empty && from === this.#from && end <= last) return { from, until: last };
    const room = Math.max(LEAST_BYTES, 4 * this.#bytes.length);
    return { from, until: Math.max(end, empty ? 0 : last, Math.min(most, from + room)) };
  }
}

/** About what a response takes. */
function weightOf({ fields, tags }: StoredResponse): number {
  let bytes = 0;
  for (const [name, value] of fields) bytes += name.length + value.length + 32;
  for (const tag of tags) bytes += tag.length + 16;
  return bytes;
}
