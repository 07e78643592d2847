import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { Batch } from "../../proxy/batch.ts";
import type { Observation } from "../../proxy/forwarding.ts";
import { Health } from "../../proxy/health.ts";
import { LinkWindow } from "../../proxy/window.ts";

const seen = fc.record({
  serverId: fc.constantFrom("a", "b"),
  outcome: fc.constantFrom("ok", "ok", "ok", "ok", "broken", "server-error", "viewer-left" as const),
  status: fc.constant(200),
  connectMs: fc.constantFrom(0, null, 40),
  headMs: fc.integer({ min: 1, max: 500 }),
  bytes: fc.oneof(fc.integer({ min: 0, max: 1000 }), fc.integer({ min: 0, max: 1_000_000 })),
  bodyMs: fc.integer({ min: 1, max: 1000 }),
  viewerBound: fc.boolean(),
  size: fc.constant(null),
});

/** What a brain makes of observations, as far as order and number count. */
function learn(observations: Observation[]) {
  return ["a", "b"].map((id) => {
    const window = new LinkWindow();
    const health = new Health();
    let bytes = 0;
    for (const observation of observations.filter(({ serverId }) => serverId === id)) {
      bytes += observation.bytes;
      if (observation.outcome === "ok" || observation.outcome === "viewer-left") {
        if (observation.outcome === "ok") health.succeeded();
        window.observe(observation);
      } else health.failed(observation.outcome, observation.atMs, 0.5);
    }
    const { connectMs, rttMs, bytesPerSecond } = window.estimate(10_000);
    return { bytes, down: health.excluded, connectMs, rttMs, bytesPerSecond };
  });
}

Deno.test("a batch teaches what all that was seen teaches: bytes, failures in a row, and the link", () => {
  fc.assert(
    fc.property(fc.array(seen, { maxLength: 200, size: "max" }), (list) => {
      const all = list.map((one, at) => ({ ...one, atMs: at }) as Observation);
      const batch = new Batch();
      for (const observation of all) batch.add(observation);
      const told = batch.take();
      assertEquals(learn(told), learn(all));
      assertEquals([batch.length, batch.take()], [0, []]);
    }),
    { numRuns: 1000 },
  );
});

Deno.test("a batch of very many good answers stays small", () => {
  const batch = new Batch();
  const ok = { serverId: "a", outcome: "ok", status: 200, connectMs: 0, headMs: 1, bodyMs: 1 } as const;
  for (let at = 0; at < 10_000; at++) {
    batch.add({ ...ok, atMs: at, bytes: 100, viewerBound: false, size: null });
  }
  const told = batch.take();
  assertEquals(told.length, 10);
  assertEquals(told.reduce((sum, { bytes }) => sum + bytes, 0), 1_000_000);
  assertEquals(told.slice(1).map(({ atMs }) => atMs), [9991, 9992, 9993, 9994, 9995, 9996, 9997, 9998, 9999]);
});
