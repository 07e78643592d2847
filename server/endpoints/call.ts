/** What an endpoint is given, and what it is. */
import type { Parts } from "../parts.ts";

/** One call of an endpoint. */
export interface Call {
  request: Request;
  /** The segments that the pattern named. */
  segments: Record<string, string>;
  query: URLSearchParams;
  parts: Parts;
}

/** Answers a call, or throws a `CdnError`. */
export type Endpoint = (call: Call) => Response | Promise<Response>;
