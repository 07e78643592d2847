/**
 * Which caching fields an object gets: rules by glob, read from the file of `--cache-policy`
 * (`metacdn.v1.CachePolicy` as ProtoJSON); the first that matches wins.
 */
import { globToRegExp } from "@std/path";
import { CdnError, jsonCodec, refuse, wire } from "../../proto/mod.ts";
import { fieldOf } from "../../runtime/http1/lines.ts";
import type { HeaderLine } from "../../runtime/http1/transport.ts";
import { holdsDigest } from "./hashed_name.ts";
import { formatHttpDate, parseHttpDate } from "./http_date.ts";

/** The caching of one path. */
export interface Caching {
  /** The Cache-Control field (RFC 9111 §5.2.2). */
  readonly cacheControl: string;
  /** Expires is Date plus this; null: no Expires. */
  readonly maxAgeSeconds: number | null;
  /** The CDN-Cache-Control field (RFC 9213), which CDN caches go by in place of the others; null: none. */
  readonly cdnCacheControl: string | null;
}

/** The caching of any path. */
export type CacheRules = (path: string) => Caching;

/** The caching of the paths that a rule matches; null for the others. */
export type MatchedRules = (path: string) => Caching | null;

/** 4 weeks: what is not named by a rule. */
export const DEFAULT_MAX_AGE_SECONDS = 4 * 7 * 24 * 3600;
/** A year: content-addressed names whose rule says no other time. */
export const HASHED_MAX_AGE_SECONDS = 365 * 24 * 3600;

const fallback: Caching = {
  cacheControl: `public, max-age=${DEFAULT_MAX_AGE_SECONDS}`,
  maxAgeSeconds: DEFAULT_MAX_AGE_SECONDS,
  cdnCacheControl: null,
};

/** The rules of a server without a policy file. */
export const defaultRules: CacheRules = (): Caching => fallback;

/** What a policy says of the paths that it names. @throws {CdnError} 400 for a glob that is none. */
export function compileMatched(policy: wire.CachePolicy): MatchedRules {
  const rules = policy.rules.map((rule, at) => ({
    pattern: compileGlob(rule.glob, at),
    hashedOnly: rule.contentAddressed,
    caching: cachingOf(rule),
  }));
  return (path) => {
    for (const { pattern, hashedOnly, caching } of rules) {
      if (pattern.test(path) && (!hashedOnly || holdsDigest(path))) return caching;
    }
    return null;
  };
}

/** Compiles a policy; each glob becomes one regular expression. @throws {CdnError} 400 for a glob that is none. */
export function compilePolicy(policy: wire.CachePolicy): CacheRules {
  return orDefault(compileMatched(policy));
}

/** What no rule matches gets the rules of a server without a policy file. */
export function orDefault(matched: MatchedRules): CacheRules {
  return (path) => matched(path) ?? fallback;
}

/**
 * Reads a policy file.
 * @throws {CdnError} 400 that names the wrong field.
 */
export function parsePolicy(text: string): CacheRules {
  return orDefault(parseMatched(text));
}

/** As {@link parsePolicy}, but a path that no rule names keeps what its origin says of it. */
export function parseMatched(text: string): MatchedRules {
  return compileMatched(jsonCodec.decode(wire.CachePolicySchema, new TextEncoder().encode(text)));
}

/** The caching fields of an answer with this Date. */
export function cachingFields({ cacheControl, maxAgeSeconds, cdnCacheControl }: Caching, dateMs: number): HeaderLine[] {
  const fields: HeaderLine[] = [["cache-control", cacheControl]];
  if (maxAgeSeconds !== null) fields.push(["expires", formatHttpDate(dateMs + maxAgeSeconds * 1000)]);
  if (cdnCacheControl !== null) fields.push(["cdn-cache-control", cdnCacheControl]);
  return fields;
}

/** Answers that are, or vouch for, the object at the path: not those that say that something is wrong or elsewhere. */
const OBJECT_STATUS = new Set([200, 203, 206, 304]);
/** What {@link applyPolicy} takes away. */
const REPLACED = new Set(["cache-control", "expires", "pragma", "cdn-cache-control"]);

/**
 * An answer of somebody else's origin with what our policy says of its path: Cache-Control, Expires, Pragma and
 * CDN-Cache-Control are taken away, and those of {@link Caching} put in their place; nothing else is touched. Expires
 * counts from the answer's Date, which is added (`nowMs`) where there is none (RFC 9110 §6.6.1), and so agrees with
 * max-age whatever the Age is.
 *
 * Before it is stored is the moment to apply it: then the edge and the caches behind it go by the same fields, and Age
 * is reckoned as ever. Two kinds of answers come back as they are: of any status but 200, 203, 206 and 304 (no error may
 * become fresh for weeks), and with a Set-Cookie (which is one viewer's). The answer to a request with Authorization
 * is one viewer's too, and not to be given here: no rule may make it public.
 * @param answer names of fields in lower case
 */
export function applyPolicy<Answer extends { readonly status: number; readonly fields: readonly HeaderLine[] }>(
  caching: Caching,
  answer: Answer,
  nowMs: number,
): Answer {
  const { status, fields } = answer;
  if (!OBJECT_STATUS.has(status) || fields.some(([name]) => name === "set-cookie")) return answer;
  const dated = parseHttpDate(fieldOf(fields, "date") ?? "");
  const kept = fields.filter(([name]) => !REPLACED.has(name) && (dated !== null || name !== "date"));
  if (dated === null) kept.push(["date", formatHttpDate(nowMs)]);
  return { ...answer, fields: [...kept, ...cachingFields(caching, dated ?? nowMs)] };
}

function cachingOf(rule: wire.CacheRule): Caching {
  const { cdnMaxAgeSeconds, contentAddressed } = rule;
  // A targeted field stands alone: what holds for all lifetimes is said in each.
  const cdnCacheControl = cdnMaxAgeSeconds === undefined
    ? null
    : [`max-age=${cdnMaxAgeSeconds}`, ...staleness(rule, cdnMaxAgeSeconds)].join(", ");
  if (rule.noStore) return { cacheControl: "no-store", maxAgeSeconds: null, cdnCacheControl };
  const maxAgeSeconds = rule.maxAgeSeconds || (contentAddressed ? HASHED_MAX_AGE_SECONDS : 0);
  const directives = [rule.private ? "private" : "public", `max-age=${maxAgeSeconds}`];
  if (rule.sharedMaxAgeSeconds !== undefined) directives.push(`s-maxage=${rule.sharedMaxAgeSeconds}`);
  if (rule.noCache) directives.push("no-cache");
  directives.push(...staleness(rule, maxAgeSeconds));
  if (rule.immutable || contentAddressed) directives.push("immutable");
  return { cacheControl: directives.join(", "), maxAgeSeconds, cdnCacheControl };
}

/** What may be done with it once its lifetime is over; without a word, one of 0 must not be used at all. */
function staleness(rule: wire.CacheRule, lifetimeSeconds: number): string[] {
  const { staleWhileRevalidateSeconds, staleIfErrorSeconds, mustRevalidate } = rule;
  const directives: string[] = [];
  if (staleWhileRevalidateSeconds > 0) directives.push(`stale-while-revalidate=${staleWhileRevalidateSeconds}`);
  if (staleIfErrorSeconds > 0) directives.push(`stale-if-error=${staleIfErrorSeconds}`);
  if (mustRevalidate || (lifetimeSeconds === 0 && directives.length === 0)) directives.push("must-revalidate");
  return directives;
}

function compileGlob(glob: string, at: number): RegExp {
  try {
    return globToRegExp(glob, { os: "linux" });
  } catch (cause) {
    if (cause instanceof CdnError) throw cause;
    refuse("CachePolicy", [{ field: `rules[${at}].glob`, detail: "must be a glob such as /**/*.jpg" }]);
    throw cause;
  }
}
