/**
 * The tier in memory: buffers that are on their way to the disk, which stay until they are there, and others, of which
 * W-TinyLFU says which goes when room is short. Its limit always holds.
 */
import { TinyLfu } from "./tiny_lfu.ts";
import type { SliceBuffer } from "./slice_buffer.ts";

/** The part of the tier that buffers on their way may take. */
const DIRTY_SHARE = 0.5;

/** Counts bytes, and makes room. */
export class MemoryTier {
  readonly #policy: TinyLfu<SliceBuffer>;
  #dirty = 0;

  /**
   * @param bySize whether a large body must be worth all the small ones that go for it: where there is a disk, a hit
   * saves a request's work whatever its size; where there is none, it saves its bytes as well
   * @param onEvict hears of each buffer that had to go, when it is out already
   */
  constructor(
    readonly limit: number,
    { bySize }: { bySize: boolean },
    readonly onEvict: (buffer: SliceBuffer) => void,
  ) {
    this.#policy = new TinyLfu(limit, bySize);
  }

  /** Of all buffers, with what they need beside their bytes. */
  get bytes(): number {
    return this.#dirty + this.#policy.bytes;
  }

  /** Where so many more may be on their way, room for them. */
  reserve(bytes: number): boolean {
    if (bytes > 0 && this.#dirty + bytes > DIRTY_SHARE * this.limit) return false;
    this.#dirty += bytes;
    this.#fit();
    return true;
  }

  /** A buffer that is not on its way (any more) stays, as long as it is worth its room. */
  insert(buffer: SliceBuffer): void {
    buffer.bytes = buffer.size;
    this.#policy.insert(buffer);
    this.#fit();
  }

  /** A buffer here was used. */
  use(buffer: SliceBuffer): void {
    if (buffer.list) this.#policy.use(buffer);
    else this.#policy.seen(buffer.print);
  }

  /** A body that is not here was used; whether it is worth to be brought here. */
  wants(print: number, size: number): boolean {
    this.#policy.seen(print);
    return size <= this.limit && this.#policy.uses(print) > 1 &&
      this.#policy.admits(print, size, this.limit - this.#dirty);
  }

  /** Makes room for what a buffer here will take. */
  resize(buffer: SliceBuffer, bytes: number): void {
    this.#policy.resize(buffer, bytes);
    this.#fit();
  }

  /** A buffer here goes. */
  remove(buffer: SliceBuffer): void {
    this.#policy.remove(buffer);
  }

  #fit(): void {
    while (true) {
      const buffer = this.#policy.evict(this.limit - this.#dirty);
      if (buffer === null) return;
      this.onEvict(buffer);
    }
  }
}
