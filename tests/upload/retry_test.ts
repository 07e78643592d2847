import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { CdnError } from "../../proto/mod.ts";
import { pauseMs, retrying } from "../../upload/retry.ts";

const again = new CdnError("no answer", { source: "server", retry: true });

Deno.test("pauses double up to the longest, half of each by chance, and never below what was asked", () => {
  const settings = { baseMs: 100, mostMs: 1000 };
  const pauses = (random: number) =>
    [1, 2, 3, 4, 5, 60].map((n) => pauseMs(n, undefined, { ...settings, random: () => random }));
  assertEquals(pauses(0), [50, 100, 200, 400, 500, 500]);
  assertEquals(pauses(1), [100, 200, 400, 800, 1000, 1000]);
  assertEquals(pauseMs(1, 7, { ...settings, random: () => 0 }), 7000);
  assertEquals(pauseMs(1, 1e9, { ...settings, random: () => 0 }), 60_000);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2000 }), fc.double({ min: 0, max: 0.999, noNaN: true }), (n, random) => {
      const pause = pauseMs(n, undefined, { ...settings, random: () => random });
      assert(pause >= 50 && pause <= 1000);
    }),
  );
});

Deno.test("what may succeed later is tried again, anything else is not", async () => {
  let tries = 0;
  const told: number[] = [];
  const options = { baseMs: 1, random: () => 0, onRetry: (_: CdnError, pause: number) => told.push(pause) };
  assertEquals(await retrying(() => ++tries < 4 ? Promise.reject(again) : Promise.resolve("done"), options), "done");
  assertEquals([tries, told], [4, [0.5, 1, 2]]);

  for (const error of [new CdnError("no", { source: "client" }), new TypeError("a bug")]) {
    tries = 0;
    await assertRejects(() => retrying(() => (tries++, Promise.reject(error)), options));
    assertEquals(tries, 1);
  }
});

Deno.test("after the last try it gives up and says so", async () => {
  let tries = 0;
  const error = await assertRejects(
    () => retrying(() => (tries++, Promise.reject(again)), { attempts: 3, baseMs: 1 }),
    CdnError,
  );
  assertEquals(tries, 3);
  assertStringIncludes(error.message, "no answer (gave up after 3 tries)");
});

Deno.test("an abort ends a pause", async () => {
  const stop = new AbortController();
  const running = retrying(() => Promise.reject(again), {
    baseMs: 1e6,
    mostMs: 1e6,
    signal: stop.signal,
    onRetry: () => queueMicrotask(() => stop.abort(new Error("enough"))),
  });
  assertStringIncludes((await assertRejects(() => running, Error)).message, "enough");
});
