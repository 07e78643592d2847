import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { conditionOf, originConditions, parseContentRange, rangeHolds } from "../../../../server/edge/rules/mod.ts";
import { answer, get, httpDate, lines, NOW, SECOND, stored } from "./kit.ts";

const [HOUR_AGO, NOW_DATE] = [httpDate(NOW - 3600 * SECOND), httpDate(NOW)];

Deno.test("If-None-Match", () => {
  const table: [etag: string, field: string, matches: boolean][] = [
    ['"a"', '"a"', true],
    ['"a"', 'W/"a"', true],
    ['W/"a"', '"a"', true],
    ['W/"a"', 'W/"a"', true],
    ['"a"', '"b"', false],
    ['"a"', '"b", "a"', true],
    ['"a"', '"b","c" , W/"a", "d"', true],
    ['"a"', "*", true],
    ['"a"', " * ", true],
    ['"a"', '"*"', false],
    ['"a"', "", false],
    ['"a"', "a", false],
    ["a", '"a"', false],
    ["a", "a", true],
    ['"a,b"', '"x", "a,b"', true],
    ['"b"', '"a, "b", c"', false],
    ['"a\\"', '"a\\", "c"', true],
    ['"c"', '"a\\", "c"', true],
    ['""', '""', true],
    ['"ä"', '"ä"', true],
    ['W/"a"', 'w/"a"', false],
    ['w/"a"', 'w/"a"', true],
    ['"a"', '"a', false],
    ["", "*", true],
    ["", '"a"', false],
    ["", '""', false],
  ];
  for (const [etag, field, matches] of table) {
    const response = stored(etag === "" ? "" : `ETag: ${etag}`);
    const verdict = conditionOf(get(`If-None-Match: ${field}`), response);
    assertEquals(verdict, matches ? "not-modified" : "go", `${field} against ${etag}`);
  }
  const request = get('If-None-Match: "b"\nIf-None-Match: "a"', "HEAD");
  assertEquals(conditionOf(request, stored('ETag: "a"')), "not-modified");
});

Deno.test("any list with the tag matches, and none without it", () => {
  const tag = fc.stringMatching(/^[!#-~]{0,6}$/);
  fc.assert(fc.property(fc.array(tag, { minLength: 1, maxLength: 6 }), tag, fc.boolean(), (listed, other, weak) => {
    const field = listed.map((opaque, place) => `${weak && place % 2 ? "W/" : ""}"${opaque}"`).join(
      weak ? " ,\t" : ",",
    );
    const verdict = (opaque: string) => conditionOf(get(`If-None-Match: ${field}`), stored(`ETag: "${opaque}"`));
    for (const opaque of listed) assertEquals(verdict(opaque), "not-modified");
    assertEquals(verdict(other), listed.includes(other) ? "not-modified" : "go");
  }));
});

Deno.test("If-Modified-Since", () => {
  const table: [fields: string, request: string, verdict: string][] = [
    [`Last-Modified: ${HOUR_AGO}`, `If-Modified-Since: ${HOUR_AGO}`, "not-modified"],
    [`Last-Modified: ${HOUR_AGO}`, `If-Modified-Since: ${NOW_DATE}`, "not-modified"],
    [`Last-Modified: ${HOUR_AGO}`, `If-Modified-Since: ${httpDate(NOW - 3601 * SECOND)}`, "go"],
    [`Last-Modified: ${HOUR_AGO}`, "If-Modified-Since: Monday, 01-Jun-26 11:00:00 GMT", "not-modified"],
    [`Last-Modified: ${HOUR_AGO}`, "If-Modified-Since: tomorrow", "go"],
    ["", `If-Modified-Since: ${NOW_DATE}`, "not-modified"],
    ["", `If-Modified-Since: ${HOUR_AGO}`, "go"],
    ["Last-Modified: foo", `If-Modified-Since: ${NOW_DATE}`, "go"],
    // Only where there is no If-None-Match.
    [`ETag: "a"\nLast-Modified: ${HOUR_AGO}`, `If-Modified-Since: ${NOW_DATE}\nIf-None-Match: "b"`, "go"],
    [`ETag: "a"\nLast-Modified: ${NOW_DATE}`, `If-Modified-Since: ${HOUR_AGO}\nIf-None-Match: "a"`, "not-modified"],
  ];
  for (const [fields, request, verdict] of table) {
    assertEquals(conditionOf(get(request), stored(fields)), verdict, `${request} against ${fields}`);
  }
});

Deno.test("conditions that only an origin may judge", () => {
  const response = stored('ETag: "a"');
  assertEquals(conditionOf(get('If-Match: "a"'), response), "failed");
  assertEquals(conditionOf(get(`If-None-Match: "a"\nIf-Unmodified-Since: ${HOUR_AGO}`), response), "failed");
  assertEquals(originConditions(lines(`A: 1\nIf-Match: "a"\nIf-None-Match: *\nIf-Unmodified-Since: x`)), [
    ["if-match", '"a"'],
    ["if-unmodified-since", "x"],
  ]);
});

Deno.test("what is no success has no conditions", () => {
  for (const status of [301, 404, 500]) {
    assertEquals(conditionOf(get("If-None-Match: *"), stored('ETag: "a"', { status })), "go");
  }
  assertEquals(conditionOf(get("If-None-Match: *"), stored('ETag: "a"', { status: 203 })), "not-modified");
  assertEquals(conditionOf(get("If-None: *"), stored('ETag: "a"')), "go");
});

Deno.test("If-Range", () => {
  const response = stored(`ETag: "a"\nLast-Modified: ${HOUR_AGO}`);
  const holds = (field: string, of = response) => rangeHolds(lines(`If-Range: ${field}`), of);
  assert(rangeHolds([], response));
  assert(holds('"a"'));
  assert(holds(HOUR_AGO));
  for (const field of ['W/"a"', '"b"', "a", "*", "", '"a", "b"', NOW_DATE, httpDate(NOW - 7200 * SECOND)]) {
    assert(!holds(field), field);
  }
  assert(!holds('W/"a"', stored('ETag: W/"a"')));
  assert(!holds('"a"', stored('ETag: W/"a"')));
  assert(!holds('"a"', stored()));
  assert(!holds(HOUR_AGO, stored()));
  // Changed in the minute before its Date: it may have changed again.
  const lately = httpDate(NOW - 59 * SECOND);
  assert(!holds(lately, stored(`Last-Modified: ${lately}`)));
  assert(!rangeHolds(lines('If-Range: "a"\nIf-Range: "a"'), response));
});

Deno.test("Content-Range", () => {
  const parsed = (fields: string, status = 206) => parseContentRange(answer(fields, status));
  assertEquals(parsed("Content-Range: bytes 0-4/10"), { start: 0, end: 5, length: 10 });
  assertEquals(parsed("Content-Range: Bytes 9-9/10\nContent-Length: 1"), { start: 9, end: 10, length: 10 });
  assertEquals(parsed("Content-Range: bytes 5-9/*"), { start: 5, end: 10, length: null });
  assertEquals(parsed("Content-Range: bytes 0-4/10", 200), null);
  for (
    const field of [
      "bytes 0-4",
      "bytes 0-4/",
      "bytes=0-4/10",
      "bytes -4/10",
      "bytes 4-/10",
      "bytes 0 - 4/10",
      "bytes 5-4/10",
      "bytes 0-10/10",
      "bytes 0-4/0",
      "bytes */10",
      "seconds 0-4/10",
      "bytes 0-99999999999999999999/*",
      "bytes 0-4/99999999999999999999",
      "bytes 0-4/10, bytes 5-9/10",
      "",
    ]
  ) assertEquals(parsed(`Content-Range: ${field}`), null, field);
});
