/** Where the edge gets what it does not have: the contract between the edge and its origins (or its siblings). */
import type { HeaderLine, StopSignal, UpstreamResponse } from "../../../runtime/http1/transport.ts";

/** A request that goes on to an origin. */
export interface OriginRequest {
  method: string;
  /** Path and query, as they stand on the request line. */
  target: string;
  /** End-to-end fields, names in lower case; without Host, Content-Length and those of a connection. */
  fields: readonly HeaderLine[];
  body: ReadableStream<Uint8Array> | null;
  /** Of the body; null where it is not known. */
  bodyLength: number | null;
  /** Nobody waits for it any more. */
  signal: StopSignal;
}

/** Its answer: the body must be read to its end, or cancelled. */
export interface OriginResponse extends UpstreamResponse {
  /** Who answered: an origin's base URL, or a sibling's id. */
  from: string;
}

/** How one origin fares. */
export interface OriginState {
  url: string;
  healthy: boolean;
  /** Requests under way, and those that wait for a connection. */
  active: number;
  waiting: number;
  /** Why it is not healthy; empty where it is. */
  reason: string;
  /** Requests that it was sent, and those of them that failed through its fault, since the start; probes apart. */
  requests: number;
  failures: number;
  /** Bytes of the bodies that it sent. */
  bytes: number;
}

/** Several origins that serve the same content. */
export interface Origins {
  /**
   * Sends a request to the best origin, and where that is safe to the next when one fails. A redirect is an answer
   * like any other, and never followed.
   * @throws {CdnError} source "origin": 502 where none can be reached, 503 with Retry-After where too many wait, 504
   * where none answers in time; source "client" where the request was aborted, or is none that can be sent
   */
  send(request: OriginRequest): Promise<OriginResponse>;
  /** In the order of preference. */
  states(): OriginState[];
  /** Ends the probes, and sends away who waits; answers under way go on. */
  close(): void;
}
