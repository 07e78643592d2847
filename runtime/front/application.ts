/** What a front answers by: the contract between a program and its own door on raw sockets. */
import type { BodySource } from "../http1/body_source.ts";
import type { HeaderLine, StopSignal } from "../http1/transport.ts";
import type { FrontRequest } from "./request.ts";

/** An answer as plain data. */
export interface Answered {
  status: number;
  /** Content-Length among them where it is known; no field of the connection. Names in lower case. */
  headers: readonly HeaderLine[];
  /** A source that is not done must be read to its end, or cancelled. */
  body: BodySource | Uint8Array<ArrayBuffer> | string | null;
}

/** True for a body that is read, or cancelled. */
export function isSource(body: Answered["body"]): body is BodySource {
  return body !== null && typeof body === "object" && !(body instanceof Uint8Array);
}

/**
 * An answer that was finished when its content came: one write, but for the places that tell the time. Whoever makes one
 * gives its bytes to the front: it alone writes there, and nobody else may read them as an answer.
 */
export interface Finished {
  /** Head and body; also that of a HEAD, up to `headLength`. Connection is not among its fields. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly headLength: number;
  /** Where the 29 characters of Date stand; -1 where it stays as it is (that of a cache's answer is its origin's). */
  readonly dateAt: number;
  /** Where the ten digits of Age stand (padded with zeros); -1 without Age. */
  readonly ageAt: number;
  /** Where the 29 characters of an Expires stand that is always Date plus `lifetimeMs`; left out without one. */
  readonly expiresAt?: number;
  readonly lifetimeMs?: number;
  /** Age is the whole seconds since then: milliseconds since 1970. */
  readonly bornMs: number;
  /** From then on it is no answer any more: milliseconds since 1970. */
  readonly untilMs: number;
  /** Its entity tag, with quotes: a request with exactly that as If-None-Match gets `notModified`. */
  readonly etag: string | null;
  /** The 304 to it, finished in the same way; null without an entity tag. */
  readonly notModified: Finished | null;
}

/** Who asks: one for each connection. */
export interface Asker {
  /** The address. */
  readonly client: string;
  /** The viewer went away. */
  readonly signal: StopSignal;
  /** What the application wants to remember of this connection; undefined at first. */
  note: unknown;
}

/** What a front opens a door to. */
export interface Application {
  /**
   * A finished answer to all who ask for `target` (path and query as sent), whatever host they name and whatever their
   * fields of `plain_fields.ts` say; null where there is none now. Asked first, and only where a request has no other
   * fields than those. Must be quick, and must not throw.
   */
  hot?(method: "GET" | "HEAD", target: string): Finished | null;
  /** A finished answer goes out, with so many bytes of body (0 for HEAD and 304). Must be quick, and must not throw. */
  sent?(bytes: number): void;
  /**
   * Answers a request that was understood whole; null: it, and the rest of its connection, is for the `Deno.serve`
   * behind the front. One call at a time on a connection. What it throws is answered by {@link failure}.
   */
  answer(request: FrontRequest, asker: Asker): Given | Promise<Given>;
  /** The answer that tells of an error; problem+json if left out. Not asked where the viewer went away. */
  failure?(error: unknown, asker: Asker): Answered;
}

/** What an application gives for a request. */
export type Given = Finished | Answered | null;
