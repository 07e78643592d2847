/**
 * The digest of a part file, made while its chunks come, so that a commit need not read it once more.
 * Chunks that come in order are hashed from memory; all else is read back, a little with each chunk.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";

/** What is read back at most while a client waits for the answer to one chunk. */
const CATCH_UP_BYTES = 8 * 2 ** 20;

/** Hashes one file from its start; one call at a time. */
export class RunningDigest {
  #hash = createHash("sha256");
  /** How far the file is hashed. */
  #at = 0;

  constructor(readonly path: string) {}

  /**
   * Looks at what is going to be written over bytes that were hashed already: where those are not the
   * same again, it starts over.
   */
  async prepare(offset: number, bytes: Uint8Array): Promise<void> {
    if (offset < this.#at && !await this.#holdsAlready(offset, bytes.subarray(0, this.#at - offset))) this.reset();
  }

  /** Takes in what is written at `offset`, after {@link prepare}. */
  feed(offset: number, bytes: Uint8Array): void {
    const end = offset + bytes.length;
    if (offset > this.#at || end <= this.#at) return;
    this.#hash.update(bytes.subarray(this.#at - offset));
    this.#at = end;
  }

  /** Starts over: the file is not what was fed. */
  reset(): void {
    this.#hash = createHash("sha256");
    this.#at = 0;
  }

  /** Goes on, as far as a bounded time allows, towards `end`: up to there the file is written. */
  async catchUp(end: number, most: number = CATCH_UP_BYTES): Promise<void> {
    const stop = Math.min(end, this.#at + most);
    if (stop <= this.#at) return;
    for await (const piece of readPart(this.path, this.#at, stop)) {
      this.#hash.update(piece);
      this.#at += piece.length;
    }
  }

  /** The digest of the file's first `size` bytes, which are all that it has. */
  async digest(size: number): Promise<string> {
    await this.catchUp(size, size);
    return this.#hash.copy().digest("hex");
  }

  async #holdsAlready(offset: number, bytes: Uint8Array): Promise<boolean> {
    let at = 0;
    for await (const piece of readPart(this.path, offset, offset + bytes.length)) {
      if (Buffer.compare(piece, bytes.subarray(at, at + piece.length)) !== 0) return false;
      at += piece.length;
    }
    return true;
  }
}

/** The file's bytes from `start` to `end` in pieces; each piece is valid until the next one is asked for. */
async function* readPart(path: string, start: number, end: number): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  using file = await Deno.open(path, { read: true });
  await file.seek(start, Deno.SeekMode.Start);
  const buffer = new Uint8Array(Math.min(end - start, 256 * 1024));
  for (let at = start; at < end;) {
    const count = await file.read(buffer.subarray(0, Math.min(buffer.length, end - at)));
    if (count === null) throw new Error(`${path} ends at ${at}, before ${end}`);
    yield buffer.subarray(0, count);
    at += count;
  }
}
