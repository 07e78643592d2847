import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { Observation } from "../../proxy/forwarding.ts";
import { LinkWindow, PRIOR } from "../../proxy/window.ts";

const seen: Observation = {
  serverId: "a",
  atMs: 1000,
  outcome: "ok",
  status: 200,
  connectMs: null,
  headMs: 20,
  bytes: 1_000_000,
  bodyMs: 100,
  viewerBound: false,
  size: null,
};

Deno.test("nothing measured: the prior, and no confidence", () => {
  assertEquals(new LinkWindow().estimate(0), { ...PRIOR, confidence: 0, newestMs: null });
});

Deno.test("with probes an interval apart one slow sample is an outlier, and the second is news", () => {
  const window = new LinkWindow({ halfLifeMs: 7500 });
  for (let at = 0; at <= 30_000; at += 5000) window.answered(at, 10);
  window.answered(35_000, 300);
  assertEquals(window.estimate(35_000).rttMs, 10);
  window.answered(40_000, 300);
  assertEquals(window.estimate(40_000).rttMs, 300);
});

Deno.test("under traffic the fifth of nine equal samples turns it", () => {
  const window = new LinkWindow();
  for (let n = 0; n < 50; n++) window.transferred(1000 + n, 1_000_000, 100);
  const rates: number[] = [];
  for (let n = 0; n < 6; n++) {
    window.transferred(1050 + n, 1_000_000, 1000);
    rates.push(window.estimate(1056).bytesPerSecond);
  }
  assertEquals(rates, [1e7, 1e7, 1e7, 1e7, 1e6, 1e6]);
});

Deno.test("a larger transfer says more of the rate than a smaller one, and a tiny one nothing", () => {
  const window = new LinkWindow();
  assertEquals(window.transferred(0, 65_535, 1), false);
  assertEquals(window.transferred(0, 100_000, 0), false);
  assert(window.transferred(0, 100_000, 100));
  assert(window.transferred(0, 100_000, 100));
  assert(window.transferred(0, 4_000_000, 400));
  assertEquals(window.estimate(0).bytesPerSecond, 1e7);
});

Deno.test("what an attempt shows", () => {
  const cases: [Partial<Observation>, rtt: number, rate: number, sample: boolean][] = [
    [{}, 20, 1e7, true],
    [{ viewerBound: true }, 20, PRIOR.bytesPerSecond, false],
    [{ outcome: "viewer-left" }, 20, PRIOR.bytesPerSecond, false],
    [{ outcome: "broken" }, PRIOR.rttMs, PRIOR.bytesPerSecond, false],
    [{ outcome: "server-error" }, PRIOR.rttMs, PRIOR.bytesPerSecond, false],
    [{ headMs: null }, PRIOR.rttMs, 1e7, true],
    [{ bytes: 100 }, 20, PRIOR.bytesPerSecond, false],
    // On a new connection the head may be late for the connection's sake.
    [{ connectMs: 5 }, PRIOR.rttMs, 1e7, true],
  ];
  for (const [change, rtt, rate, sample] of cases) {
    const window = new LinkWindow();
    assertEquals(window.observe({ ...seen, ...change }), sample, JSON.stringify(change));
    const { rttMs, bytesPerSecond } = window.estimate(1000);
    assertEquals([rttMs, bytesPerSecond], [rtt, rate], JSON.stringify(change));
  }
});

Deno.test("on a new connection, what goes beyond the round trip is the cost of connecting", () => {
  const window = new LinkWindow();
  window.answered(0, 30);
  window.observe({ ...seen, connectMs: 5, headMs: 55 });
  const { connectMs, rttMs } = window.estimate(1000);
  assertEquals([connectMs, rttMs], [30, 30]);
});

Deno.test("confidence grows with samples and fades with time, age counts from the newest", () => {
  const window = new LinkWindow({ halfLifeMs: 1000, rateHalfLifeMs: 1000 });
  window.answered(0, 10);
  window.transferred(0, 1_000_000, 10);
  assertAlmostEquals(window.estimate(0).confidence, 1 / 2);
  assertAlmostEquals(window.estimate(1000).confidence, 1 / 3);
  for (let n = 0; n < 8; n++) {
    window.answered(1000, 10);
    window.transferred(1000, 1_000_000, 10);
  }
  const { confidence, newestMs } = window.estimate(1000);
  assert(confidence > 0.89 && confidence < 1);
  assertEquals(newestMs, 1000);
});

const samples = fc.array(
  fc.record({ atMs: fc.integer({ min: 0, max: 100_000 }), value: fc.double({ min: 0.1, max: 1e4, noNaN: true }) }),
  { minLength: 1, maxLength: 30 },
);

Deno.test("an estimate is always a value that was seen lately, and time alone does not change it", () => {
  fc.assert(fc.property(samples, fc.integer({ min: 0, max: 1_000_000 }), (list, later) => {
    const window = new LinkWindow();
    for (const { atMs, value } of list) window.answered(atMs, value);
    const { rttMs, confidence } = window.estimate(100_000);
    assert(list.slice(-9).some(({ value }) => value === rttMs));
    const after = window.estimate(100_000 + later);
    assertEquals(after.rttMs, rttMs);
    assert(after.confidence <= confidence && confidence < 1);
  }));
});

Deno.test("one outlier among equal samples moves nothing", () => {
  fc.assert(
    fc.property(fc.integer({ min: 3, max: 8 }), fc.double({ min: 0, max: 1e9, noNaN: true }), (count, outlier) => {
      const window = new LinkWindow();
      for (let n = 0; n < count; n++) window.answered(1000, 50);
      window.answered(1000, outlier);
      assertEquals(window.estimate(1000).rttMs, 50);
    }),
  );
});
