/** A body from its file into its reader's memory, each block checked before a byte of it goes out: {@link VerifiedSource}. */
import type { BodySource } from "../../runtime/http1/body_source.ts";
import { BLOCK_BYTES } from "./block_sums.ts";
import { isUnreadable, type Reading, rotten } from "./verified_stream.ts";

/**
 * The part of the file. A block is read into the reader's memory where it has room for all of it; else into memory that
 * lives only while it is checked, and what does not fit is read once more when it is asked for.
 */
export class VerifiedSource implements BodySource {
  readonly held = 0;
  readonly #reading: Reading;
  /** The next byte to go out. */
  #at: number;
  /** Up to here the file was checked. */
  #checked: number;
  /** Where the file stands. */
  #place = 0;
  #done = false;
  #busy = false;

  constructor(reading: Reading) {
    this.#reading = reading;
    this.#at = reading.start;
    this.#checked = reading.start - reading.start % BLOCK_BYTES;
  }

  get done(): boolean {
    return this.#done;
  }

  /** A file is always there, as far as one can tell. */
  get ready(): boolean {
    return !this.#done;
  }

  take(): number {
    return 0;
  }

  async read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    if (this.#done) return null;
    this.#busy = true;
    try {
      const count = this.#at < this.#checked ? await this.#readChecked(into) : await this.#readBlock(into);
      this.#at += count;
      if (this.#at === this.#reading.end) this.#end();
      return count;
    } catch (error) {
      this.#end();
      throw error;
    } finally {
      this.#busy = false;
      if (this.#done) this.#close();
    }
  }

  cancel(): void {
    this.#end();
    if (!this.#busy) this.#close();
  }

  #end(): void {
    this.#done = true;
  }

  #close(): void {
    try {
      this.#reading.file.close();
    } catch { /* it is closed already */ }
  }

  /** The next block, from `#at` on, or as much of that as there is room for. */
  async #readBlock(into: Uint8Array<ArrayBuffer>): Promise<number> {
    const { size, check, end, onRot } = this.#reading;
    const from = this.#checked;
    const length = Math.min(BLOCK_BYTES, size - from);
    const block = into.length >= length ? into.subarray(0, length) : new Uint8Array(length);
    await this.#fill(block, from);
    if (check && !check(block, from / BLOCK_BYTES)) throw rotten("its bytes are not those that were staged", onRot);
    this.#checked = from + length;
    const wanted = block.subarray(this.#at - from, Math.min(end - from, this.#at - from + into.length));
    if (block.buffer === into.buffer) block.copyWithin(0, this.#at - from, end - from);
    else into.set(wanted);
    return wanted.length;
  }

  async #readChecked(into: Uint8Array<ArrayBuffer>): Promise<number> {
    const count = Math.min(into.length, this.#checked - this.#at, this.#reading.end - this.#at);
    await this.#fill(into.subarray(0, count), this.#at);
    return count;
  }

  async #fill(bytes: Uint8Array<ArrayBuffer>, from: number): Promise<void> {
    const { file, onRot } = this.#reading;
    if (from !== this.#place) file.seekSync(from, Deno.SeekMode.Start);
    this.#place = from + bytes.length;
    for (let at = 0; at < bytes.length;) {
      const count = await file.read(bytes.subarray(at)).catch((cause) => {
        if (!isUnreadable(cause)) throw cause;
        throw rotten("the disk cannot read it", onRot, cause);
      });
      if (count === null) throw rotten("its file is too short", onRot);
      at += count;
    }
  }
}
