/**
 * What the rules need to know of a stored response, read from its fields once: a stored response is never changed, so each
 * is remembered as long as it lives.
 */
import type { HeaderLine } from "../../../runtime/http1/transport.ts";
import type { StoredResponse } from "../response.ts";
import { dateIn, parseDate } from "./date.ts";
import { deltaSeconds } from "./directives.ts";
import { fieldOf } from "../../../runtime/http1/lines.ts";
import { type ResponseDirectives, responseDirectives } from "./response_directives.ts";
import { HEURISTICALLY_CACHEABLE, UNDERSTOOD } from "./status.ts";
import type { Lines, ReceivedHead, RuleSettings } from "./types.ts";
import { nominated } from "./vary.ts";

/** Times are milliseconds. */
export interface Facts {
  readonly directives: ResponseDirectives;
  readonly etag: string | null;
  readonly dateMs: number;
  readonly modifiedMs: number | null;
  /** corrected_initial_age (§4.2.3). */
  readonly initialAgeMs: number;
  readonly explicitMs: number | null;
  readonly mayGuess: boolean;
  readonly alwaysValidates: boolean;
  /** Only for whom the origin gave it: a 304 made it what is not stored. */
  readonly unshared: boolean;
  /** The fields without Age. */
  readonly ageless: readonly HeaderLine[];
}

const known = new WeakMap<StoredResponse, Facts>();

/** The facts of a stored response. */
export function factsOf(stored: StoredResponse): Facts {
  let facts = known.get(stored);
  if (!facts) known.set(stored, facts = read(stored));
  return facts;
}

function read(stored: StoredResponse): Facts {
  const { status, fields, requestMs, responseMs, varied } = stored;
  const directives = responseDirectives(fields);
  const dateMs = dateIn(fields, "date") ?? responseMs;
  const names = nominated(fields);
  // The last: a 304 has changed Vary, and what the first request had for the new fields is not known.
  const unshared = directives.private || forbidsStoring({ status, fields }, directives) ||
    names === null || !names.every((name) => varied.some(([known]) => known === name));
  return {
    directives,
    etag: etagOf(fields),
    dateMs,
    modifiedMs: dateIn(fields, "last-modified"),
    initialAgeMs: initialAge(fields, dateMs, requestMs, responseMs),
    explicitMs: explicitLifetime(directives, fields, dateMs),
    mayGuess: mayGuess(status, directives),
    alwaysValidates: directives.noCache || unshared,
    unshared,
    ageless: fields.filter(([name]) => name !== "age"),
  };
}

/** no-store, where must-understand does not lift it for us (§5.2.2.3). */
export function forbidsStoring({ status }: ReceivedHead, { noStore, mustUnderstand }: ResponseDirectives): boolean {
  return noStore && !(mustUnderstand && UNDERSTOOD.has(status));
}

/** True where freshness may be a guess (§4.2.2). */
export function mayGuess(status: number, directives: ResponseDirectives): boolean {
  return directives.public || HEURISTICALLY_CACHEABLE.has(status);
}

/** The ETag field; null without one. */
export function etagOf(fields: Lines): string | null {
  return fieldOf(fields, "etag")?.trim() || null;
}

/**
 * By s-maxage, max-age or Expires (§4.2.1): 0 where they are malformed, below zero where a response was stale before it was
 * made, null where nothing is said.
 */
export function explicitLifetime(directives: ResponseDirectives, fields: Lines, dateMs: number): number | null {
  if (directives.lifetimeMs !== null || directives.targeted) return directives.lifetimeMs;
  const expires = fields.filter(([name]) => name === "expires").map(([, value]) => value.trim());
  if (expires.length === 0) return null;
  const at = parseDate(expires[0]!);
  if (at === null || expires.some((value) => value !== expires[0])) return 0;
  return at - dateMs;
}

/** freshness_lifetime (§4.2.1): what was said, else a guess where one is allowed. */
export function lifetimeOf(
  { explicitMs, mayGuess, modifiedMs, dateMs }: Pick<Facts, "explicitMs" | "mayGuess" | "modifiedMs" | "dateMs">,
  { heuristicShare, heuristicMostMs }: RuleSettings,
): number {
  if (explicitMs !== null) return explicitMs;
  if (!mayGuess || modifiedMs === null) return 0;
  return Math.min(Math.max(0, (dateMs - modifiedMs) * heuristicShare), heuristicMostMs);
}

function initialAge(fields: Lines, dateMs: number, requestMs: number, responseMs: number): number {
  // Date is in whole seconds: compared with the part of a second, all would seem half a second older than it is.
  const apparent = Math.floor(responseMs / 1000) * 1000 - dateMs;
  // Of several values the first; one that is no number counts for nothing (§5.1).
  const told = deltaSeconds(fieldOf(fields, "age")?.replace(/,.*/, "").trim()) ?? 0;
  return Math.max(0, apparent, told + Math.max(0, responseMs - requestMs));
}
