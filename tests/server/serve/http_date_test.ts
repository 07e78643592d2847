import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { formatHttpDate, parseHttpDate } from "../../../server/serve/http_date.ts";

Deno.test("all three forms of RFC 9110 §5.6.7 are read", () => {
  const at = Date.UTC(1994, 10, 6, 8, 49, 37);
  for (
    const text of ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
  ) assertEquals(parseHttpDate(text), at, text);
});

Deno.test("what is no HTTP-date is null", () => {
  for (
    const text of [
      "",
      "1994-11-06T08:49:37Z",
      "Sun, 06 Nov 1994 08:49:37",
      "Sun, 06 Nov 1994 08:49:37 CET",
      "Sun, 06 Foo 1994 08:49:37 GMT",
      "Sun, 99 Nov 1994 08:49:37 GMT",
      "Sun, 06 Nov 1994 28:49:37 GMT",
      "784111777",
    ]
  ) assertEquals(parseHttpDate(text), null, text);
});

Deno.test("what we write we read", () => {
  fc.assert(fc.property(fc.integer({ min: 0, max: 4_102_444_800 }), (second) => {
    assertEquals(parseHttpDate(formatHttpDate(second * 1000)), second * 1000);
    assertEquals(formatHttpDate(second * 1000 + 999), formatHttpDate(second * 1000));
  }));
});
