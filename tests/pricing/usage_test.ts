import { assertEquals, assertThrows } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { CdnError, wire } from "../../proto/mod.ts";
import { openDatabase } from "../../pricing/database.ts";
import { monthOf } from "../../pricing/usage.ts";
import { GB, NOON, openUsage, sampleSheet, startPricing, temporaryFolder } from "./kit.ts";

const here = { provider: "cloud", region: "here-1", server: "a" };

function report(reporter: string, month: string, ...counts: [Partial<typeof here>, bigint][]): wire.UsageReport {
  return create(wire.UsageReportSchema, {
    reporter,
    month,
    counts: counts.map(([place, bytes]) => ({ place: { ...here, ...place }, bytes })),
  });
}

Deno.test("a report that comes twice, or late, counts once", () => {
  const database = openDatabase(":memory:");
  const usage = openUsage(database);
  const used = () => usage.used("2026-11", wire.Pool.SERVER, create(wire.PlaceSchema, here));
  usage.report(report("p1", "2026-11", [{}, 100n]), NOON);
  usage.report(report("p1", "2026-11", [{}, 100n]), NOON);
  assertEquals(used(), 100n);
  usage.report(report("p1", "2026-11", [{}, 250n]), NOON);
  usage.report(report("p1", "2026-11", [{}, 180n]), NOON);
  assertEquals(used(), 250n);
  usage.report(report("p2", "2026-11", [{}, 7n]), NOON);
  assertEquals(used(), 257n, "each reporter has its own counter");
  database.close();
});

Deno.test("each pool adds up what belongs to it", () => {
  const database = openDatabase(":memory:");
  const usage = openUsage(database);
  usage.report(
    report("p1", "2026-11", [{}, 1n], [{ server: "b" }, 10n], [{ region: "there" }, 100n], [{ provider: "o" }, 1000n]),
    NOON,
  );
  usage.report(report("p1", "2026-10", [{}, 5555n]), NOON);
  const used = (pool: wire.Pool) => usage.used("2026-11", pool, create(wire.PlaceSchema, here));
  assertEquals(used(wire.Pool.SERVER), 1n);
  assertEquals(used(wire.Pool.REGION), 11n);
  assertEquals(used(wire.Pool.PROVIDER), 111n);
  database.close();
});

Deno.test("totals do not depend on the order of reports, nor on repeats", () => {
  const reports = fc.array(
    fc.record({
      reporter: fc.constantFrom("p1", "p2", "p3"),
      server: fc.constantFrom("a", "b"),
      bytes: fc.bigInt({ min: 0n, max: 2n ** 53n - 1n }),
    }),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(reports, fc.infiniteStream(fc.nat()), (list, keys) => {
      const totals = (order: typeof list) => {
        const database = openDatabase(":memory:");
        const usage = openUsage(database);
        for (const { reporter, server, bytes } of order) {
          usage.report(report(reporter, "2026-11", [{ server }, bytes]), NOON);
        }
        const counts = usage.list("2026-11");
        database.close();
        return counts;
      };
      const shuffled = [...list, ...list].map((item) => [keys.next().value as number, item] as const)
        .sort((a, b) => a[0] - b[0]).map(([, item]) => item);
      assertEquals(totals(shuffled), totals(list));
    }),
    { numRuns: 30 },
  );
});

Deno.test("many counters as large as they may be still add up", () => {
  const database = openDatabase(":memory:");
  const usage = openUsage(database);
  const most = 2n ** 53n - 1n;
  for (let at = 0; at < 1500; at++) usage.report(report(`p${at}`, "2026-11", [{}, most]), NOON);
  assertEquals(usage.used("2026-11", wire.Pool.REGION, create(wire.PlaceSchema, here)), 1500n * most);
  for (let at = 1500; at < 2100; at++) usage.report(report(`p${at}`, "2026-11", [{}, most]), NOON);
  assertEquals(usage.list("2026-11")[0]!.bytes, 2n ** 64n - 1n, "no more than the message can hold");
  database.close();
});

Deno.test("a month is a month in UTC", () => {
  assertEquals(monthOf(Date.UTC(2026, 10, 30, 23, 59, 59, 999)), "2026-11");
  assertEquals(monthOf(Date.UTC(2026, 11, 1)), "2026-12");
});

Deno.test("a month that has not begun is refused; one that a fast clock began early is not", () => {
  const database = openDatabase(":memory:");
  const usage = openUsage(database);
  const error = assertThrows(() => usage.report(report("p", "2026-12", [{}, 1n]), NOON), CdnError, "month");
  assertEquals([error.status, error.fields[0]!.field], [400, "month"]);
  usage.report(report("p", "2026-12", [{}, 1n]), Date.UTC(2026, 10, 30, 23, 50));
  database.close();
});

Deno.test("at the turn of the month the allowance begins anew, and late reports go where they belong", async () => {
  let now = Date.UTC(2026, 10, 30, 23, 59);
  using pricing = startPricing({ seed: [sampleSheet()], now: () => now });
  const send = (month: string, bytes: bigint) =>
    pricing.read("/-/v1/usage", wire.UsageListSchema, {
      message: [wire.UsageReportSchema, report("p1", month, [{}, bytes])],
    });
  const quote = async () => {
    const request = create(wire.QuoteRequestSchema, { bytes: GB, places: [here] });
    const answer = await pricing.read("/-/v1/quotes", wire.QuoteAnswerSchema, {
      message: [wire.QuoteRequestSchema, request],
    });
    return [answer.month, answer.quotes[0]!.usedBytes, answer.quotes[0]!.egressNano];
  };
  await send("2026-11", 50n * GB);
  assertEquals(await quote(), ["2026-11", 50n * GB, 90_000_000n]);
  now = Date.UTC(2026, 11, 1, 0, 1);
  assertEquals(await quote(), ["2026-12", 0n, 0n]);
  await send("2026-11", 51n * GB);
  await send("2026-12", 12n * GB);
  assertEquals(await quote(), ["2026-12", 12n * GB, 90_000_000n]);
  const november = await pricing.read("/-/v1/usage?month=2026-11", wire.UsageListSchema);
  assertEquals(november.counts.map(({ bytes }) => bytes), [51n * GB]);
});

Deno.test("usage outlives the process", async () => {
  using folder = temporaryFolder();
  {
    using pricing = startPricing({ folder: folder.path });
    const sent = await pricing.read("/-/v1/usage", wire.UsageListSchema, {
      message: [wire.UsageReportSchema, report("p1", "2026-11", [{}, 42n])],
    });
    assertEquals(sent.counts.map(({ bytes }) => bytes), [42n]);
  }
  using pricing = startPricing({ folder: folder.path });
  const usage = await pricing.read("/-/v1/usage", wire.UsageListSchema);
  assertEquals([usage.month, usage.counts.map(({ bytes }) => bytes)], ["2026-11", [42n]]);
});
