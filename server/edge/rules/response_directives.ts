/**
 * What an origin tells us about its response: by CDN-Cache-Control where that is valid and not empty (RFC 9213 §2.2), which
 * then stands for Cache-Control and Expires; else by Cache-Control. CDN-Cache-Control goes on to viewers: further CDN
 * caches may stand before them (RFC 9213 §3.1).
 */
import { parseDictionary, Token } from "structured-headers";
import { memo } from "../../serve/memo.ts";
import { type Directive, parseDirectives, shortest } from "./directives.ts";
import { isToken, joined } from "../../../runtime/http1/lines.ts";
import type { Lines } from "./types.ts";

/** Times in milliseconds. */
export interface ResponseDirectives {
  readonly noStore: boolean;
  readonly noCache: boolean;
  readonly private: boolean;
  readonly public: boolean;
  readonly mustUnderstand: boolean;
  readonly mustRevalidate: boolean;
  /** Never sent stale: must-revalidate, proxy-revalidate, and s-maxage, which implies it (RFC 9111 §5.2.2.10). */
  readonly forbidsStale: boolean;
  readonly sMaxAge: boolean;
  /** By s-maxage, else max-age: 0 where that is malformed; null without either. */
  readonly lifetimeMs: number | null;
  readonly staleWhileRevalidateMs: number;
  readonly staleIfErrorMs: number | null;
  /** Fields that `private="…"` and `no-cache="…"` name: the response may be kept and sent without them. */
  readonly withheld: readonly string[];
  /** Expires counts for nothing. */
  readonly targeted: boolean;
}

/** What our decisions go by. A response cannot be kept without them, nor can they be meant for one connection. */
export const DEPENDED_ON: ReadonlySet<string> = new Set([
  "age",
  "cache-control",
  "cdn-cache-control",
  "content-encoding",
  "content-range",
  "content-type",
  "date",
  "etag",
  "expires",
  "last-modified",
  "location",
  "vary",
]);

/** The directives that have a time, those that may name fields; the others have no argument. */
const TIMES = new Set(["max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"]);
const NAMING = new Set(["no-cache", "private"]);

const plain = memo((text: string) => collect(parseDirectives(text), false));
const targeted = memo((text: string) => ({ directives: readTargeted(text) }));

/** The directives of a response that hold for us. */
export function responseDirectives(fields: Lines): ResponseDirectives {
  const target = joined(fields, "cdn-cache-control");
  if (target !== null) {
    const directives = target.length <= 512 ? targeted(target).directives : readTargeted(target);
    if (directives) return directives;
  }
  const text = joined(fields, "cache-control") ?? "";
  return text.length <= 512 ? plain(text) : collect(parseDirectives(text), false);
}

/** A dictionary of RFC 9651; null where it is empty or none. A member whose value has the wrong type is passed over. */
function readTargeted(text: string): ResponseDirectives | null {
  let dictionary;
  try {
    dictionary = parseDictionary(text);
  } catch {
    return null;
  }
  if (dictionary.size === 0) return null;
  const directives: Directive[] = [];
  for (const [name, [value]] of dictionary) {
    if (TIMES.has(name)) {
      // The library reads 60.0 as 60; a decimal is none of the types that a time may have.
      const decimal = text.includes(".") && new RegExp(`${name}=\\d+\\.`).test(text);
      if (Number.isInteger(value) && !decimal) directives.push({ name, argument: String(value) });
    } else if (value === true) directives.push({ name, argument: null });
    else if (NAMING.has(name)) {
      if (typeof value === "string") directives.push({ name, argument: value });
      else if (value instanceof Token) directives.push({ name, argument: value.toString() });
    }
  }
  return collect(directives, true);
}

function collect(directives: readonly Directive[], isTargeted: boolean): ResponseDirectives {
  const has = (wanted: string) => directives.some(({ name }) => name === wanted);
  const withheld: string[] = [];
  const unqualified = (wanted: string) => {
    let whole = false;
    for (const { name, argument } of directives) {
      if (name !== wanted) continue;
      const names = fieldNames(argument);
      if (names === null) whole = true;
      else withheld.push(...names);
    }
    return whole;
  };
  const sMaxAgeMs = shortest(directives, "s-maxage");
  const mustRevalidate = has("must-revalidate");
  return {
    noStore: has("no-store"),
    noCache: unqualified("no-cache"),
    private: unqualified("private"),
    public: has("public"),
    mustUnderstand: has("must-understand"),
    mustRevalidate,
    forbidsStale: mustRevalidate || has("proxy-revalidate") || sMaxAgeMs !== null,
    sMaxAge: sMaxAgeMs !== null,
    lifetimeMs: sMaxAgeMs ?? shortest(directives, "max-age"),
    staleWhileRevalidateMs: shortest(directives, "stale-while-revalidate") ?? 0,
    staleIfErrorMs: shortest(directives, "stale-if-error"),
    withheld,
    targeted: isTargeted,
  };
}

/** The fields that a qualified form names; null where it must be taken for the unqualified one. */
function fieldNames(argument: Directive["argument"]): string[] | null {
  if (!argument) return null;
  const names = argument.toLowerCase().split(",").map((name) => name.trim()).filter((name) => name !== "");
  return names.length > 0 && names.every((name) => isToken(name) && !DEPENDED_ON.has(name)) ? names : null;
}
