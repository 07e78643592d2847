/** Finished answers: their bytes, and how they tell the time while others still read them. */
import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { copyFinished, sheetOf } from "../../../runtime/front/finished.ts";
import { finish } from "../../../runtime/front/mod.ts";

const T0 = Date.UTC(2026, 0, 2, 3, 4, 5);
const text = (bytes: Uint8Array) => String.fromCharCode(...bytes);

Deno.test("a finished answer has its places for the time, wherever its fields stand", () => {
  const answer = finish(
    200,
    [["etag", '"a"'], ["age", "7"], ["expires", "x"], ["date", "y"], ["content-length", "2"]],
    new Uint8Array([104, 105]),
    { bornMs: T0 - 3_600_000, lifetimeMs: 60_000, etag: '"a"' },
  );
  const sheet = sheetOf(answer, T0)!;
  assertEquals(
    text(sheet.bytes),
    'HTTP/1.1 200 OK\r\netag: "a"\r\nage: 0000003600\r\nexpires: Fri, 02 Jan 2026 03:05:05 GMT\r\n' +
      "date: Fri, 02 Jan 2026 03:04:05 GMT\r\ncontent-length: 2\r\n\r\nhi",
  );
  assertEquals(answer.headLength, sheet.bytes.length - 2);
  const without = finish(204, [], null);
  assertEquals(
    text(sheetOf(without, T0)!.bytes),
    "HTTP/1.1 204 No Content\r\ndate: Fri, 02 Jan 2026 03:04:05 GMT\r\n\r\n",
  );
  assertThrows(() => finish(200, [["a", "b\r\nc: d"]], null), RangeError);
  assertThrows(() => finish(200, [["a", "\u0100"]], null), RangeError);
});

Deno.test("a clock that goes back makes no negative age, and an age that is too long keeps its ten digits", () => {
  const answer = finish(200, [["age", "0"]], null, { bornMs: T0 });
  assert(text(sheetOf(answer, T0 - 5000)!.bytes).includes("age: 0000000000\r\n"));
  assert(text(sheetOf(answer, T0 + 12e12)!.bytes).includes("age: 2000000000\r\n"));
});

Deno.test("the time is written once a second, in place; where somebody stands in the head, into a copy", () => {
  const answer = finish(200, [["content-length", "2"]], new Uint8Array([104, 105]));
  const first = sheetOf(answer, T0)!;
  assertStrictEquals(sheetOf(answer, T0 + 999), first);
  assertStrictEquals(sheetOf(answer, T0 + 1000), first);
  assert(text(first.bytes).includes("03:04:06"));
  first.writers++;
  const before = text(first.bytes);
  assertStrictEquals(sheetOf(answer, T0 + 1500), first, "the same second may be read by many");
  const second = sheetOf(answer, T0 + 2000)!;
  assert(second !== first && text(second.bytes).includes("03:04:07"));
  assertEquals(text(first.bytes), before, "what somebody is reading stays as it is");
  first.writers--;
  assertStrictEquals(sheetOf(answer, T0 + 3000), second);
});

Deno.test("what is too long to be copied while somebody stands in its head is null, and its head can be had alone", () => {
  const body = new Uint8Array(300_000).fill(120);
  const answer = finish(200, [["content-length", "300000"]], body);
  const sheet = sheetOf(answer, T0)!;
  sheet.writers++;
  assertEquals(sheetOf(answer, T0 + 1000), null);
  const copy = new Uint8Array(answer.headLength + 30);
  const end = copyFinished(answer, T0 + 1000, copy, 3, { body: false, end: "connection: close\r\n\r\n" });
  assertEquals(
    text(copy.subarray(3, end)),
    "HTTP/1.1 200 OK\r\ncontent-length: 300000\r\ndate: Fri, 02 Jan 2026 03:04:06 GMT\r\nconnection: close\r\n\r\n",
  );
  assert(text(sheet.bytes.subarray(0, answer.headLength)).includes("03:04:05"));
});
