/** One connection to a server: its buffer, and what stands in it. Reads heads and bodies, knows no requests. */
import { Buffer } from "node:buffer";
import { findHeadEnd, Http1Error, MAX_HEAD_BYTES, parseResponseHead, type ResponseHead } from "./heads.ts";
import { ChunkedDecoder } from "./chunked.ts";

/** What a connection needs of `Deno.Conn`. */
export interface Socket {
  read(into: Uint8Array): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
  close(): void;
}

/** The most interim answers (1xx) before the final one. */
const MAX_INTERIM = 20;
/** A request's head that is not longer goes out from memory that is used again. */
const OUT_BYTES = 4096;

/**
 * What a connection reads by while nobody asks for a body: a head and a small body. Longer bodies are read past it
 * into their reader's memory, which is warm; many large buffers would drive each other out of the cache.
 */
const BUFFER_BYTES = 16_384;

/** A connection with a buffer for heads, which grows up to the longest head where one needs it. */
export class Connection {
  readonly #socket: Socket;
  #buffer = new Uint8Array(BUFFER_BYTES);
  #text = Buffer.from(this.#buffer.buffer);
  #start = 0;
  #end = 0;
  /** A read that was begun before anybody needed its bytes: see {@link listen}. */
  #early: Promise<number | null> | null = null;
  /** Data without its chunked coding, at the start of the buffer: see {@link readChunked}. */
  #dataStart = 0;
  #dataEnd = 0;
  #out: Uint8Array<ArrayBuffer> | null = null;
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
    const out = text.length > OUT_BYTES ? new Uint8Array(text.length) : this.#out ??= new Uint8Array(OUT_BYTES);
    for (let at = 0; at < text.length; at++) out[at] = text.charCodeAt(at);
    return this.write(out.subarray(0, text.length));
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
        if (this.#end - this.#start >= MAX_HEAD_BYTES) {
          throw new Http1Error(`the head is longer than ${MAX_HEAD_BYTES} bytes`);
        }
        this.#grow();
      }
      scanned = this.#end;
      if (!await this.#fill()) {
        if (this.#end === this.#start) return 0;
        throw new Http1Error("the connection ended in the middle of the head");
      }
    }
  }

  /** Makes room for the longest head, or for long parts of a chunked body; what is there comes to its start. */
  #grow(): void {
    const larger = new Uint8Array(MAX_HEAD_BYTES);
    larger.set(this.#buffer.subarray(this.#start, this.#end));
    this.#buffer = larger;
    this.#text = Buffer.from(larger.buffer);
    this.#end -= this.#start;
    this.#start = 0;
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

  /** True where what was read last filled the buffer: more is there, and reading it will not wait. */
  get full(): boolean {
    return this.#end === this.#buffer.length;
  }

  /** How many bytes are in the buffer that nobody asked for yet. */
  get held(): number {
    return this.#end - this.#start;
  }

  /** Moves up to `most` of them into `into`; returns how many. */
  take(into: Uint8Array, most: number): number {
    const count = Math.min(into.length, most, this.#end - this.#start);
    if (count > 0) into.set(this.#buffer.subarray(this.#start, this.#start + count));
    this.#start += count;
    return count;
  }

  /** Passes over the next `count` bytes; false where they are not all here. */
  skip(count: number): boolean {
    if (count > this.held) return false;
    this.#start += count;
    return true;
  }

  /** Reads past the buffer, which must be empty, straight into `into`; null at the connection's end. */
  read(into: Uint8Array): Promise<number | null> {
    return this.#socket.read(into);
  }

  /** How many bytes of data {@link takeData} would give. */
  get data(): number {
    return this.#dataEnd - this.#dataStart;
  }

  /** Moves what {@link readChunked} or {@link decodeHeld} found into `into`; returns how many bytes. */
  takeData(into: Uint8Array): number {
    const count = Math.min(into.length, this.data);
    if (count > 0) into.set(this.#buffer.subarray(this.#dataStart, this.#dataStart + count));
    this.#dataStart += count;
    return count;
  }

  /**
   * Waits for more and decodes it; all data that was there before must have been taken.
   * @throws {Http1Error} where the coding is malformed or breaks off
   */
  async readChunked(decoder: ChunkedDecoder): Promise<void> {
    if (this.#start === this.#end) {
      this.#start = this.#end = 0;
      if (this.#buffer.length < MAX_HEAD_BYTES) this.#grow();
      if (!await this.#fill()) throw new Http1Error("the connection ended before the last chunk");
    }
    this.decodeHeld(decoder);
  }

  /** Decodes what is in the buffer already, in its place: data is never longer than its coding. */
  decodeHeld(decoder: ChunkedDecoder): void {
    this.#dataStart = this.#dataEnd = this.#start;
    while (this.#start < this.#end && !decoder.done) {
      this.#start = decoder.take(this.#buffer, this.#start, this.#end);
      if (!decoder.piece) continue;
      this.#buffer.set(decoder.piece, this.#dataEnd);
      this.#dataEnd += decoder.piece.length;
    }
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
