import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { backoffMs, clusterSettings } from "../../../server/cluster/settings.ts";
import { Slots } from "../../../server/cluster/slots.ts";
import { Wake } from "../../../server/cluster/wake.ts";

Deno.test("a call ends the sleep, one before the sleep ends the next, and the end ends all", async () => {
  const stop = new AbortController();
  const wake = new Wake();
  const order: string[] = [];
  const asleep = wake.sleep(1e9, stop.signal).then(() => order.push("woken"));
  order.push("calling");
  wake.call();
  await asleep;
  wake.call();
  await wake.sleep(1e9, stop.signal);
  const last = wake.sleep(Infinity, stop.signal);
  stop.abort();
  await last;
  await wake.sleep(1e9, stop.signal);
  assertEquals(order, ["calling", "woken"]);
});

Deno.test("slots are given in order, and those that gave up are passed over", async () => {
  const slots = new Slots(1);
  const on = new AbortController();
  const off = new AbortController();
  const first = await slots.acquire(on.signal);
  const gone = slots.acquire(off.signal);
  const second = slots.acquire(on.signal);
  off.abort(new Error("gone"));
  await assertRejects(() => gone, Error, "gone");
  first[Symbol.dispose]();
  first[Symbol.dispose](); // a second time gives nothing back
  const held = await second;
  const third = slots.acquire(on.signal);
  assertEquals(await Promise.race([third.then(() => "taken"), Promise.resolve("waits")]), "waits");
  held[Symbol.dispose]();
  (await third)[Symbol.dispose]();
});

Deno.test("waits after failures grow, are jittered in full, and have a limit", () => {
  const backoff = { leastMs: 100, mostMs: 1000 };
  assertEquals([1, 2, 3, 4, 5, 500].map((n) => backoffMs(n, backoff, () => 1)), [100, 200, 400, 800, 1000, 1000]);
  assertEquals(backoffMs(3, backoff, () => 0), 0);
});

Deno.test("settings are checked", () => {
  assertEquals(clusterSettings({ queue: 1 }).queue, 1);
  for (const wrong of [{ queue: 0 }, { waitMs: -1 }, { batch: NaN }, { backoff: { leastMs: -1, mostMs: 5 } }]) {
    assertThrows(() => clusterSettings(wrong), RangeError, Object.keys(wrong)[0]);
  }
});
