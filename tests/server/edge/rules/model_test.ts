/** Random histories: nothing is served that the RFC forbids, and a judge that can be trusted to see it. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import * as rules from "../../../../server/edge/rules/mod.ts";
import { offset, once, requestField, responseField, type TimedField } from "../generators.ts";
import { type Asked, type Field, forbidden } from "../model.ts";
import { httpDate, NOW, SECOND, SETTINGS } from "./kit.ts";
import { type Behaviour, type Rules, SimpleCache } from "./simple_cache.ts";

interface Step {
  waitMs: number;
  asked: Omit<Asked, "fields"> & { fields: TimedField[] };
  behaviour: Omit<Behaviour, "fields"> & { fields: TimedField[] };
}

const settings = { ...SETTINGS, staleOnErrorMs: 3 * SECOND };
const plainField: fc.Arbitrary<TimedField> = fc.oneof(
  { weight: 14, arbitrary: responseField },
  { weight: 1, arbitrary: offset.map((ms): [string, number] => ["last-modified", ms]) },
);
const askedField: fc.Arbitrary<Field> = fc.oneof(
  { weight: 12, arbitrary: requestField },
  { weight: 3, arbitrary: fc.constantFrom("bytes=0-4", "bytes=5-9").map((v): Field => ["range", v]) },
);
const condition: fc.Arbitrary<TimedField> = fc.oneof(
  fc.constantFrom('"1"', 'W/"2", "3"', '"4","2"', "*").map((v): Field => ["if-none-match", v]),
  offset.map((ms): [string, number] => ["if-modified-since", ms]),
  fc.constantFrom('"1"', '"2"', '"3"').map((v): Field => ["if-range", v]),
);

const step: fc.Arbitrary<Step> = fc.record({
  waitMs: fc.constantFrom(0, 1, 400, 1000, 1999, 2000, 5000),
  asked: fc.record({
    method: fc.constantFrom("GET", "GET", "GET", "GET", "GET", "GET", "HEAD", "POST"),
    target: fc.constantFrom("/a", "/a", "/a", "/b"),
    fields: fc.uniqueArray(fc.oneof({ weight: 8, arbitrary: askedField }, { weight: 1, arbitrary: condition }), {
      ...once,
      maxLength: 3,
    }),
  }),
  behaviour: fc.record({
    status: fc.constantFrom(200, 200, 200, 200, 404, 302, 503, 304),
    fields: fc.uniqueArray(plainField, { ...once, minLength: 1, maxLength: 4 }),
    changes: fc.boolean(),
    takesMs: fc.constantFrom(0, 0, 0, 700, 2000),
  }),
});

/** Plays a history; what was wrong in it, and how much was served from the cache. */
function play(steps: Step[], by: Rules): { wrong: string[]; served: number } {
  const cache = new SimpleCache(by, settings);
  let nowMs = NOW + 123;
  for (const { waitMs, asked, behaviour } of steps) {
    nowMs += waitMs;
    const at = nowMs;
    const timed = (fields: TimedField[]) =>
      fields.map(([name, value]): Field => [name, typeof value === "number" ? httpDate(at + value) : value]);
    const request = { ...asked, fields: timed(asked.fields) };
    nowMs = cache.handle(request, nowMs, { ...behaviour, fields: timed(behaviour.fields) });
  }
  const wrong = cache.served.flatMap(({ served, before }) =>
    forbidden(cache.history.slice(0, before), served, settings) ?? []
  );
  return { wrong, served: cache.served.length };
}

const histories = fc.array(step, { minLength: 2, maxLength: 14 });

Deno.test("nothing is served that RFC 9111 forbids", () => {
  let served = 0;
  fc.assert(
    fc.property(histories, (steps) => {
      const played = play(steps, rules);
      served += played.served;
      assertEquals(played.wrong, []);
    }),
    { numRuns: 4000 },
  );
  assert(served > 1000, `only ${served} answers came from the cache`);
});

/** Response fields without a directive, before the rules see them. */
function without(directive: RegExp) {
  return <Head extends { fields: readonly Field[] }>(head: Head): Head => ({
    ...head,
    fields: head.fields.map((
      [name, value],
    ): Field => [name, /control$/.test(name) ? value.replace(directive, "x") : value]),
  });
}

const drop = (name: string) => <Head extends { fields: readonly Field[] }>(head: Head): Head => ({
  ...head,
  fields: head.fields.filter(([known]) => known !== name),
});

/** The rules as they would be if they did not see something of a response, or of a request. */
function blindTo(response: <H extends { fields: readonly Field[] }>(head: H) => H): Rules {
  return {
    ...rules,
    judgeStorage: (request, received, s) => rules.judgeStorage(request, response(received), s),
    toStored: (request, received, times) => rules.toStored(request, response(received), times),
    freshen: (stored, received, times) => rules.freshen(stored, response(received), times),
  };
}

function deafTo(request: <H extends { fields: readonly Field[] }>(head: H) => H): Rules {
  return {
    ...rules,
    judgeStorage: (asked, received, s) => rules.judgeStorage(request(asked), received, s),
    decide: (asked, stored, nowMs, s) => rules.decide(request(asked), stored, nowMs, s),
  };
}

const wrongRules: Record<string, Rules> = {
  "stale for a second counts as fresh": {
    ...rules,
    decide: (asked, stored, nowMs, s) => rules.decide(asked, stored, nowMs - SECOND, s),
  },
  "stale on error as long as one likes": {
    ...rules,
    decide: (asked, stored, nowMs, s) => rules.decide(asked, stored, nowMs, { ...s, staleOnErrorMs: 1e9 }),
  },
  "the guess is too long": {
    ...rules,
    decide: (asked, stored, nowMs, s) => rules.decide(asked, stored, nowMs, { ...s, heuristicShare: 0.5 }),
  },
  "a response without freshness is fresh": {
    ...rules,
    toStored: (asked, received, times) =>
      rules.toStored(asked, {
        ...received,
        fields: [...received.fields, ["cache-control", "max-age=3"]],
      }, times),
  },
  "each condition is met": { ...rules, conditionOf: () => "not-modified" },
  "If-Modified-Since goes before If-None-Match": {
    ...rules,
    conditionOf: (asked, stored) => rules.conditionOf(drop("if-none-match")(asked), stored),
  },
  "all parts are of one representation": { ...rules, sameRepresentation: () => true },
  "If-Range is not seen": { ...rules, rangeHolds: () => true },
  "a write invalidates nothing": { ...rules, invalidatedBy: () => [] },
  "a write invalidates only its own target": {
    ...rules,
    invalidatedBy: (request, received) => rules.invalidatedBy(request, received).slice(0, 1),
  },
  "everything is stored": { ...rules, judgeStorage: () => ({ store: true }) },
  "the age starts anew": {
    ...rules,
    answerFields: (stored) => rules.answerFields(stored, stored.responseMs),
  },
  "a 304 changes nothing but the time": {
    ...rules,
    freshen: (stored, _received, times) => ({ ...stored, ...times }),
  },
  "the first that is stored will do": {
    ...rules,
    toStored: (asked, received, times) => rules.toStored(asked, drop("vary")(received), times),
  },
  "no-cache is not seen": blindTo(without(/no-cache/)),
  "no-store is not seen": blindTo(without(/no-store/)),
  "private is not seen": blindTo(without(/private/)),
  "must-revalidate is not seen": blindTo(without(/must-revalidate/)),
  "s-maxage is not seen": blindTo(without(/s-maxage/)),
  "Age is not seen": blindTo(drop("age")),
  "Expires is not seen": blindTo(drop("expires")),
  "CDN-Cache-Control is not seen": blindTo(drop("cdn-cache-control")),
  "Authorization is not seen": deafTo(drop("authorization")),
  "Pragma is not seen": deafTo(drop("pragma")),
  "the request's max-age is not seen": deafTo(without(/max-age/)),
  "the request's min-fresh is not seen": deafTo(without(/min-fresh/)),
  "the request's no-store is not seen": deafTo(without(/no-store/)),
  "the request's no-cache is not seen": deafTo(without(/no-cache/)),
};

for (const [name, wrong] of Object.entries(wrongRules)) {
  Deno.test(`the judge sees it where ${name}`, () => {
    const { failed } = fc.check(fc.property(histories, (steps) => play(steps, wrong).wrong.length === 0), {
      numRuns: 20_000,
      endOnFailure: true,
      seed: 1,
    });
    assert(failed);
  });
}
