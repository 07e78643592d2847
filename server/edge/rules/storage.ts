/** What may be stored (RFC 9111 §3), and what is stored of it. */
import type { StoredResponse } from "../response.ts";
import { completeLength, parseContentRange } from "./content_range.ts";
import { dateIn } from "./date.ts";
import { etagOf, explicitLifetime, forbidsStoring, mayGuess } from "./facts.ts";
import { fieldOf } from "../../../runtime/http1/lines.ts";
import { isNoStore } from "./request_directives.ts";
import { type ResponseDirectives, responseDirectives } from "./response_directives.ts";
import { NEVER_STORED, UNDERSTOOD } from "./status.ts";
import { storableFields, tagsOf } from "./stored_fields.ts";
import type { Lines, ReceivedHead, RequestHead, RuleSettings, Times } from "./types.ts";
import { nominated, variedOf } from "./vary.ts";

/**
 * Whether a response to a GET may be stored in a shared cache (§3), and if not, why: a word for a log.
 *
 * With Set-Cookie only where the origin says with explicit freshness that all may share it (public, s-maxage): §7.3 would
 * allow more, but one viewer's session in another's browser is the worst that a cache can do. What could never be used,
 * because it has neither freshness nor a validator, is not stored either.
 */
export function judgeStorage(
  request: RequestHead,
  received: ReceivedHead,
  settings: RuleSettings,
): { store: true } | { store: false; reason: string } {
  const reason = objection(request, received, settings);
  return reason === null ? { store: true } : { store: false, reason };
}

function objection(request: RequestHead, received: ReceivedHead, settings: RuleSettings): string | null {
  const { status, fields } = received;
  const directives = responseDirectives(fields);
  if (request.method !== "GET") return "method";
  if (status < 200 || status > 599 || NEVER_STORED.has(status)) return "status";
  if (status === 206 && parseContentRange(received) === null) return "content-range";
  if (isNoStore(request.fields)) return "request no-store";
  if (forbidsStoring(received, directives)) return "no-store";
  if (directives.mustUnderstand && !UNDERSTOOD.has(status)) return "must-understand";
  if (directives.private) return "private";
  if (nominated(fields) === null) return "vary";
  const { public: isPublic, sMaxAge, mustRevalidate, withheld } = directives;
  if (fieldOf(request.fields, "authorization") !== null && !isPublic && !sMaxAge && !mustRevalidate) {
    return "authorization";
  }
  const dateMs = dateIn(fields, "date") ?? 0;
  const explicitMs = explicitLifetime(directives, fields, dateMs);
  if (explicitMs === null && !mayGuess(status, directives)) return "no freshness";
  if (setsCookie(fields, withheld) && !(explicitMs !== null && (isPublic || sMaxAge))) return "set-cookie";
  return useless(directives, received, explicitMs, settings) ? "no use" : null;
}

function setsCookie(fields: Lines, withheld: readonly string[]): boolean {
  return fields.some(([name]) => /^set-cookie2?$/.test(name) && !withheld.includes(name));
}

function useless(
  { noCache, forbidsStale, staleWhileRevalidateMs, staleIfErrorMs }: ResponseDirectives,
  { fields }: ReceivedHead,
  explicitMs: number | null,
  { staleOnErrorMs }: RuleSettings,
): boolean {
  if (etagOf(fields) !== null || dateIn(fields, "last-modified") !== null) return false;
  if (noCache || explicitMs === null) return true;
  const whenStale = !forbidsStale && (staleWhileRevalidateMs > 0 || (staleIfErrorMs ?? staleOnErrorMs) > 0);
  return explicitMs <= 0 && !whenStale;
}

/**
 * What is stored of a response that may be. `length` is that of the complete representation where it is known. A 206 is
 * stored as the 200 that it is a part of (§3.3).
 */
export function toStored(request: RequestHead, received: ReceivedHead, times: Times): StoredResponse {
  const { requestMs, responseMs } = times;
  const isPart = received.status === 206;
  return {
    status: isPart ? 200 : received.status,
    // Of a part it tells where it stands; on anything else it means nothing (RFC 9110 §14.4), and stays as it is.
    fields: storableFields(received.fields, responseMs).filter(([name]) => !isPart || name !== "content-range"),
    varied: variedOf(request.fields, received.fields) ?? [],
    length: completeLength(received),
    requestMs,
    responseMs,
    stale: false,
    tags: tagsOf(received.fields),
  };
}
