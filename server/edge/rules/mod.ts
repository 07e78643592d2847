/**
 * What RFC 9111 (HTTP Caching) and its companions say, as pure functions over plain data: RFC 9110 §13 (conditions),
 * RFC 5861 (stale answers), RFC 9211 (Cache-Status), RFC 9213 (targeted fields), RFC 8246 (immutable). Names of fields
 * are in lower case everywhere; times are milliseconds since 1970.
 */
import type { HeaderLine } from "../../../runtime/http1/transport.ts";
import type { StoredResponse, Varied } from "../response.ts";

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

/** What to do with a GET or HEAD. */
export type Decision<Found> =
  /** Nothing stored answers it: ask, and keep what may be kept. */
  | { kind: "miss"; because: "uri-miss" | "vary-miss" | "request" | "partial" }
  /** Answer with it. `refresh`: and validate it in the background (RFC 5861 §3). */
  | { kind: "serve"; found: Found; stale: boolean; refresh: boolean }
  /** Ask whether it is still good. `onError`: it may be sent as it is where no origin answers, or with a 5xx. */
  | { kind: "validate"; found: Found; because: "stale" | "request"; onError: boolean }
  /** only-if-cached, and nothing is there (§5.2.1.7): 504. */
  | { kind: "refuse" };

/** Decides about a GET or HEAD. `stored` are the responses of its key, the newest first. */
export declare function decide<Found extends { readonly response: StoredResponse }>(
  request: RequestHead,
  stored: readonly Found[],
  nowMs: number,
  settings: RuleSettings,
): Decision<Found>;

/** Whether a response to a GET may be stored in a shared cache (§3), and if not, why: a word for a log. */
export declare function judgeStorage(
  request: RequestHead,
  received: ReceivedHead,
  settings: RuleSettings,
): { store: true } | { store: false; reason: string };

/** What is stored of a response. `length` is that of the complete representation where it is known. */
export declare function toStored(request: RequestHead, received: ReceivedHead, times: Times): StoredResponse;

/** The request fields that the stored response varies with, as this request has them; null for `Vary: *`. */
export declare function variedOf(request: Lines, received: Lines): readonly Varied[] | null;

/** The fields that make a request conditional on a stored response (§4.3.1); empty where it has no validator. */
export declare function validationFields(stored: StoredResponse): Lines;

/** Which stored responses a 304 freshens (§4.3.4). */
export declare function freshenedBy<Found extends { readonly response: StoredResponse }>(
  received: ReceivedHead,
  stored: readonly Found[],
  asked: Found,
): Found[];

/** The stored response as a 304, or the 200 of a HEAD, freshens it (§3.2). */
export declare function freshen(stored: StoredResponse, received: ReceivedHead, times: Times): StoredResponse;

/** What the answer to a HEAD says of a stored response to GET (§4.3.5). */
export declare function comparedWithHead(stored: StoredResponse, received: ReceivedHead): "freshen" | "invalidate";

/** The paths with queries that an answer to an unsafe request invalidates (§4.4), its own target first. */
export declare function invalidatedBy(
  request: { method: string; target: string; authority: string },
  received: ReceivedHead,
): string[];

/** current_age (§4.2.3). */
export declare function ageOf(stored: StoredResponse, nowMs: number): number;

/** When it stops being fresh; at most `nowMs` where it is stale already. */
export declare function freshUntil(stored: StoredResponse, nowMs: number, settings: RuleSettings): number;

/** True where it must be validated before each use, however fresh (no-cache, Vary *). */
export declare function alwaysValidates(stored: StoredResponse): boolean;

/** The fields of an answer from a stored response: what is stored, and its Age (§5.1). */
export declare function answerFields(stored: StoredResponse, nowMs: number): HeaderLine[];

/**
 * What a request's conditions say of a stored response (RFC 9110 §13.2.2, RFC 9111 §4.3.2): `failed` where only the
 * origin can say (If-Match, If-Unmodified-Since).
 */
export declare function conditionOf(request: RequestHead, stored: StoredResponse): "go" | "not-modified" | "failed";

/** Whether a Range may be answered from it, by the If-Range of the request (RFC 9110 §13.1.5). */
export declare function rangeHolds(request: Lines, stored: StoredResponse): boolean;

/** True where parts of both may stand in one body: the same strong validator (RFC 9110 §15.3.7.3, RFC 9111 §3.4). */
export declare function sameRepresentation(stored: StoredResponse, received: ReceivedHead): boolean;

/** Content-Range of a 206 (RFC 9110 §14.4): null where there is none, or none that is right. */
export declare function parseContentRange(
  received: ReceivedHead,
): { start: number; end: number; length: number | null } | null;

/** The request's fields as they go to an origin: negotiation in its normal form, nothing that is not keyed. */
export declare function normalised(fields: Lines): Lines;

/** What an edge did for a request, as a parameter set of Cache-Status (RFC 9211 §2). */
export interface Handling {
  hit: boolean;
  fwd?: "bypass" | "method" | "uri-miss" | "vary-miss" | "miss" | "request" | "stale" | "partial";
  fwdStatus?: number;
  /** Milliseconds of freshness left, below zero where it is stale. */
  ttlMs?: number;
  stored?: boolean;
  collapsed?: boolean;
  detail?: string;
}

/** The Cache-Status of an answer: what came from further caches, and ours at the end. */
export declare function cacheStatus(before: Lines, cache: string, handling: Handling): string;
