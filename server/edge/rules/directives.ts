/**
 * Cache directives as they stand in a field (RFC 9111 §5.2): names without regard to case, arguments as tokens or quoted
 * strings. Reading never fails: what is no directive is passed over, and an argument that is wrong is known to be so.
 */
import { isToken } from "../../../runtime/http1/lines.ts";
import { members } from "./lists.ts";

/** What stands after the "=", unquoted; null where there is nothing; undefined where it is neither token nor string. */
export type Argument = string | null | undefined;

/** A directive, its name in lower case. */
export interface Directive {
  name: string;
  argument: Argument;
}

/** The longest time that is told apart from longer ones, in seconds (RFC 9111 §1.2.2). */
export const MOST_SECONDS = 2 ** 31;

/** The directives of a Cache-Control field. */
export function parseDirectives(text: string): Directive[] {
  const directives: Directive[] = [];
  for (const member of members(text)) {
    const name = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+/.exec(member)?.[0];
    if (name) directives.push({ name: name.toLowerCase(), argument: argumentOf(member.slice(name.length)) });
  }
  return directives;
}

function argumentOf(rest: string): Argument {
  if (rest === "") return null;
  if (rest[0] !== "=") return undefined;
  const text = rest.slice(1);
  if (isToken(text)) return text;
  const quoted = /^"((?:[^"\\]|\\.)*)"$/s.exec(text)?.[1];
  return quoted?.replace(/\\(.)/gs, "$1");
}

/** delta-seconds in milliseconds, too large ones cut; null for anything else. */
export function deltaSeconds(text: Argument): number | null {
  return typeof text === "string" && /^\d+$/.test(text) ? Math.min(Number(text), MOST_SECONDS) * 1000 : null;
}

/**
 * The time that the directives of a name give, in milliseconds: the shortest of several (RFC 9111 §4.2.1), 0 where one is
 * malformed, null without any.
 */
export function shortest(directives: readonly Directive[], name: string): number | null {
  let least: number | null = null;
  for (const directive of directives) {
    if (directive.name !== name) continue;
    least = Math.min(least ?? Infinity, deltaSeconds(directive.argument) ?? 0);
  }
  return least;
}
