import { assertEquals, assertRejects } from "@std/assert";
import { CdnError } from "../../../proto/mod.ts";
import { Copies } from "../../../server/cluster/copies.ts";
import { Holders } from "../../../server/cluster/holders.ts";
import { manifestOf, pattern, versionOf } from "../../suite/store_suite.ts";

const manifest = manifestOf("/a", versionOf(1), pattern(1));

/** Copies whose time passes by hand. */
function counting({ least = 2, own = 1, counted = ["b", "c"] } = {}) {
  const holders = new Holders();
  const stop = new AbortController();
  const timers: (() => void)[] = [];
  const copies = new Copies({
    holders,
    counted: () => counted,
    own: () => own,
    least: () => least,
    waitMs: 10,
    schedule: (action) => {
      timers.push(action);
      return () => void timers.splice(timers.indexOf(action), 1);
    },
    signal: stop.signal,
  });
  return { copies, holders, stop, timers };
}

Deno.test("a write is acknowledged when enough servers hold it, and not before", async () => {
  const { copies, holders, timers } = counting();
  let done = 0;
  const secured = copies.secure(manifest).then((count) => done = count);
  holders.note("stranger", manifest);
  copies.changed();
  await Promise.resolve();
  assertEquals([done, timers.length], [0, 1]);
  holders.note("c", manifest);
  copies.changed();
  await secured;
  assertEquals([done, timers.length], [2, 0]);
});

Deno.test("only the very version counts: a newer one may be on that server alone, until it is here too", async () => {
  const { copies, holders } = counting();
  const newer = { ...manifest, version: { ...manifest.version, wallMs: 2 } };
  let done = 0;
  const secured = copies.secure(manifest).then((count) => done = count);
  holders.note("b", newer);
  copies.changed();
  await Promise.resolve();
  assertEquals([copies.count(manifest), done], [1, 0]);
  copies.replaced(newer);
  copies.changed();
  assertEquals(await secured, 2);
});

Deno.test("what was taken back here is not acknowledged, whatever others know", async () => {
  const { copies } = counting();
  const secured = assertRejects(() => copies.secure(manifest), CdnError);
  copies.withdraw(manifest);
  assertEquals((await secured).status, 503);
});

Deno.test("a server that knows just what we know and lacks nothing holds what is waited for", async () => {
  const { copies } = counting();
  const secured = copies.secure(manifest);
  copies.confirm("b");
  assertEquals(await secured, 2);
});

Deno.test("too few in time: a 503 with how many there are, and nothing promised", async () => {
  const { copies, timers } = counting({ least: 3 });
  const secured = assertRejects(() => copies.secure(manifest), CdnError, "1 of 3 servers");
  timers[0]!();
  const error = await secured;
  assertEquals([error.status, error.retry, error.headers["metacdn-copies"]], [503, true, "1"]);
});

Deno.test("an edge's own copy does not count; a server that ends promises nothing more", async () => {
  const { copies, holders, stop } = counting({ least: 1, own: 0 });
  const secured = assertRejects(() => copies.secure(manifest), CdnError);
  stop.abort();
  await secured;
  holders.note("b", manifest);
  assertEquals(await copies.secure(manifest), 1);
});
