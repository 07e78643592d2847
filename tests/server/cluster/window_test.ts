import { assertEquals } from "@std/assert";
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
