import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { jsonCodec, protobufCodec, wire } from "../../proto/mod.ts";
import { GB, sampleSheet, startPricing, type TestPricing } from "./kit.ts";

const PATH = "/-/v1/prices/cloud/here-1";
const codecs = [jsonCodec, protobufCodec];

type Init = Parameters<typeof sampleSheet>[0];

/** What is wrong, how a sheet looks that has it, and the fields that the answer must name. */
const malformed: [what: string, init: Init, fields: string[]][] = [
  ["no tier at all", { tiers: [] }, ["tiers"]],
  [
    "more tiers than anybody has",
    { tiers: [...Array.from({ length: 32 }, (_, at) => ({ upToBytes: BigInt(at + 1), nanoPerUnit: 1n })), {}] },
    ["tiers"],
  ],
  ["no last tier", { tiers: [{ upToBytes: GB, nanoPerUnit: 1n }] }, ["tiers[0].upToBytes"]],
  ["a gap: an endless tier before the last", { tiers: [{ nanoPerUnit: 1n }, { nanoPerUnit: 2n }] }, [
    "tiers[0].upToBytes",
  ]],
  ["unsorted tiers", {
    tiers: [{ upToBytes: 9n * GB, nanoPerUnit: 3n }, { upToBytes: 5n * GB, nanoPerUnit: 2n }, { nanoPerUnit: 1n }],
  }, ["tiers[1].upToBytes"]],
  ["the same bound twice", {
    tiers: [{ upToBytes: GB, nanoPerUnit: 3n }, { upToBytes: GB, nanoPerUnit: 2n }, { nanoPerUnit: 1n }],
  }, ["tiers[1].upToBytes"]],
  ["an empty first tier", { tiers: [{ upToBytes: 0n, nanoPerUnit: 3n }, { nanoPerUnit: 1n }] }, ["tiers[0].upToBytes"]],
  ["a negative price", { tiers: [{ nanoPerUnit: -1n }] }, ["tiers[0].nanoPerUnit"]],
  ["an absurd price", { tiers: [{ nanoPerUnit: 10n ** 15n + 1n }] }, ["tiers[0].nanoPerUnit"]],
  ["a unit that nobody bills by", { unitBytes: 1_000_000n }, ["unitBytes"]],
  ["no unit", { unitBytes: 0n }, ["unitBytes"]],
  ["an absurd allowance", { freeBytes: 2n ** 63n }, ["freeBytes"]],
  ["no pool", { pool: wire.Pool.POOL_UNSPECIFIED }, ["pool"]],
  ["an unknown pool", { pool: 9 as wire.Pool }, ["pool"]],
  ["no confidence", { confidence: wire.Confidence.CONFIDENCE_UNSPECIFIED }, ["confidence"]],
  ["a currency without its rate", { currency: "EUR" }, ["nanoUsdPerCurrency"]],
  ["a negative rate", { currency: "EUR", nanoUsdPerCurrency: -5n }, ["nanoUsdPerCurrency"]],
  ["dollars that are worth more than a dollar", { currency: "USD", nanoUsdPerCurrency: 2_000_000_000n }, [
    "nanoUsdPerCurrency",
  ]],
  ["a currency that is none", { currency: "euro", nanoUsdPerCurrency: 1n }, ["currency"]],
  ["a negative server cost", { serverNanoPerHour: -1n }, ["serverNanoPerHour"]],
  ["an absurd expectation", { expectedBytesPerHour: 2n ** 60n }, ["expectedBytesPerHour"]],
  ["a day that does not exist", { asOf: "2026-02-30" }, ["asOf"]],
  ["a control character", { note: "a\u0007b" }, ["note"]],
  ["a source without end", { source: "x".repeat(513) }, ["source"]],
  ["several faults at once", { unitBytes: 5n, freeBytes: 2n ** 60n, tiers: [{ upToBytes: 1n, nanoPerUnit: -7n }] }, [
    "unitBytes",
    "freeBytes",
    "tiers[0].nanoPerUnit",
    "tiers[0].upToBytes",
  ]],
];

/** The old sheet must stay as it is, byte for byte. */
async function unchanged(pricing: TestPricing, work: () => Promise<void>): Promise<void> {
  const before = await pricing.read("/-/v1/prices", wire.SheetListSchema);
  await work();
  assertEquals(await pricing.read("/-/v1/prices", wire.SheetListSchema), before);
}

for (const codec of codecs) {
  for (const [what, init, fields] of malformed) {
    Deno.test(`a sheet with ${what} is refused, and the old one stays (${codec.encoding})`, async () => {
      using pricing = startPricing({ seed: [sampleSheet({ note: "old" })] });
      await unchanged(pricing, async () => {
        const message = sampleSheet(init);
        const response = await pricing.ask(PATH, { method: "PUT", codec, message: [wire.SheetSchema, message] });
        assertEquals([response.status, response.headers.get("content-type")], [400, "application/problem+json"]);
        const problem = await response.json() as { detail: string; errors: { field: string }[] };
        const named = problem.errors.map(({ field }) => field);
        assertEquals(named.toSorted(), fields.toSorted());
        for (const field of fields.slice(0, 5)) assertStringIncludes(problem.detail, field);
      });
    });
  }
}

Deno.test("JSON that is no sheet is refused, and the answer says where", async () => {
  using pricing = startPricing({ seed: [sampleSheet()] });
  const table: [raw: string, words: string][] = [
    ["", "Malformed Sheet"],
    ["{", "Malformed Sheet"],
    ["[]", "Sheet"],
    ["null", "Sheet"],
    ['{"freeBytes":-1}', "free_bytes"],
    ['{"freeBytes":1.5}', "free_bytes"],
    ['{"freeBytes":"99999999999999999999999"}', "free_bytes"],
    ['{"pool":"GALAXY"}', "Pool"],
    ['{"tiers":{"nanoPerUnit":1}}', "tiers"],
    ['{"tiers":[null]}', "tiers"],
    ['{"tiers":[{"upTo":1}]}', "upTo"],
    ['{"price":1}', "price"],
  ];
  await unchanged(pricing, async () => {
    for (const [raw, words] of table) {
      const response = await pricing.ask(PATH, { method: "PUT", raw });
      assertEquals(response.status, 400, raw);
      assertStringIncludes((await response.json()).detail, words);
    }
  });
});

Deno.test("another type is refused with the list of those that are taken; too much is refused", async () => {
  using pricing = startPricing();
  const typed = (type: string) => pricing.ask(PATH, { method: "PUT", raw: "{}", headers: { "content-type": type } });
  const response = await typed("text/csv");
  assertEquals([response.status, response.headers.get("accept")], [415, "application/json, application/protobuf"]);
  const raw = new Uint8Array((1 << 20) + 1);
  for (const path of ["/-/v1/quotes", "/-/v1/usage"]) {
    assertEquals((await pricing.ask(path, { raw })).status, 413, path);
    assertEquals((await pricing.ask(path, { raw: "{}", headers: { "content-type": "text/csv" } })).status, 415, path);
  }
  assertEquals((await pricing.ask(PATH, { method: "PUT", raw })).status, 413);
});

Deno.test("a path that cannot name a sheet is refused", async () => {
  using pricing = startPricing();
  const long = "x".repeat(65);
  for (const path of ["aws/..%2f", "%00/x", "-aws/x", `aws/${long}`, "%zz/x", "aws/%C3%A9"]) {
    const response = await pricing.ask(`/-/v1/prices/${path}`);
    assertEquals(response.status, 400, path);
    assert((await response.json()).errors.length > 0);
  }
});

Deno.test("malformed quotes, reports and queries name the field, and no count changes", async () => {
  using pricing = startPricing();
  const place = { provider: "cloud", region: "here-1", server: "a" };
  const bad: [path: string, body: unknown, field: string][] = [
    ["/-/v1/quotes", { bytes: "9007199254740992", places: [] }, "bytes"],
    ["/-/v1/quotes", { bytes: 1, places: [{ ...place, region: "" }] }, "places[0].region"],
    ["/-/v1/quotes", { bytes: 1, places: [place, { ...place, server: "a b" }] }, "places[1].server"],
    ["/-/v1/quotes", { bytes: 1, places: Array(1001).fill(place) }, "places"],
    ["/-/v1/usage", { reporter: "", month: "2026-11" }, "reporter"],
    ["/-/v1/usage", { reporter: "p", month: "2026-13" }, "month"],
    ["/-/v1/usage", { reporter: "p", month: "9999-12" }, "month"],
    ["/-/v1/usage", { reporter: "p", month: "2026-11", counts: [{ bytes: 1 }] }, "counts[0].place"],
    ["/-/v1/usage", { reporter: "p", month: "2026-11", counts: [{ place, bytes: 5 }, { place, bytes: "1e300" }] }, ""],
    ["/-/v1/usage", { reporter: "p", month: "2026-11", counts: [{ place, bytes: 5 }, { place: {} }] }, "counts[1]"],
  ];
  for (const [path, body, field] of bad) {
    const response = await pricing.ask(path, { raw: JSON.stringify(body) });
    assertEquals(response.status, 400, JSON.stringify(body).slice(0, 100));
    assertStringIncludes((await response.json()).detail, field);
  }
  const month = await pricing.ask("/-/v1/usage?month=november");
  assertEquals([month.status, (await month.json()).errors[0].field], [400, "month"]);
  assertEquals((await pricing.read("/-/v1/usage", wire.UsageListSchema)).counts, []);
});

const endpoints: [method: string, path: string][] = [
  ["PUT", PATH],
  ["POST", "/-/v1/quotes"],
  ["POST", "/-/v1/usage"],
];

Deno.test("no bytes make a 500, in either encoding", async () => {
  using pricing = startPricing();
  const valid = [
    protobufCodec.encode(wire.SheetSchema, sampleSheet()),
    jsonCodec.encode(wire.SheetSchema, sampleSheet()),
    protobufCodec.encode(
      wire.QuoteRequestSchema,
      create(wire.QuoteRequestSchema, { bytes: 5n, places: [{ provider: "aws", region: "us-east-1" }] }),
    ),
  ];
  // Noise, and valid messages with a few bytes changed or the end cut off.
  const damaged = fc.record({
    bytes: fc.constantFrom(...valid),
    changes: fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 }),
    length: fc.nat(400),
  }).map(({ bytes, changes, length }) => {
    const copy = bytes.slice(0, length);
    for (const [at, value] of changes) if (copy.length) copy[at % copy.length] = value;
    return copy;
  });
  const noise = fc.uint8Array({ maxLength: 200 }).map((bytes) => new Uint8Array(bytes));
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(noise, damaged),
      fc.constantFrom(...codecs),
      fc.constantFrom(...endpoints),
      async (raw, codec, [method, path]) => {
        const { status } = await pricing.ask(path, { method, raw, codec });
        assert([200, 201, 400].includes(status), `${status}`);
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("no JSON makes a 500, and whatever sheet is taken can be quoted", async () => {
  using pricing = startPricing();
  const number = fc.oneof(
    fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n }).map(String),
    fc.constantFrom("0", "1000000000", "1073741824", "1", "9007199254740991"),
    fc.double(),
    fc.jsonValue({ maxDepth: 1 }),
  );
  const tier = fc.oneof(fc.record({ upToBytes: number, nanoPerUnit: number }), fc.record({ nanoPerUnit: number }));
  const sheet = fc.record({
    unitBytes: fc.oneof({ weight: 5, arbitrary: fc.constant("1000000000") }, { weight: 1, arbitrary: number }),
    tiers: fc.oneof(fc.array(tier, { maxLength: 4 }), fc.constant([{ nanoPerUnit: "1000000000000000" }])),
    freeBytes: number,
    pool: fc.oneof(fc.constantFrom("REGION", "PROVIDER", "SERVER"), number),
    confidence: fc.oneof(fc.constantFrom("LOW", "HIGH"), number),
    currency: fc.oneof(fc.constantFrom("", "EUR", "USD"), fc.string()),
    nanoUsdPerCurrency: number,
    serverNanoPerHour: number,
    expectedBytesPerHour: number,
    note: fc.string({ unit: "grapheme" }),
  }, { requiredKeys: ["unitBytes", "tiers", "pool", "confidence"] });
  const request = create(wire.QuoteRequestSchema, {
    bytes: 2n ** 53n - 1n,
    places: [{ provider: "cloud", region: "here-1" }],
  });
  await fc.assert(
    fc.asyncProperty(sheet, async (json) => {
      const { status } = await pricing.ask(PATH, { method: "PUT", raw: JSON.stringify(json) });
      assert([200, 201, 400].includes(status), `${status}`);
      for (const codec of codecs) {
        const quotes = await pricing.ask("/-/v1/quotes", { codec, message: [wire.QuoteRequestSchema, request] });
        assertEquals(quotes.status, 200);
      }
    }),
    { numRuns: 300 },
  );
});
