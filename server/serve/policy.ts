/**
 * Which caching fields an object gets: rules by glob, read from the file of `--cache-policy`
 * (`metacdn.v1.CachePolicy` as ProtoJSON); the first that matches wins.
 */
import { globToRegExp } from "@std/path";
import { CdnError, jsonCodec, refuse, wire } from "../../proto/mod.ts";

/** The caching of one path. */
export interface Caching {
  /** The Cache-Control field (RFC 9111 §5.2.2). */
  cacheControl: string;
  /** Expires is Date plus this; null: no Expires. */
  maxAgeSeconds: number | null;
}

/** The caching of any path. */
export type CacheRules = (path: string) => Caching;

/** 4 weeks: what is not named by a rule. */
export const DEFAULT_MAX_AGE_SECONDS = 4 * 7 * 24 * 3600;

const fallback: Caching = {
  cacheControl: `public, max-age=${DEFAULT_MAX_AGE_SECONDS}`,
  maxAgeSeconds: DEFAULT_MAX_AGE_SECONDS,
};

/** The rules of a server without a policy file. */
export const defaultRules: CacheRules = (): Caching => fallback;

/** Compiles a policy; each glob becomes one regular expression. @throws {CdnError} 400 for a glob that is none. */
export function compilePolicy(policy: wire.CachePolicy): CacheRules {
  const rules = policy.rules.map((rule, at) => ({ pattern: compileGlob(rule.glob, at), caching: cachingOf(rule) }));
  return (path) => {
    for (const { pattern, caching } of rules) if (pattern.test(path)) return caching;
    return fallback;
  };
}

/**
 * Reads a policy file.
 * @throws {CdnError} 400 that names the wrong field.
 */
export function parsePolicy(text: string): CacheRules {
  return compilePolicy(jsonCodec.decode(wire.CachePolicySchema, new TextEncoder().encode(text)));
}

function cachingOf(rule: wire.CacheRule): Caching {
  if (rule.noStore) return { cacheControl: "no-store", maxAgeSeconds: null };
  const { maxAgeSeconds } = rule;
  const directives = [rule.private ? "private" : "public", `max-age=${maxAgeSeconds}`];
  if (maxAgeSeconds === 0) directives.push("must-revalidate");
  if (rule.immutable) directives.push("immutable");
  return { cacheControl: directives.join(", "), maxAgeSeconds };
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
