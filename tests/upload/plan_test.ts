import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { covered, missing, type Piece } from "../../upload/plan.ts";

const piece = fc.tuple(fc.nat(120), fc.nat(40)).map(([start, length]): Piece => ({ start, end: start + length }));

Deno.test("what is missing and what was received make the whole, and nothing is sent twice", () => {
  fc.assert(fc.property(fc.nat(100), fc.integer({ min: 1, max: 30 }), fc.array(piece), (size, chunkSize, received) => {
    const held = new Set<number>();
    for (const { start, end } of received) for (let at = start; at < Math.min(end, size); at++) held.add(at);
    assertEquals(covered(size, received), held.size);
    let last = 0;
    for (const { start, end } of missing(size, chunkSize, received)) {
      assert(start >= last && end > start && end - start <= chunkSize && end <= size);
      last = end;
      for (let at = start; at < end; at++) {
        assert(!held.has(at), `${at} is there already`);
        held.add(at);
      }
    }
    assertEquals(held.size, size);
  }));
});

Deno.test("an empty object has no chunk, and chunks of nothing are refused", () => {
  assertEquals([...missing(0, 10, [])], []);
  assertThrows(() => [...missing(10, 0, [])], RangeError);
  assertEquals([...missing(5, 2, [{ start: 2, end: 3 }])], [{ start: 0, end: 2 }, { start: 3, end: 5 }]);
});
