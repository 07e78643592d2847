/** One connection to a server: its buffer, and what stands in it. Reads heads and bodies, knows no requests. */
import { Buffer } from "node:buffer";
import { findHeadEnd, Http1Error, MAX_HEAD_BYTES, parseResponseHead, type ResponseHead } from "./http1.ts";
import { ChunkedDecoder } from "./http1_chunked.ts";

/** What a connection needs of `Deno.Conn`. */
export interface Socket {
  read(into: Uint8Array): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
  close(): void;
}

/** The most interim answers (1xx) before the final one. */
const MAX_INTERIM = 20;
/** What a body is read by where it does not come with the head. */
const READ_BYTES = 65_536;
/** Less room than this is not worth a read. */
const LEAST_READ = 8192;

const NOTHING = new Uint8Array(0);
const encoder = new TextEncoder();

/** A connection with a buffer of one head's size. */
export class Connection {
  readonly #socket: Socket;
  readonly #buffer = new Uint8Array(MAX_HEAD_BYTES);
  readonly #text = Buffer.from(this.#buffer.buffer);
  #start = 0;
  #end = 0;
  /** A read that was begun before anybody needed its bytes: see {@link listen}. */
  #early: Promise<number | null> | null = null;
  /** Memory that {@link readSome} has made and not filled. */
  #free: Uint8Array<ArrayBuffer> = NOTHING;
  #closed = false;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** True once {@link close} was called. */
  get closed(): boolean {
    return this.#closed;
  }

  /** True where bytes are in the buffer that nobody asked for yet. */
  get hasMore(): boolean {
    return this.#end > this.#start;
  }

  /** Closes the socket; whoever reads or writes gets an error. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      this.#socket.close();
    } catch { /* the peer was faster */ }
  }

  /**
   * Begins to read while nothing is expected. Resolves where something came all the same: the peer's end of
   * the connection, an error, or bytes. A connection where that happens while it is idle is of no use. Where a
   * request is sent before, the bytes are its answer's and this promise means nothing.
   */
  async listen(): Promise<void> {
    this.#start = this.#end = 0;
    this.#free = NOTHING;
    this.#early = this.#socket.read(this.#buffer);
    await this.#early.catch(() => null);
  }

  /** Writes all of it. */
  async write(bytes: Uint8Array): Promise<void> {
    let written = await this.#socket.write(bytes);
    while (written < bytes.length) written += await this.#socket.write(bytes.subarray(written));
  }

  /** Writes text, one character a byte. */
  writeText(text: string): Promise<void> {
    return this.write(latin1(text));
  }

  /**
   * The final answer's head; interim answers are passed over.
   * @returns null where the connection ended before a byte of it came
   * @throws {Http1Error} where it is malformed or breaks off
   */
  async readHead(method: string): Promise<ResponseHead | null> {
    for (let interim = 0; interim <= MAX_INTERIM; interim++) {
      const length = await this.#headLength();
      if (length === 0) {
        if (interim === 0) return null;
        throw new Http1Error("the connection ended after an interim answer");
      }
      const text = this.#text.toString("latin1", this.#start, this.#start + length);
      this.#start += length;
      const head = parseResponseHead(text, method);
      if (head.status >= 200) return head;
      if (head.status === 101) throw new Http1Error("the server switched to a protocol nobody asked for");
    }
    throw new Http1Error(`more than ${MAX_INTERIM} interim answers came`);
  }

  async #headLength(): Promise<number> {
    let scanned = this.#start;
    while (true) {
      const end = findHeadEnd(this.#buffer, this.#start, scanned, this.#end);
      if (end >= 0) return end - this.#start;
      if (!mayStartHead(this.#buffer, this.#start, this.#end)) throw new Http1Error("the answer is not HTTP/1.x");
      if (this.#end === this.#buffer.length) {
        if (this.#start === 0) throw new Http1Error(`the head is longer than ${MAX_HEAD_BYTES} bytes`);
        this.#buffer.copyWithin(0, this.#start, this.#end);
        this.#end -= this.#start;
        this.#start = 0;
      }
      scanned = this.#end;
      if (!await this.#fill()) {
        if (this.#end === this.#start) return 0;
        throw new Http1Error("the connection ended in the middle of the head");
      }
    }
  }

  /** Reads more behind what is there; false at the connection's end. */
  async #fill(): Promise<boolean> {
    const read = this.#early ?? this.#socket.read(this.#buffer.subarray(this.#end));
    this.#early = null;
    const count = await read;
    if (count === null) return false;
    this.#end += count;
    return true;
  }

  /** A copy of the next `length` bytes where all of them are here already, else null. */
  takeWhole(length: number): Uint8Array<ArrayBuffer> | null {
    if (this.#end - this.#start < length) return null;
    const bytes = this.#buffer.slice(this.#start, this.#start + length);
    this.#start += length;
    return bytes;
  }

  /** Up to `most` bytes, at least one; null at the connection's end. */
  async readSome(most = READ_BYTES): Promise<Uint8Array<ArrayBuffer> | null> {
    const here = Math.min(most, this.#end - this.#start);
    if (here > 0) return this.takeWhole(here);
    // Straight into new memory: whoever gets it keeps it. What one read leaves free, the next fills, because
    // zeroing memory costs more than all else here.
    if (this.#free.length < Math.min(most, LEAST_READ)) this.#free = new Uint8Array(Math.min(most, READ_BYTES));
    const into = this.#free.length > most ? this.#free.subarray(0, most) : this.#free;
    const count = await this.#socket.read(into);
    if (count === null) return null;
    this.#free = this.#free.subarray(count);
    return into.subarray(0, count);
  }

  /**
   * Decodes what is in the buffer, and where there is nothing, waits for more.
   * @returns the data that was there (perhaps none)
   * @throws {Http1Error} where the coding is malformed or breaks off
   */
  async readChunked(decoder: ChunkedDecoder): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#start === this.#end) {
      this.#start = this.#end = 0;
      if (!await this.#fill()) throw new Http1Error("the connection ended before the last chunk");
    }
    return this.takeChunked(decoder);
  }

  /** Decodes what is in the buffer already. */
  takeChunked(decoder: ChunkedDecoder): Uint8Array<ArrayBuffer> {
    const data = new Uint8Array(this.#end - this.#start);
    let length = 0;
    while (this.#start < this.#end && !decoder.done) {
      this.#start = decoder.take(this.#buffer, this.#start, this.#end);
      if (decoder.piece) {
        data.set(decoder.piece, length);
        length += decoder.piece.length;
      }
    }
    return data.subarray(0, length);
  }
}

/** Tells garbage at once, where otherwise we should wait for the end of a head that never comes. */
function mayStartHead(bytes: Uint8Array, start: number, end: number): boolean {
  const expected = "HTTP/1.";
  for (let at = 0; at < expected.length && start + at < end; at++) {
    if (bytes[start + at] !== expected.charCodeAt(at)) return false;
  }
  return true;
}

// deno-lint-ignore no-control-regex
const NOT_ASCII = /[^\x00-\x7f]/;

function latin1(text: string): Uint8Array {
  if (!NOT_ASCII.test(text)) return encoder.encode(text);
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
