import { assertEquals } from "@std/assert";
import { HotBodies } from "../../../server/serve/hot.ts";
import { memo } from "../../../server/serve/memo.ts";

Deno.test("a body is wanted from its second time on, and only where it is small", () => {
  const hot = new HotBodies(1 << 20);
  assertEquals([hot.wants("a", 10), hot.wants("a", 10), hot.wants("b", 10)], [false, true, false]);
  assertEquals([hot.wants("large", 1 << 19), hot.wants("large", 1 << 19)], [false, false]);
  const none = new HotBodies(0);
  assertEquals([none.wants("a", 10), none.wants("a", 10)], [false, false]);
});

Deno.test("what was not asked for the longest makes room", () => {
  const hot = new HotBodies(30);
  for (const name of ["a", "b", "c"]) hot.keep(name, new Uint8Array(10));
  hot.get("a");
  hot.keep("d", new Uint8Array(10));
  assertEquals(["a", "b", "c", "d"].map((name) => hot.get(name)?.length), [10, undefined, 10, 10]);
  hot.keep("e", new Uint8Array(25));
  assertEquals(["a", "b", "c", "d", "e"].map((name) => hot.get(name)?.length ?? 0), [0, 0, 0, 0, 25]);
});

Deno.test("a memo says what the function said, and asks it once", () => {
  let asked = 0;
  const double = memo((value: number) => (asked++, value * 2), 2);
  assertEquals([double(1), double(1), double(2), double(3), double(3), double(1)], [2, 2, 4, 6, 6, 2]);
  assertEquals(asked, 4);
});
