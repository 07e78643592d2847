/**
 * The chunked transfer coding (RFC 9112 §7.1), read byte by byte, so that it matters nowhere how the
 * bytes were split on their way. Pure.
 */
import { Http1Error, MAX_HEAD_BYTES } from "./heads.ts";

/** The longest line with a chunk's size: its extensions are passed over, but not without end. */
const MAX_SIZE_LINE = 1024;

type State = "size" | "extension" | "size-lf" | "data" | "data-cr" | "data-lf" | "trailer" | "trailer-lf" | "done";

/** Takes the coding off. */
export class ChunkedDecoder {
  #state: State = "size";
  #size = 0;
  #digits = 0;
  #lineLength = 0;
  #trailerBytes = 0;
  #trailerLine = 0;
  /** The data that the last {@link take} came upon: a view of its bytes; null where there was none. */
  piece: Uint8Array | null = null;

  /** True once the last chunk and the trailers were read. */
  get done(): boolean {
    return this.#state === "done";
  }

  /**
   * Reads `bytes` from `at` up to the end of the next piece of data, or to `end`.
   * Returns where it stopped: call again from there, with {@link piece} used, until that is `end` or {@link done}.
   * @throws {Http1Error}
   */
  take(bytes: Uint8Array, at: number, end: number): number {
    this.piece = null;
    while (at < end) {
      if (this.#state === "data") {
        const stop = Math.min(end, at + this.#size);
        this.piece = bytes.subarray(at, stop);
        this.#size -= stop - at;
        if (this.#size === 0) this.#state = "data-cr";
        return stop;
      }
      this.#step(bytes[at++]!);
      if (this.#state === "done") return at;
    }
    return at;
  }

  #step(byte: number): void {
    switch (this.#state) {
      case "size": {
        const digit = hexValue(byte);
        if (digit >= 0) {
          if (++this.#digits > 12) throw new Http1Error("a chunk's size is too large");
          this.#size = this.#size * 16 + digit;
          return;
        }
        if (this.#digits === 0) throw new Http1Error("a chunk's size is not hexadecimal");
        if (byte === 13) this.#state = "size-lf";
        else if (byte === 59 || byte === 32 || byte === 9) this.#state = "extension";
        else throw new Http1Error("a chunk's size is not hexadecimal");
        return;
      }
      case "extension":
        if (++this.#lineLength > MAX_SIZE_LINE) throw new Http1Error("a chunk's extension is too long");
        if (byte === 13) this.#state = "size-lf";
        else if (isControl(byte)) throw new Http1Error("a chunk's extension has a control character");
        return;
      case "size-lf":
        if (byte !== 10) throw new Http1Error("a chunk's size ends without LF");
        this.#state = this.#size === 0 ? "trailer" : "data";
        this.#digits = this.#lineLength = 0;
        return;
      case "data-cr":
        if (byte !== 13) throw new Http1Error("a chunk is longer than its size");
        this.#state = "data-lf";
        return;
      case "data-lf":
        if (byte !== 10) throw new Http1Error("a chunk is longer than its size");
        this.#state = "size";
        return;
      case "trailer":
        if (++this.#trailerBytes > MAX_HEAD_BYTES) throw new Http1Error("the trailers are too long");
        if (byte === 13) this.#state = "trailer-lf";
        else if (isControl(byte)) throw new Http1Error("a trailer has a control character");
        else this.#trailerLine++;
        return;
      case "trailer-lf":
        if (byte !== 10) throw new Http1Error("a trailer ends without LF");
        this.#state = this.#trailerLine === 0 ? "done" : "trailer";
        this.#trailerLine = 0;
        return;
      case "data":
      case "done":
        throw new TypeError("not a state that reads bytes");
    }
  }
}

function hexValue(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

function isControl(byte: number): boolean {
  return (byte < 32 && byte !== 9) || byte === 127;
}
