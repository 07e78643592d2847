import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { comparePaths, prefixEnd } from "../../../server/store/path_order.ts";

const encoder = new TextEncoder();
const someText = fc.string({
  unit: fc.constantFrom("a", "/", "é", "\ud7ff", "\ue000", "\u{ff5e}", "\u{10000}", "\u{10ffff}"),
});

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let at = 0; at < Math.min(a.length, b.length); at++) if (a[at] !== b[at]) return a[at]! - b[at]!;
  return a.length - b.length;
}

Deno.test("paths are ordered as their UTF-8 bytes are", () => {
  fc.assert(fc.property(someText, someText, (a, b) => {
    assertEquals(Math.sign(comparePaths(a, b)), Math.sign(compareBytes(encoder.encode(a), encoder.encode(b))));
  }));
});

Deno.test("the end of a prefix parts what starts with it from all that comes after", () => {
  fc.assert(fc.property(someText, someText, (prefix, text) => {
    const end = prefixEnd(prefix);
    const inside = comparePaths(text, prefix) >= 0 && (end === null || comparePaths(text, end) < 0);
    assertEquals(inside, text.startsWith(prefix));
    assert(comparePaths(prefix + text, prefix) >= 0 && (end === null || comparePaths(prefix + text, end) < 0));
  }));
  assertEquals(prefixEnd("/a"), "/b");
  assertEquals(prefixEnd("a\u{10ffff}"), "b");
  assertEquals(prefixEnd("\ud7ff"), "\ue000");
  assertEquals(prefixEnd(""), null);
});
