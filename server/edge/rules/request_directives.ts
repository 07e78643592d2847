/** What a request asks of caches (RFC 9111 §5.2.1, RFC 5861 §4). */
import { memo } from "../../serve/memo.ts";
import { deltaSeconds, type Directive, parseDirectives } from "./directives.ts";
import { joined } from "../../../runtime/http1/lines.ts";
import type { Lines } from "./types.ts";

/** Times in milliseconds; null where the request says nothing. */
export interface RequestDirectives {
  readonly noCache: boolean;
  readonly noStore: boolean;
  readonly onlyIfCached: boolean;
  readonly maxAgeMs: number | null;
  readonly minFreshMs: number | null;
  /** Infinity where any staleness will do. */
  readonly maxStaleMs: number | null;
  readonly staleIfErrorMs: number | null;
}

const silent: RequestDirectives = {
  noCache: false,
  noStore: false,
  onlyIfCached: false,
  maxAgeMs: null,
  minFreshMs: null,
  maxStaleMs: null,
  staleIfErrorMs: null,
};
const reload: RequestDirectives = { ...silent, noCache: true };
const read = memo(readText);

/**
 * The directives of a request. They are wishes: one that is malformed is passed over. Pragma counts only where there is
 * no Cache-Control (§5.4).
 */
export function requestDirectives(fields: Lines): RequestDirectives {
  const text = joined(fields, "cache-control");
  if (text !== null) return text.length <= 256 ? read(text) : readText(text);
  const pragma = joined(fields, "pragma");
  if (pragma === null) return silent;
  return parseDirectives(pragma).some(({ name }) => name === "no-cache") ? reload : silent;
}

/** True where a request wants nothing but what is stored (§5.2.1.7). */
export function isOnlyIfCached(fields: Lines): boolean {
  return requestDirectives(fields).onlyIfCached;
}

/** True where a request wants that nothing of its answer is kept (§5.2.1.5). */
export function isNoStore(fields: Lines): boolean {
  return requestDirectives(fields).noStore;
}

function readText(text: string): RequestDirectives {
  const directives = parseDirectives(text);
  const has = (wanted: string) => directives.some(({ name }) => name === wanted);
  return {
    noCache: has("no-cache"),
    noStore: has("no-store"),
    onlyIfCached: has("only-if-cached"),
    maxAgeMs: least(times(directives, "max-age")),
    minFreshMs: times(directives, "min-fresh").reduce<number | null>((a, b) => Math.max(a ?? 0, b), null),
    maxStaleMs: least(directives.flatMap(({ name, argument }) => {
      if (name !== "max-stale") return [];
      return argument === null ? [Infinity] : deltaSeconds(argument) ?? [];
    })),
    staleIfErrorMs: least(times(directives, "stale-if-error")),
  };
}

function times(directives: readonly Directive[], wanted: string): number[] {
  return directives.flatMap(({ name, argument }) => name === wanted ? deltaSeconds(argument) ?? [] : []);
}

function least(values: number[]): number | null {
  return values.length === 0 ? null : Math.min(...values);
}
