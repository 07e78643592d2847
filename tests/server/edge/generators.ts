/** What random histories are made from: requests, and what origins say of their answers. */
import fc from "fast-check";
import type { Field } from "./model.ts";

const SECOND = 1000;

/** A field, or one with a date that counts from when its step is played, in milliseconds. */
export type TimedField = Field | [name: string, afterMs: number];

const few = fc.constantFrom("0", "1", "2", "5", "9");

const responseDirective = fc.oneof(
  { weight: 5, arbitrary: few.map((n) => `max-age=${n}`) },
  { weight: 1, arbitrary: few.map((n) => `s-maxage=${n}`) },
  { weight: 2, arbitrary: few.map((n) => `stale-while-revalidate=${n}`) },
  { weight: 1, arbitrary: few.map((n) => `stale-if-error=${n}`) },
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      "no-store",
      "no-cache",
      "private",
      "public",
      "must-revalidate",
      "proxy-revalidate",
      "Max-Age=9",
      "max-age=x",
      "immutable",
      "foo=bar",
    ),
  },
);
const policy = fc.array(responseDirective, { minLength: 1, maxLength: 3 }).map((list) => list.join(", "));
/** Milliseconds before or after a step. */
export const offset = fc.constantFrom(-100, -20, -2, 0, 2, 9).map((n) => n * SECOND);

/** A field by which an origin says how its answer may be kept. */
export const responseField: fc.Arbitrary<TimedField> = fc.oneof(
  { weight: 6, arbitrary: policy.map((text): Field => ["cache-control", text]) },
  { weight: 1, arbitrary: policy.map((text): Field => ["cdn-cache-control", text]) },
  {
    weight: 2,
    arbitrary: fc.constantFrom("accept-encoding", "x-a", "x-a, Accept-Language", "*").map((v): Field => ["vary", v]),
  },
  { weight: 1, arbitrary: fc.constantFrom("0", "1", "4", "x").map((v): Field => ["age", v]) },
  { weight: 1, arbitrary: offset.map((ms): [string, number] => ["expires", ms]) },
  { weight: 1, arbitrary: fc.constant<Field>(["expires", "0"]) },
  { weight: 1, arbitrary: offset.map((ms): [string, number] => ["date", ms]) },
  { weight: 1, arbitrary: fc.constant<Field>(["location", "/b"]) },
);

/** A field of a request by which it is told from others, or says what it wishes of caches. */
export const requestField: fc.Arbitrary<Field> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.constantFrom("gzip", "gzip, br", "BR ,gzip", "br;q=0.5").map((v): Field => ["accept-encoding", v]),
  },
  { weight: 2, arbitrary: fc.constantFrom("en", "en, de", "DE, en").map((v): Field => ["accept-language", v]) },
  { weight: 2, arbitrary: fc.constantFrom("1", "2").map((v): Field => ["x-a", v]) },
  { weight: 1, arbitrary: fc.constant<Field>(["authorization", "x"]) },
  { weight: 1, arbitrary: fc.constant<Field>(["pragma", "no-cache"]) },
  {
    weight: 3,
    arbitrary: fc.tuple(
      fc.constantFrom("max-age", "max-stale", "min-fresh", "stale-if-error", "no-cache", "no-store", "only-if-cached"),
      few,
    ).map((
      [name, n],
    ): Field => ["cache-control", name.startsWith("no") || name.startsWith("only") ? name : `${name}=${n}`]),
  },
  { weight: 1, arbitrary: fc.constant<Field>(["cache-control", "max-stale"]) },
);

/** One field of each name. */
export const once = { selector: ([name]: readonly [string, unknown]) => name };
