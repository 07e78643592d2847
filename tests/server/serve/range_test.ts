import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { contentRange, selectRanges } from "../../../server/serve/range.ts";

/** Field, size, and what it selects: `start-end` (end exclusive) by commas, "whole", or "416". */
const table: [field: string, size: number, selects: string][] = [
  ["bytes=0-0", 10, "0-1"],
  ["bytes=0-9", 10, "0-10"],
  ["bytes=2-5", 10, "2-6"],
  ["bytes=5-", 10, "5-10"],
  ["bytes=-3", 10, "7-10"],
  ["bytes=-30", 10, "0-10"],
  ["bytes=8-99999999999999999999999", 10, "8-10"],
  ["BYTES=1-2", 10, "1-3"],
  ["bytes=1-2 , 5-6", 10, "1-3,5-7"],
  ["bytes=,1-2,,", 10, "1-3"],
  ["bytes=5-6,1-2", 10, "5-7,1-3"], // in the order of the request
  ["bytes=0-4,2-7", 10, "0-8"], // overlapping
  ["bytes=0-4,5-7", 10, "0-8"], // touching
  ["bytes=8-9,0-1,1-5,2-3", 10, "8-10,0-6"],
  ["bytes=0-1,50-60", 10, "0-2"], // the part that does not exist is left out
  ["bytes=10-", 10, "416"],
  ["bytes=99999999999999999999999-", 10, "416"],
  ["bytes=-0", 10, "416"],
  ["bytes=20-30,40-", 10, "416"],
  ["bytes=0-", 0, "416"],
  ["bytes=-5", 0, "whole"],
  ["bytes=5-2", 10, "whole"],
  ["bytes=-", 10, "whole"],
  ["bytes=", 10, "whole"],
  ["bytes=,,,", 10, "whole"],
  ["bytes=--1", 10, "whole"],
  ["bytes=-1-2", 10, "whole"],
  ["bytes=a-b", 10, "whole"],
  ["bytes=1-2,x", 10, "whole"],
  ["bytes=0x1-2", 10, "whole"],
  ["bytes=1.0-2", 10, "whole"],
  ["bytes 1-2", 10, "whole"],
  ["items=1-2", 10, "whole"],
  ["", 10, "whole"],
  [`bytes=${"0-0,".repeat(17)}`, 10, "whole"], // more than the most
  [`bytes=${",".repeat(100_000)}1-2`, 10, "whole"],
];

Deno.test("a Range field selects what RFC 9110 §14 says", () => {
  for (const [field, size, selects] of table) {
    const selection = selectRanges(field, size);
    const text = selection.kind === "parts"
      ? selection.parts.map(({ start, end }) => `${start}-${end}`).join(",")
      : selection.kind === "whole"
      ? "whole"
      : "416";
    assertEquals(text, selects, `${field.slice(0, 60)} of ${size}`);
  }
});

Deno.test("whatever is asked for: parts lie inside, apart from each other, and hold just the bytes asked for", () => {
  const edge = fc.nat(40);
  const spec = fc.oneof(
    fc.tuple(edge, edge).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`),
    edge.map((a) => `${a}-`),
    edge.map((a) => `-${a}`),
  );
  fc.assert(
    fc.property(fc.array(spec, { minLength: 1, maxLength: 8 }), fc.integer({ min: 1, max: 30 }), (specs, size) => {
      const wanted = new Set<number>();
      for (const one of specs) {
        const [first, last] = one.split("-") as [string, string];
        const start = first === "" ? Math.max(0, size - Number(last)) : Number(first);
        const end = first === "" || last === "" ? size : Math.min(size, Number(last) + 1);
        for (let at = start; at < end; at++) wanted.add(at);
      }
      const selection = selectRanges(`bytes=${specs.join(",")}`, size);
      assertEquals(selection.kind, wanted.size === 0 ? "unsatisfiable" : "parts");
      const got = selection.kind === "parts"
        ? selection.parts.flatMap(({ start, end }) => Array.from({ length: end - start }, (_, at) => start + at))
        : [];
      assertEquals(got.length, new Set(got).size);
      assertEquals(new Set(got), wanted);
    }),
  );
});

Deno.test("Content-Range names the last byte, not the one after", () => {
  assertEquals(contentRange({ start: 0, end: 5 }, 10), "bytes 0-4/10");
});
