import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { type Manifest, tombstone } from "../../../proto/mod.ts";
import { SendWindow } from "../../../server/cluster/window.ts";

const limits = { window: 3, deferred: 2 };

function entry(change: number, path = `/${change}`): { manifest: Manifest; change: number } {
  return { change, manifest: tombstone(path, { wallMs: change, counter: 0, server: "a" }) };
}

function filled(...changes: number[]): SendWindow {
  const window = new SendWindow(0, limits);
  for (const change of changes) window.take(entry(change), 0);
  return window;
}

const changesOf = (items: readonly { change: number }[]) => items.map(({ change }) => change);

Deno.test("the cursor stays just below the lowest unsettled entry", () => {
  const window = filled(2, 5, 9);
  const [two, five, nine] = window.due(0, 10);
  assertEquals(window.cursor, 1);
  window.settle(five!);
  assertEquals(window.cursor, 1);
  window.settle(two!);
  assertEquals(window.cursor, 8);
  window.settle(nine!);
  assertEquals([window.cursor, window.size], [9, 0]);
});

Deno.test("what is known to be held moves the cursor without an offer", () => {
  const window = filled();
  window.take(entry(4), null);
  assertEquals([window.cursor, window.size], [4, 0]);
});

Deno.test("an overwritten path takes its older entry out", () => {
  const window = filled();
  window.take(entry(1, "/a"), 0);
  const [old] = window.due(0, 10);
  window.take(entry(2, "/a"), 0);
  window.settle(old!); // its answer comes late, and is about the old one
  assertEquals(changesOf(window.due(0, 10)), [2]);
  assertEquals(window.cursor, 1);
});

Deno.test("an entry is due once at a time, and again when it may be", () => {
  const window = filled(1, 2);
  for (const item of window.due(0, 1)) item.sent = true;
  assertEquals(changesOf(window.due(0, 10)), [2]);
  const [two] = window.due(0, 10);
  window.again(two!, 500);
  assertEquals(window.due(499, 10), []);
  assertEquals(window.nextDueMs(), 500);
  assertEquals(changesOf(window.due(500, 10)), [2]);
});

Deno.test("new entries are not offered together with those whose bodies may take long", () => {
  const window = filled(1, 2, 3);
  window.again(window.due(0, 1)[0]!, 0);
  const [first] = window.due(0, 10);
  assertEquals(changesOf(window.due(0, 10)), [1]);
  first!.sent = true;
  assertEquals(changesOf(window.due(0, 10)), [2, 3]);
});

Deno.test("entries that are put off do not fill the window, up to a limit", () => {
  const window = filled(1, 2, 3);
  assertEquals(window.room, 0);
  for (const item of window.due(0, 10)) window.defer(item, 100);
  assertEquals(window.room, 2); // the third one of them stays in the window
  assertEquals([window.cursor, window.size], [0, 3]);
  assertEquals(window.due(99, 10), []);
  assertEquals(changesOf(window.due(100, 10)), [1, 2, 3]);
});

Deno.test("an entry that must be alone is offered alone", () => {
  const window = filled(1, 2, 3);
  const [one, two] = window.due(0, 10);
  one!.alone = two!.alone = true;
  assertEquals(changesOf(window.due(0, 10)), [1]);
  one!.sent = true;
  assertEquals(changesOf(window.due(0, 10)), [2]);
});

Deno.test("whatever happens, the cursor passes no entry that is unsettled and still the newest of its path", () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant("take" as const), path: fc.constantFrom("/a", "/b", "/c", "/d"), held: fc.boolean() }),
    fc.record({ do: fc.constantFrom("settle" as const, "again" as const, "defer" as const), at: fc.nat(5) }),
  );
  fc.assert(fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
    const window = new SendWindow(0, limits);
    const newest = new Map<string, { change: number; settled: boolean }>();
    let change = 0;
    for (const one of steps) {
      if (one.do === "take") {
        if (window.room === 0) continue;
        window.take(entry(++change, one.path), one.held ? null : 0);
        newest.set(one.path, { change, settled: one.held });
        continue;
      }
      const due = window.due(Infinity, 10);
      const item = due[one.at % Math.max(1, due.length)];
      if (!item) continue;
      if (one.do === "settle") {
        window.settle(item);
        newest.get(item.path)!.settled = true;
      } else if (one.do === "again") window.again(item, 0);
      else window.defer(item, 0);
    }
    const open = [...newest.values()].filter(({ settled }) => !settled).map(({ change }) => change);
    assert(window.cursor === Math.min(change + 1, ...open) - 1);
    assertEquals(window.size, open.length);
  }));
});
