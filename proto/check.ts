/**
 * Rules that a message's types cannot say. `rules.ts` has one set for each kind of message; every
 * {@link Codec} applies them, so that nothing unchecked gets past the door.
 */
import { badRequest, type FieldError } from "./error.ts";

/** Says what would be right where the value is wrong; null where it is right. */
export type Rule<T> = (value: T) => string | null;

/** A rule for some of a message's fields. */
export type Rules<T> = { [Field in keyof T]?: Rule<T[Field]> };

/** The faults of one message: each rule is asked, none stops the next. */
export function faults<T>(message: T, rules: Rules<T>, prefix = ""): FieldError[] {
  const found: FieldError[] = [];
  for (const field in rules) {
    const detail = rules[field]!(message[field]);
    if (detail !== null) found.push({ field: prefix + field, detail });
  }
  return found;
}

/** @throws {CdnError} 400 that names each fault, unless there is none. */
export function refuse(kind: string, found: FieldError[]): void {
  if (found.length === 0) return;
  const text = found.slice(0, 5).map(({ field, detail }) => `${field} ${detail}`).join("; ");
  throw badRequest(`Malformed ${kind}: ${text}`, { fields: found.slice(0, 50) });
}

/** A whole number of at least `least` and at most `most` (2^53 - 1 unless told). */
export function between(least: number, most = Number.MAX_SAFE_INTEGER): Rule<bigint | number | undefined> {
  return (value) =>
    value === undefined || (value >= least && value <= most) ? null : `must be a whole number from ${least} to ${most}`;
}

/** Text of at most `most` characters that matches a pattern. */
export function matching(pattern: RegExp, what: string, most = 256): Rule<string> {
  return (value) => value.length <= most && pattern.test(value) ? null : `must be ${what}`;
}

/** The empty text, or what the rule takes. */
export function optional(rule: Rule<string>): Rule<string> {
  return (value) => value === "" ? null : rule(value);
}

/** Text of at most `most` characters, without control characters. */
export function text(most: number): Rule<string> {
  return (value) =>
    value.length <= most && !/\p{Cc}/u.test(value) && value.isWellFormed()
      ? null
      : `must be at most ${most} characters, none of them a control character`;
}

/** A list of at most `most` entries. */
export function atMost<T>(most: number): Rule<readonly T[]> {
  return (value) => value.length <= most ? null : `must have at most ${most} entries`;
}
