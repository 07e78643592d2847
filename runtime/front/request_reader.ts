/** The heads of requests off a connection, one after the other: {@link RequestReader}. */
import { Buffer } from "node:buffer";
import {
  findEmptyLine,
  type FrontRequest,
  LastFields,
  mayBeRequest,
  MOST_HEAD_BYTES,
  OTHER,
  readRequest,
} from "./request.ts";

/** What a connection has before its first request, and between two: thousands of them wait. */
const LEAST_BYTES = 1024;
/** More than this is given back between two requests. */
const MOST_KEPT_BYTES = 4096;

/** A buffer that grows with what comes, and the heads in it. The caller reads the connection into {@link room}. */
export class RequestReader {
  readonly #scheme: "http" | "https";
  readonly #last = new LastFields();
  #bytes = Buffer.alloc(LEAST_BYTES);
  #before = 0;
  #start = 0;
  #end = 0;
  #scanned = 0;

  constructor(scheme: "http" | "https") {
    this.#scheme = scheme;
  }

  /** How many bytes are here that no head was read from. */
  get held(): number {
    return this.#end - this.#start;
  }

  /** Those bytes, until more are read. */
  get rest(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(this.#start, this.#end);
  }

  /** Where the next bytes are to be read into; {@link add} says how many came. Only one such read at a time. */
  room(): Uint8Array<ArrayBuffer> {
    if (this.#start === this.#end) {
      this.#start = this.#end = this.#scanned = 0;
      if (this.#bytes.length > MOST_KEPT_BYTES) this.#bytes = Buffer.alloc(LEAST_BYTES);
      return this.#bytes;
    }
    if (this.#end === this.#bytes.length) this.#makeRoom();
    return this.#bytes.subarray(this.#end);
  }

  /** So many bytes were read. */
  add(count: number): void {
    this.#end += count;
  }

  /** The next request; null where more bytes must come. After {@link OTHER} it is still to be found in {@link rest}. */
  next(): FrontRequest | typeof OTHER | null {
    if (this.#start === this.#end) return null;
    const end = findEmptyLine(this.#bytes, this.#start, Math.max(this.#scanned, this.#start), this.#end);
    if (end < 0) {
      this.#scanned = this.#end;
      return !mayBeRequest(this.#bytes[this.#start]!) || this.held >= MOST_HEAD_BYTES ? OTHER : null;
    }
    const request = readRequest(this.#bytes.toString("latin1", this.#start, end), this.#last, this.#scheme);
    this.#before = this.#start;
    if (request !== OTHER) this.#start = end;
    return request;
  }

  /** Takes the last request back, where nothing was asked since but it: it comes again. */
  putBack(): void {
    this.#start = this.#before;
  }

  /** Moves what is here to the front, or into a larger buffer. */
  #makeRoom(): void {
    const { held } = this;
    const bytes = held > this.#bytes.length / 2
      ? Buffer.alloc(Math.min(4 * this.#bytes.length, MOST_HEAD_BYTES))
      : this.#bytes;
    this.#bytes.copy(bytes, 0, this.#start, this.#end);
    this.#bytes = bytes;
    this.#scanned -= this.#start;
    this.#start = 0;
    this.#end = held;
  }
}
