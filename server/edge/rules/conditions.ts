/** What the conditions of a request say of a stored response (RFC 9110 §13, RFC 9111 §4.3.2). */
import type { StoredResponse } from "../response.ts";
import { parseDate } from "./date.ts";
import { equalStrongly, isListed } from "./entity_tag.ts";
import { factsOf } from "./facts.ts";
import { fieldOf, joined } from "../../../runtime/http1/lines.ts";
import type { Lines, RequestHead } from "./types.ts";

/**
 * How much younger than its Date a Last-Modified must not be to tell one version from another (RFC 9110 §8.8.2.2): two
 * changes in one second, or clocks that differ, are then unlikely.
 */
const STRONG_AFTER_MS = 60_000;

/**
 * What a request's conditions say of a stored response (RFC 9110 §13.2.2, RFC 9111 §4.3.2): `failed` where only the
 * origin can say (If-Match, If-Unmodified-Since), which are then to go to it. A stored response that is no success has no
 * conditions (RFC 9110 §13.2.1).
 */
export function conditionOf(request: RequestHead, stored: StoredResponse): "go" | "not-modified" | "failed" {
  let noneMatch: string | null = null;
  let modifiedSince: string | null = null;
  for (const [name, value] of request.fields) {
    if (!name.startsWith("if-")) continue;
    if (name === "if-match" || name === "if-unmodified-since") return "failed";
    if (name === "if-none-match") noneMatch = noneMatch === null ? value : `${noneMatch}, ${value}`;
    else if (name === "if-modified-since") modifiedSince ??= value;
  }
  if (stored.status < 200 || stored.status > 299) return "go";
  if (noneMatch !== null) return isListed(factsOf(stored).etag, noneMatch) ? "not-modified" : "go";
  const since = modifiedSince === null ? null : parseDate(modifiedSince);
  if (since === null) return "go";
  const { modifiedMs, dateMs } = factsOf(stored);
  const changed = fieldOf(stored.fields, "last-modified") === null ? dateMs : modifiedMs;
  return changed !== null && changed <= since ? "not-modified" : "go";
}

/** Whether a Range may be answered from it, by the If-Range of the request (RFC 9110 §13.1.5); without one, always. */
export function rangeHolds(request: Lines, stored: StoredResponse): boolean {
  const field = joined(request, "if-range");
  if (field === null) return true;
  const { etag, modifiedMs, dateMs } = factsOf(stored);
  if (field.includes('"')) return equalStrongly(field, etag);
  return modifiedMs !== null && parseDate(field) === modifiedMs && isStrongDate(modifiedMs, dateMs);
}

/** True where a Last-Modified tells versions apart (RFC 9110 §8.8.2.2). */
export function isStrongDate(modifiedMs: number, dateMs: number): boolean {
  return dateMs - modifiedMs >= STRONG_AFTER_MS;
}
