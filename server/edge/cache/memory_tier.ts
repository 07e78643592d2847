/**
 * The tier in memory: buffers that are on their way to the disk, which stay until they are there, and others, of which
 * S3-FIFO says which goes when room is short. Its limit always holds.
 */
import { Ghosts, List, S3Fifo } from "./s3_fifo.ts";
import type { SliceBuffer } from "./slice_buffer.ts";

/** A body that takes more than this part of the tier must have been used before, lately. */
const LARGE_SHARE = 0.01;
/** The part of the tier that buffers on their way may take. */
const DIRTY_SHARE = 0.5;

/** Counts bytes, and makes room. */
export class MemoryTier {
  readonly #ghosts = new Ghosts();
  readonly #policy = new S3Fifo<SliceBuffer>(new List(), new List(), this.#ghosts);
  #dirty = 0;

  /** @param onEvict hears of each buffer that had to go, when it is out already */
  constructor(readonly limit: number, readonly onEvict: (buffer: SliceBuffer) => void) {}

  /** Of all buffers, with what they need beside their bytes. */
  get bytes(): number {
    return this.#dirty + this.#policy.bytes;
  }

  /** Of those that are on their way. */
  get dirtyBytes(): number {
    return this.#dirty;
  }

  /** Where so many more may be on their way, room for them. */
  reserve(bytes: number): boolean {
    if (bytes > 0 && this.#dirty + bytes > DIRTY_SHARE * this.limit) return false;
    this.#dirty += bytes;
    this.#fit(0);
    return true;
  }

  /** A buffer that is not on its way (any more) stays, as long as there is room. */
  insert(buffer: SliceBuffer): void {
    this.#fit(buffer.size);
    buffer.bytes = buffer.size;
    buffer.in = true;
    this.#policy.insert(buffer);
    this.#fit(0);
  }

  /** Whether a body may come in that can be read from disk as well: a large one must have earned it. */
  admits({ size, frequency, print }: { size: number; frequency: number; print: number }): boolean {
    if (size > this.limit) return false;
    if (size <= LARGE_SHARE * this.limit || frequency > 1) return true;
    const known = this.#ghosts.take(print);
    this.#ghosts.add(print);
    return known;
  }

  /** Makes room for what a buffer here will take. */
  resize(buffer: SliceBuffer, bytes: number): void {
    this.#policy.resize(buffer, bytes);
    this.#fit(0);
  }

  /** A buffer here goes. */
  remove(buffer: SliceBuffer): void {
    buffer.in = false;
    this.#policy.remove(buffer);
  }

  #fit(more: number): void {
    while (this.bytes + more > this.limit) {
      const buffer = this.#policy.evict();
      if (buffer === null) return;
      buffer.in = false;
      this.onEvict(buffer);
    }
  }
}
