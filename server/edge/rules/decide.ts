/** What to do with a request, given what is stored (RFC 9111 §4, RFC 5861). */
import type { StoredResponse } from "../response.ts";
import { factsOf, lifetimeOf } from "./facts.ts";
import { ageOf } from "./freshness.ts";
import { type RequestDirectives, requestDirectives } from "./request_directives.ts";
import type { RequestHead, RuleSettings } from "./types.ts";
import { fits } from "./vary.ts";

/** What to do with a GET or HEAD. */
export type Decision<Found> =
  /** Nothing stored answers it: ask, and keep what may be kept. */
  | { kind: "miss"; because: "uri-miss" | "vary-miss" | "request" | "partial" }
  /** Answer with it. `refresh`: and validate it in the background (RFC 5861 §3). */
  | { kind: "serve"; found: Found; stale: boolean; refresh: boolean }
  /**
   * Ask whether it is still good. `onError`: it may be sent as it is where no origin answers, or with a 5xx. That is so
   * now: where the origin takes long to fail, decide again.
   */
  | { kind: "validate"; found: Found; because: "stale" | "request"; onError: boolean }
  /** only-if-cached, and nothing is there (§5.2.1.7): 504. */
  | { kind: "refuse" };

/** How a stored response stands now, in milliseconds. */
interface Standing {
  ageMs: number;
  /** Until it is stale, below zero since it is. */
  leftMs: number;
  /** Fresh, and not softly purged. */
  fresh: boolean;
  mayBeStale: boolean;
}

/**
 * Decides about a GET or HEAD. `stored` are the responses of its key, the newest first.
 *
 * A softly purged response is validated before it is used, whatever else it allows; only where the origin fails may it
 * stand in. What may be stale: what no directive forbids (must-revalidate, proxy-revalidate, s-maxage, no-cache), as long
 * as stale-while-revalidate, stale-if-error or the request's max-stale say. A request that wishes for freshness (no-cache,
 * max-age, min-fresh) gets nothing stale but by its own max-stale.
 */
export function decide<Found extends { readonly response: StoredResponse }>(
  request: RequestHead,
  stored: readonly Found[],
  nowMs: number,
  settings: RuleSettings,
): Decision<Found> {
  const found = select(request, stored);
  const asked = requestDirectives(request.fields);
  if (found === null) {
    return asked.onlyIfCached
      ? { kind: "refuse" }
      : { kind: "miss", because: stored.length === 0 ? "uri-miss" : "vary-miss" };
  }
  const standing = standingOf(found.response, nowMs, settings);
  const { alwaysValidates, directives } = factsOf(found.response);
  if (!alwaysValidates && !asked.noCache) {
    if (standing.fresh) {
      if (agrees(asked, standing)) return { kind: "serve", found, stale: false, refresh: false };
    } else if (standing.mayBeStale && !found.response.stale && youngEnough(asked, standing.ageMs)) {
      const overMs = -standing.leftMs;
      if (asked.minFreshMs === null) {
        if (asked.maxAgeMs === null && overMs < directives.staleWhileRevalidateMs) {
          return { kind: "serve", found, stale: true, refresh: true };
        }
        if (asked.maxStaleMs !== null && overMs <= asked.maxStaleMs) {
          return { kind: "serve", found, stale: true, refresh: false };
        }
      }
    }
  }
  if (asked.onlyIfCached) return { kind: "refuse" };
  return {
    kind: "validate",
    found,
    because: standing.fresh && !alwaysValidates ? "request" : "stale",
    onError: mayStandIn(found.response, asked, standing, settings),
  };
}

/**
 * The response that the request selects (§4.1): the newest by Date of those that fit. One without Vary does not stand
 * beside a newer one with it: what the request had is not known of it.
 */
function select<Found extends { readonly response: StoredResponse }>(
  request: RequestHead,
  stored: readonly Found[],
): Found | null {
  if (stored.length === 1) return fits(request.fields, stored[0]!.response) ? stored[0]! : null;
  let newestVarying = -Infinity;
  for (const { response } of stored) {
    if (response.varied.length > 0) newestVarying = Math.max(newestVarying, factsOf(response).dateMs);
  }
  let best: Found | null = null;
  let bestMs = -Infinity;
  for (const found of stored) {
    const { dateMs } = factsOf(found.response);
    if (dateMs <= bestMs || (found.response.varied.length === 0 && dateMs < newestVarying)) continue;
    if (fits(request.fields, found.response)) [best, bestMs] = [found, dateMs];
  }
  return best;
}

function standingOf(stored: StoredResponse, nowMs: number, settings: RuleSettings): Standing {
  const facts = factsOf(stored);
  const ageMs = ageOf(stored, nowMs);
  const leftMs = lifetimeOf(facts, settings) - ageMs;
  return { ageMs, leftMs, fresh: leftMs > 0 && !stored.stale, mayBeStale: !facts.directives.forbidsStale };
}

/** True where a fresh response is what the request wishes for (§5.2.1.1, §5.2.1.3). */
function agrees(asked: RequestDirectives, { ageMs, leftMs }: Standing): boolean {
  return youngEnough(asked, ageMs) && (asked.minFreshMs === null || leftMs >= asked.minFreshMs);
}

/** By max-age; 0 asks for a validation, even of what came a moment ago. */
function youngEnough({ maxAgeMs }: RequestDirectives, ageMs: number): boolean {
  return maxAgeMs === null || (maxAgeMs > 0 && ageMs <= maxAgeMs);
}

/**
 * Whether it may be sent where the origin fails (§4.2.4, RFC 5861 §4): what is fresh always; what is stale as long as the
 * response or the request says by stale-if-error, else as long as the operator says.
 */
function mayStandIn(
  stored: StoredResponse,
  asked: RequestDirectives,
  { leftMs, fresh, mayBeStale }: Standing,
  { staleOnErrorMs }: RuleSettings,
): boolean {
  const { alwaysValidates, directives } = factsOf(stored);
  if (alwaysValidates) return false;
  if (asked.noCache && asked.staleIfErrorMs === null) return false;
  if (fresh) return true;
  if (!mayBeStale) return false;
  const said = Math.max(directives.staleIfErrorMs ?? -1, asked.staleIfErrorMs ?? -1);
  const allowedMs = said >= 0 ? said : staleOnErrorMs;
  return allowedMs > 0 && -leftMs <= allowedMs;
}
