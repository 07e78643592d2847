/** Random stories: no edge gives an answer that the RFC forbids, or that is not what the origin has sent. */
import { assert } from "@std/assert";
import fc from "fast-check";
import type { Cache } from "../../../server/edge/cache/cache.ts";
import type { TieredEntry } from "../../../server/edge/cache/entry.ts";
import { TieredCache } from "../../../server/edge/cache/tiered_cache.ts";
import { offset, once, requestField, responseField, type TimedField } from "./generators.ts";
import type { Field } from "./model.ts";
import { type Step, Story } from "./story.ts";
import { type Count, wrongIn } from "./story_judge.ts";
import { type Behaviour, dateOf } from "./story_origin.ts";

const number = fc.constantFrom(1, 2, 3, 4, 5, 6);
const range = fc.constantFrom(
  "bytes=0-4",
  "bytes=5-9",
  "bytes=-7",
  "bytes=65536-",
  "bytes=70000-140000",
  "bytes=100-199999",
  "bytes=0-0,200-299",
  "bytes=70000-70009, 1-9,5-12,-5",
  "bytes=9999999-",
);
const validator = fc.oneof(number.map((n) => `"${n}"`), number.map((n) => `W/"${n}"`));
const askedField: fc.Arbitrary<TimedField> = fc.oneof(
  { weight: 6, arbitrary: requestField },
  { weight: 5, arbitrary: range.map((v): Field => ["range", v]) },
  { weight: 1, arbitrary: validator.map((v): Field => ["if-none-match", v]) },
  { weight: 1, arbitrary: fc.tuple(validator, validator).map((v): Field => ["if-none-match", v.join(", ")]) },
  { weight: 1, arbitrary: fc.oneof(validator, number.map(dateOf)).map((v): Field => ["if-range", v]) },
  {
    weight: 1,
    arbitrary: fc.oneof(offset, number.map(dateOf)).map((v): TimedField => ["if-modified-since", v as string]),
  },
  { weight: 1, arbitrary: validator.map((v): Field => ["if-match", v]) },
);
const plainFields: fc.Arbitrary<TimedField[]> = fc.constantFrom(
  [["cache-control", "max-age=60"]],
  [["cache-control", "max-age=2"]],
  [["cache-control", "max-age=1, stale-while-revalidate=60"]],
  [["cache-control", "max-age=60"], ["vary", "x-a"]],
  [["cache-control", "max-age=60"], ["surrogate-key", "t"]],
  [["cache-control", "no-cache"]],
);
const policyFields = fc.uniqueArray(
  fc.oneof(
    { weight: 14, arbitrary: responseField },
    { weight: 1, arbitrary: fc.constant<Field>(["surrogate-key", "t"]) },
  ),
  { ...once, minLength: 1, maxLength: 4 },
);
const rarely = fc.constantFrom(false, false, false, false, false, true);

const wild: fc.Arbitrary<Behaviour> = fc.record({
  status: fc.constantFrom(200, 200, 200, 200, 200, 200, 404, 302),
  fields: fc.oneof({ weight: 3, arbitrary: plainFields }, { weight: 2, arbitrary: policyFields }),
  fault: fc.constantFrom<Behaviour["fault"]>("", "", "", "", "", "", "", "down", "503", "breaks"),
  changes: fc.constantFrom(false, false, true),
  becomes: fc.record({
    length: fc.oneof(
      { weight: 9, arbitrary: fc.constantFrom(10, 1000, 150_000, 250_000) },
      { weight: 2, arbitrary: fc.constantFrom(0, 1, 65_536, 700_000, 1_500_000) },
    ),
    validator: fc.constantFrom("strong", "strong", "strong", "both", "weak", "date", "none"),
  }),
  early: fc.boolean(),
  takesMs: fc.constantFrom(0, 0, 0, 700, 2000),
  atOnce: fc.constantFrom(0, 5, 70_000, 1e9),
  unknownLength: rarely,
  ignoresRanges: rarely,
  ignoresConditions: rarely,
});

/** Most origins are well: what is stored is found, and what comes is shared. */
const tame = fc.tuple(wild, plainFields, rarely).map(([behaviour, fields, changes]): Behaviour => ({
  ...behaviour,
  status: 200,
  fault: "",
  fields,
  changes,
}));
const behaviour = fc.oneof({ weight: 3, arbitrary: tame }, { weight: 2, arbitrary: wild });

const which = fc.nat(5);
const target = fc.constantFrom("/a", "/a", "/a", "/b");
const soon = rarely;
const asks: fc.Arbitrary<Step> = fc.record({
  kind: fc.constant("ask"),
  method: fc.constantFrom("GET", "GET", "GET", "GET", "GET", "GET", "GET", "HEAD", "POST"),
  target,
  fields: fc.oneof(
    { weight: 4, arbitrary: fc.constant<TimedField[]>([]) },
    { weight: 2, arbitrary: range.map((v): TimedField[] => [["range", v]]) },
    { weight: 4, arbitrary: fc.uniqueArray(askedField, { ...once, maxLength: 3 }) },
  ),
  whole: fc.constantFrom(false, false, true),
  reads: fc.oneof(
    { weight: 4, arbitrary: fc.constant("all" as const) },
    { weight: 1, arbitrary: fc.constant("slow" as const) },
    { weight: 1, arbitrary: fc.constantFrom(0, 10, 100_000) },
  ),
  behaviours: fc.array(behaviour, { minLength: 1, maxLength: 3 }),
  soon,
});
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 16, arbitrary: asks },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("wait"), ms: fc.constantFrom(1, 1000, 1999, 3000), soon }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("head"), which, soon }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("bytes"), which, count: fc.constantFrom(5, 70_000, 1e9), soon }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("read"), which, soon }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("leave"), which, soon }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("purge"),
      selection: fc.constantFrom(
        { keys: ["/a"], prefixes: [], tags: [] },
        { keys: [], prefixes: ["/"], tags: [] },
        { keys: [], prefixes: [], tags: ["t"] },
      ),
      soft: fc.boolean(),
      soon,
    }),
  },
) as fc.Arbitrary<Step>;
const stories = fc.array(step, { minLength: 4, maxLength: 24, size: "max" });

/** Every so many-th write fails, and every read and purge takes a moment. */
class BadCache extends TieredCache {
  #writes = 0;

  override async keep(entry: TieredEntry, offset: number, bytes: Uint8Array): Promise<boolean> {
    await aMoment();
    return ++this.#writes % 3 === 0 ? false : await super.keep(entry, offset, bytes);
  }

  override async read(entry: TieredEntry, offset: number, into: Uint8Array<ArrayBuffer>): Promise<number> {
    await aMoment();
    return await super.read(entry, offset, into);
  }
}

async function aMoment(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await null;
}

const caches: Record<string, { runs: number; loses: boolean; make(): Cache }> = {
  "a cache that has room": {
    runs: 2000,
    loses: false,
    make: () => new TieredCache({ memoryBytes: 64 << 20, largestInMemory: 1 << 20, disk: null }),
  },
  "a tiny cache": {
    runs: 1000,
    loses: true,
    make: () => new TieredCache({ memoryBytes: 200_000, largestInMemory: 100_000, disk: null }),
  },
  "a cache that fails to write": {
    runs: 1000,
    loses: true,
    make: () => new BadCache({ memoryBytes: 64 << 20, largestInMemory: 1000, disk: null }),
  },
};

for (const [name, { runs, loses, make }] of Object.entries(caches)) {
  Deno.test(`an edge with ${name} gives no answer that RFC 9111 forbids`, async () => {
    const count: Count = { stored: 0, hot: 0, shared: 0, own: 0, parts: 0, failed: 0 };
    await fc.assert(
      fc.asyncProperty(stories, async (steps) => {
        await using cache = make();
        const story = new Story(cache);
        await story.play(steps);
        const wrong = wrongIn(story, { loses }, count);
        assert(wrong.length === 0, `${wrong.join("\n")}\n${story.transcript.join("\n")}`);
      }),
      { numRuns: runs },
    );
    for (const [how, often] of Object.entries(count)) assert(often > 0, `no answer was ${how}`);
    assert(count.stored > runs / 5, `only ${count.stored} answers came from the cache`);
  });
}
