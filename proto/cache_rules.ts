/** The rules of a caching rule: what it must not tell caches in one breath. */
import { between, faults, matching } from "./check.ts";
import type { FieldError } from "./error.ts";
import type { CacheRule } from "./gen/metacdn/v1/policy_pb.ts";

/** Caches take a longer time for this one (RFC 9111 §1.2.2): 68 years. */
const seconds = between(0, 2 ** 31);

type Name = Exclude<keyof CacheRule, "$typeName" | "$unknown">;

/** What must not stand beside a field that is set, and why. */
const conflicts: readonly [field: Name, others: readonly Name[], why: string][] = [
  [
    "noStore",
    [
      "maxAgeSeconds",
      "private",
      "immutable",
      "sharedMaxAgeSeconds",
      "noCache",
      "mustRevalidate",
      "staleWhileRevalidateSeconds",
      "staleIfErrorSeconds",
      "contentAddressed",
    ],
    "nothing is kept",
  ],
  [
    "noCache",
    [
      "maxAgeSeconds",
      "immutable",
      "sharedMaxAgeSeconds",
      "staleWhileRevalidateSeconds",
      "staleIfErrorSeconds",
      "contentAddressed",
    ],
    "each use asks first",
  ],
  ["private", ["sharedMaxAgeSeconds", "cdnMaxAgeSeconds"], "shared caches may not keep it"],
  ["mustRevalidate", ["staleWhileRevalidateSeconds", "staleIfErrorSeconds"], "it is never used stale"],
];

/** What is wrong with a rule; empty where nothing is. */
export function cacheRuleFaults(rule: CacheRule, prefix: string): FieldError[] {
  const found = faults<CacheRule>(rule, {
    glob: matching(/^\//, 'a glob that starts with "/"', 1024),
    maxAgeSeconds: seconds,
    sharedMaxAgeSeconds: seconds,
    staleWhileRevalidateSeconds: seconds,
    staleIfErrorSeconds: seconds,
    cdnMaxAgeSeconds: seconds,
  }, prefix);
  for (const [field, others, why] of conflicts) {
    const beside = isSet(rule, field) ? others.filter((other) => isSet(rule, other)) : [];
    if (beside.length > 0) {
      found.push({ field: prefix + field, detail: `must have no ${beside.join(", ")} beside it: ${why}` });
    }
  }
  if (rule.immutable && !rule.contentAddressed && rule.maxAgeSeconds === 0) {
    found.push({
      field: `${prefix}immutable`,
      detail: "must have a maxAgeSeconds beside it: it holds while fresh only",
    });
  }
  return found;
}

/** A CDN's, or a shared cache's, lifetime of 0 is one; elsewhere 0 is none. */
function isSet(rule: CacheRule, field: Name): boolean {
  const value = rule[field];
  return field === "sharedMaxAgeSeconds" || field === "cdnMaxAgeSeconds" ? value !== undefined : Boolean(value);
}
