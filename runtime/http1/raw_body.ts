/** The body of an answer on its connection: {@link RawBody}. */
import type { BodySource } from "./body_source.ts";
import { type Framing, Http1Error } from "./heads.ts";
import { ChunkedDecoder } from "./chunked.ts";
import type { Connection } from "./connection.ts";

/** The exchange that a body belongs to: it has the clock, and the connection's fate. */
export interface BodyOwner {
  /** The server must send something now. @throws {UpstreamError} where the exchange was stopped */
  expect(): void;
  /** It has. @throws {UpstreamError} */
  relax(): void;
  /** The body was read to its end. */
  finish(): void;
  /** The body is broken: what to tell of it. */
  fail(cause: unknown): Error;
  /** Nobody wants the rest. */
  abandon(): void;
}

/** Reads a body off a connection, by its framing. */
export class RawBody implements BodySource {
  readonly #connection: Connection;
  readonly #owner: BodyOwner;
  readonly #decoder: ChunkedDecoder | null;
  readonly #untilClose: boolean;
  /** Bytes to come; Infinity where that is not known. */
  #left: number;
  #done = false;

  /** @throws {Http1Error} where what is here already is malformed */
  constructor(connection: Connection, framing: Framing, owner: BodyOwner) {
    this.#connection = connection;
    this.#owner = owner;
    this.#untilClose = framing.kind === "close";
    this.#left = framing.kind === "length" ? framing.length : Infinity;
    this.#decoder = framing.kind === "chunked" ? new ChunkedDecoder() : null;
    if (this.#decoder) connection.decodeHeld(this.#decoder);
    if (this.#atEnd) this.#finish();
  }

  get done(): boolean {
    return this.#done;
  }

  get held(): number {
    if (this.#done) return 0;
    return this.#decoder ? this.#connection.data : Math.min(this.#left, this.#connection.held);
  }

  get ready(): boolean {
    return !this.#done && this.#decoder === null && this.#connection.full;
  }

  get #atEnd(): boolean {
    return this.#decoder ? this.#decoder.done && this.#connection.data === 0 : this.#left === 0;
  }

  take(into: Uint8Array<ArrayBuffer>): number {
    if (this.#done) return 0;
    const count = this.#decoder ? this.#connection.takeData(into) : this.#connection.take(into, this.#left);
    this.#left -= count;
    if (this.#atEnd) this.#finish();
    return count;
  }

  async read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    try {
      if (this.#done) return null;
      const here = this.take(into);
      if (here > 0) return here;
      // Only now: else the deadline would stand while the reader rests, and his pause would count as the server's.
      this.#owner.expect();
      if (this.#decoder) return await this.#readChunked(into, this.#decoder);
      const count = await this.#connection.read(this.#left < into.length ? into.subarray(0, this.#left) : into);
      this.#owner.relax();
      if (count === null) {
        if (!this.#untilClose) throw new Http1Error(`the connection ended ${this.#left} bytes before the body did`);
        this.#finish();
        return null;
      }
      this.#left -= count;
      if (this.#left === 0) this.#finish();
      return count;
    } catch (cause) {
      throw this.#owner.fail(cause);
    }
  }

  async #readChunked(into: Uint8Array<ArrayBuffer>, decoder: ChunkedDecoder): Promise<number | null> {
    while (this.#connection.data === 0 && !decoder.done) await this.#connection.readChunked(decoder);
    this.#owner.relax();
    if (this.#atEnd) {
      this.#finish();
      return null;
    }
    return this.take(into);
  }

  cancel(): void {
    if (this.#done) return;
    this.#done = true;
    // Where all of it is here, the connection may serve others.
    if (this.#decoder ? this.#decoder.done : this.#connection.skip(this.#left)) this.#owner.finish();
    else this.#owner.abandon();
  }

  #finish(): void {
    this.#done = true;
    this.#owner.finish();
  }
}
