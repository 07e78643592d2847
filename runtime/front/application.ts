/** What a front answers by: the contract between a program and its own door on raw sockets. */
import type { BodySource } from "../http1/body_source.ts";
import type { HeaderLine, StopSignal } from "../http1/transport.ts";

/** An answer as plain data. */
export interface Answered {
  status: number;
  /** Content-Length among them where it is known; no field of the connection. Names in lower case. */
  headers: readonly HeaderLine[];
  /** A source that is not done must be read to its end, or cancelled. */
  body: BodySource | Uint8Array<ArrayBuffer> | string | null;
}

/** An answer that was finished when its content came: one write, but for the places that tell the time. */
export interface Finished {
  /** Head and body; also that of a HEAD, up to `headLength`. Connection is not among its fields. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly headLength: number;
  /** Where the 29 characters of Date stand. */
  readonly dateAt: number;
  /** Where the ten digits of Age stand (padded with zeros); -1 without Age. */
  readonly ageAt: number;
  /** Age is the whole seconds since then: milliseconds since 1970. */
  readonly bornMs: number;
  /** From then on it is no answer any more: milliseconds since 1970. */
  readonly untilMs: number;
  /** Its entity tag, with quotes: a request with exactly that as If-None-Match gets `notModified`. */
  readonly etag: string | null;
  /** The 304 to it, finished in the same way; null without an entity tag. */
  readonly notModified: Finished | null;
}

/** Who asks. */
export interface Asker {
  /** The address. */
  readonly client: string;
  readonly signal: StopSignal;
}
