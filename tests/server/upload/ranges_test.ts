import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { addRange, describeRanges, missingRanges, type Range } from "../../../server/upload/ranges.ts";

const someRange = fc.tuple(fc.nat(40), fc.integer({ min: 1, max: 10 })).map(([start, length]) => ({
  start,
  end: start + length,
}));

Deno.test("ranges are the set of their bytes: sorted, apart, and nothing else is missing", () => {
  fc.assert(fc.property(fc.array(someRange), fc.nat(60), (added, size) => {
    const bytes = new Set<number>();
    let ranges: Range[] = [];
    for (const range of added) {
      ranges = addRange(ranges, range);
      for (let at = range.start; at < range.end; at++) bytes.add(at);
    }
    const covered = ranges.flatMap(({ start, end }) => Array.from({ length: end - start }, (_, at) => start + at));
    assertEquals(covered, [...bytes].sort((a, b) => a - b));
    for (let at = 1; at < ranges.length; at++) assertEquals(ranges[at - 1]!.end < ranges[at]!.start, true);
    const missing = missingRanges(ranges, size);
    const lacking = missing.flatMap(({ start, end }) => Array.from({ length: end - start }, (_, at) => start + at));
    assertEquals(lacking, Array.from({ length: size }, (_, at) => at).filter((at) => !bytes.has(at)));
    for (const { start, end } of missing) assertEquals(start < end, true);
  }));
});

Deno.test("ranges in words name first and last bytes, and only the first few", () => {
  assertEquals(describeRanges([{ start: 0, end: 100 }, { start: 200, end: 201 }]), "0-99, 200-200");
  const many = Array.from({ length: 12 }, (_, at) => ({ start: at * 2, end: at * 2 + 1 }));
  assertEquals(describeRanges(many, 2), "0-0, 2-2 and 10 more");
});
