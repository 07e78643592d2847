/** Age and freshness of stored responses (RFC 9111 §4.2). */
import type { HeaderLine } from "../../../runtime/http1/transport.ts";
import type { StoredResponse } from "../response.ts";
import { MOST_SECONDS } from "./directives.ts";
import { factsOf, lifetimeOf } from "./facts.ts";
import type { RuleSettings } from "./types.ts";

/** current_age (§4.2.3), in milliseconds. */
export function ageOf(stored: StoredResponse, nowMs: number): number {
  return factsOf(stored).initialAgeMs + Math.max(0, nowMs - stored.responseMs);
}

/**
 * When it stops being fresh, by milliseconds since 1970; at most `nowMs` where it is stale already. What must be validated
 * however fresh it is, {@link alwaysValidates} tells.
 */
export function freshUntil(stored: StoredResponse, nowMs: number, settings: RuleSettings): number {
  const until = nowMs + lifetimeOf(factsOf(stored), settings) - ageOf(stored, nowMs);
  return stored.stale ? Math.min(until, nowMs) : until;
}

/**
 * True where it must be validated before each use, however fresh: no-cache, `Vary: *`; and what could not be stored as it
 * is now, because a 304 said so.
 */
export function alwaysValidates(stored: StoredResponse): boolean {
  return factsOf(stored).alwaysValidates;
}

/** True where it may be sent to whom the origin was asked for, and to nobody who waited beside him. */
export function isUnshared(stored: StoredResponse): boolean {
  return factsOf(stored).unshared;
}

/** The fields of an answer from a stored response: what is stored, and its Age (§5.1). */
export function answerFields(stored: StoredResponse, nowMs: number): HeaderLine[] {
  const seconds = Math.min(Math.floor(ageOf(stored, nowMs) / 1000), MOST_SECONDS);
  return [...factsOf(stored).ageless, ["age", String(seconds)]];
}
