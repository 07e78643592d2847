/** The plain data that the rules look at. */
import type { HeaderLine } from "../../../runtime/http1/transport.ts";

/** The fields of a message, each line apart. */
export type Lines = readonly HeaderLine[];

/** A request, as far as a cache looks at it. */
export interface RequestHead {
  readonly method: string;
  readonly fields: Lines;
}

/** The head of an answer as it came from an origin. */
export interface ReceivedHead {
  readonly status: number;
  readonly fields: Lines;
}

/** When a request was sent and the head of its answer came. */
export interface Times {
  readonly requestMs: number;
  readonly responseMs: number;
}

/** What an operator may choose within the rules. */
export interface RuleSettings {
  /** Part of the time since Last-Modified that a response without explicit freshness stays fresh (§4.2.2). */
  readonly heuristicShare: number;
  /** The longest heuristic lifetime. */
  readonly heuristicMostMs: number;
  /** How long a stale response may stand in for an origin that fails, where no field says so or forbids it (§4.2.4). */
  readonly staleOnErrorMs: number;
}
