/**
 * How we speak to servers for others. Behind this small interface stands a client on raw sockets
 * (`raw_transport.ts`): it copies no header that it need not and pools its connections.
 */

import type { BodySource } from "./body_source.ts";

/** One header line; the name in lower case. */
export type HeaderLine = [name: string, value: string];

/** A request to a known server. */
export interface UpstreamRequest {
  /** The server's base URL: `http://host:port`. */
  origin: string;
  /** As on the request line. */
  method: string;
  /** Path and query, exactly as they go on the request line. */
  target: string;
  /**
   * Without Host, Connection, Content-Length and Transfer-Encoding: the transport sets those. An array that is
   * frozen is checked and written out once, however often it is sent.
   */
  headers: readonly HeaderLine[];
  /** Sent as it comes; null without one. */
  body: ReadableStream<Uint8Array> | null;
  /** Of the body, where known; else it is sent chunked. */
  bodyLength: number | null;
  /** Ends the request, and the answer's body, wherever it stands. */
  signal: StopSignal;
  /** How long the server may take from the end of the request to the head of its answer; the transport's default if left out. */
  headTimeoutMs?: number;
  /** How long the server may pause while a body goes either way; the transport's default if left out. */
  idleTimeoutMs?: number;
}

/** What is used of an `AbortSignal`. */
export interface StopSignal {
  readonly aborted: boolean;
  addEventListener(type: "abort", listener: () => void): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

/** The answer's head, and its body as it comes. */
export interface UpstreamResponse {
  /** The final one: interim answers are passed over. */
  status: number;
  /** As received, hop-by-hop fields left out (RFC 9110 §7.6.1, those named by Connection among them). */
  headers: HeaderLine[];
  /** From the Content-Length; null where there is none. */
  contentLength: number | null;
  /** Null where there is none (HEAD, 204, 304). One that is not done must be read to its end, or cancelled. */
  body: BodySource | null;
  /** How long it took. */
  timing: UpstreamTiming;
}

/** When what happened, in milliseconds since the request was begun. */
export interface UpstreamTiming {
  /** The connection stood; 0 where a pooled one was used. */
  connectMs: number;
  /** The answer's head had come. */
  headMs: number;
  /** True where a pooled connection was used. */
  reused: boolean;
}

/** Sends requests to servers. */
export interface Transport {
  /**
   * Resolves with the answer's head.
   * @throws {UpstreamError} where no answer came.
   */
  send(request: UpstreamRequest): Promise<UpstreamResponse>;
  /** Closes idle connections. */
  close(): void;
}

/** A server gave no usable answer. */
export class UpstreamError extends Error {
  override name = "UpstreamError";

  /** @param bodyTouched true once a byte of the request's body was read: it cannot be sent again */
  constructor(
    message: string,
    readonly kind: "connect" | "timeout" | "broken" | "aborted",
    readonly bodyTouched: boolean,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
