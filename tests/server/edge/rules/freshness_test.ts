import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { ageOf, alwaysValidates, answerFields, freshUntil, toStored } from "../../../../server/edge/rules/mod.ts";
import { answer, DAY, get, httpDate, lines, NOW, SECOND, SETTINGS, stored } from "./kit.ts";

/** Seconds of freshness that fields give a response that came just now. */
function seconds(fields: string, status = 200): number {
  return (freshUntil(stored(fields, { status }), NOW, SETTINGS) - NOW) / SECOND;
}

const FUTURE = `Expires: ${httpDate(NOW + 3600 * SECOND)}`;
const LONGEST = 2 ** 31;

Deno.test("the lifetime that Cache-Control gives", () => {
  const table: [cacheControl: string, lifetime: number][] = [
    ["max-age=3600", 3600],
    ["MaX-aGe=3600", 3600],
    ["foobar, max-age=3600", 3600],
    ["  ,, max-age=3600 , ,", 3600],
    ['max-age="3600"', 3600],
    ['max-age="36\\00"', 3600],
    ["max-age=003600", 3600],
    ["max-age=3600, s-maxage=1", 1],
    ["s-maxage=3600, max-age=1", 3600],
    ["max-age=1800, max-age=1", 1],
    ["max-age=1, max-age=1800", 1],
    ["max-age=2147483647", LONGEST - 1],
    ["max-age=2147483648", LONGEST],
    ["max-age=99999999999999999999999", LONGEST],
    // Malformed is stale.
    ["max-age=-3600", 0],
    ["max-age=3600.5", 0],
    ["max-age=3600.0", 0],
    ["max-age='3600'", 0],
    ["max-age=a3600", 0],
    ["max-age=3600a", 0],
    ["max-age =3600", 0],
    ["max-age= 3600", 0],
    ["max-age=", 0],
    ["max-age", 0],
    ['max-age="3600', 0],
    ["max-age=3600 max-age=3600", 0],
    ["s-maxage=x, max-age=3600", 0],
    ["max-age=0x10", 0],
    // Inside quotes nothing is a directive.
    ['extension="max-age=3600", max-age=1', 1],
    ['max-age=1, extension="max-age=3600"', 1],
    ['extension="a, max-age=3600"', 0],
    ['extension="a\\", max-age=3600"', 0],
    ['extension="unclosed, max-age=3600', 0],
  ];
  for (const [cacheControl, lifetime] of table) {
    assertEquals(seconds(`Cache-Control: ${cacheControl}`), lifetime, cacheControl);
  }
});

Deno.test("several lines of Cache-Control are one", () => {
  assertEquals(seconds("Cache-Control: max-age=3600\nCache-Control: s-maxage=1"), 1);
  assertEquals(seconds("Cache-Control: max-age=3600\nCache-Control: max-age=20"), 20);
});

Deno.test("the lifetime that Expires gives", () => {
  const soon = httpDate(NOW + 3600 * SECOND);
  const table: [expires: string, lifetime: number][] = [
    [soon, 3600],
    [soon.toUpperCase(), 3600],
    [soon.toLowerCase(), 3600],
    ["Monday, 01-Jun-26 13:00:00 GMT", 3600],
    ["Mon Jun  1 13:00:00 2026", 3600],
    [httpDate(NOW), 0],
    [httpDate(NOW - 5 * SECOND), -5],
    ["0", 0],
    ["-1", 0],
    ["", 0],
    ["never", 0],
    [soon.replace("GMT", "UTC"), 0],
    [soon.replace("GMT", "AEST"), 0],
    [soon.replace("GMT", "+0000"), 0],
    [soon.replace(",", ""), 0],
    [soon.replaceAll(" ", "  "), 0],
    [soon.replaceAll(":", "."), 0],
    ["Mon, 01-Jun-2026 13:00:00 GMT", 0],
    ["Mon, 01 Jun 26 13:00:00 GMT", 0],
    ["2026-06-01T13:00:00Z", 0],
    [String((NOW + DAY) / 1000), 0],
    [`${soon}, ${soon}`, 0],
  ];
  for (const [expires, lifetime] of table) assertEquals(seconds(`Expires: ${expires}`), lifetime, expires);
  assertEquals(seconds(`${FUTURE}\nExpires: ${httpDate(NOW + 7200 * SECOND)}`), 0);
  assertEquals(seconds(`${FUTURE}\n${FUTURE}`), 3600);
});

Deno.test("Cache-Control goes before Expires, and a malformed one too", () => {
  assertEquals(seconds(`Cache-Control: max-age=10\n${FUTURE}`), 10);
  assertEquals(seconds(`Cache-Control: max-age=10\nExpires: 0`), 10);
  assertEquals(seconds(`Cache-Control: max-age=x\n${FUTURE}`), 0);
  assertEquals(seconds(`Cache-Control: foo\n${FUTURE}`), 3600);
});

Deno.test("Expires counts from Date, or from when the response came", () => {
  assertEquals(seconds(`Expires: ${httpDate(NOW + 300 * SECOND)}\nDate: ${httpDate(NOW + 400 * SECOND)}`), -100);
  assertEquals(seconds(`Expires: ${httpDate(NOW + 300 * SECOND)}\nDate: ${httpDate(NOW + 100 * SECOND)}`), 200);
  // Ten seconds old by its Date.
  assertEquals(seconds(`Expires: ${httpDate(NOW + 300 * SECOND)}\nDate: ${httpDate(NOW - 10 * SECOND)}`), 300);
  assertEquals(seconds(`Expires: ${httpDate(NOW + 300 * SECOND)}\nDate: foo`), 300);
});

Deno.test("a guess is only made where it is allowed", () => {
  const old = `Last-Modified: ${httpDate(NOW - 1000 * SECOND)}`;
  for (const status of [200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501]) {
    assertEquals(seconds(old, status), 100, String(status));
  }
  for (const status of [201, 202, 299, 302, 303, 307, 400, 403, 500, 502, 503, 504, 599]) {
    assertEquals(seconds(old, status), 0, String(status));
    assertEquals(seconds(`${old}\nCache-Control: public`, status), 100, String(status));
  }
  assertEquals(seconds(""), 0);
  assertEquals(seconds(`${old}\nExpires: 0`), 0);
  assertEquals(seconds(`${old}\nCache-Control: max-age=x`), 0);
  assertEquals(seconds("Last-Modified: foo"), 0);
  assertEquals(seconds(`Last-Modified: ${httpDate(NOW + DAY)}`), 0);
  assertEquals(seconds(`Last-Modified: ${httpDate(NOW - 1000 * DAY)}`), 86_400);
});

Deno.test("CDN-Cache-Control stands for Cache-Control and Expires where it is valid and not empty", () => {
  const table: [cdn: string, lifetime: number][] = [
    ["max-age=600", 600],
    ["max-age=600;param=1, foo=(a b)", 600],
    ["s-maxage=5, max-age=600", 5],
    ["max-age=600, max-age=60", 60],
    ["none", 0],
    // A value of the wrong type counts for nothing, and so does a directive in capitals, which is an error.
    ['max-age="600"', 0],
    ["max-age=600.0", 0],
    ["max-age=600.5", 0],
    ["max-age", 0],
    ["max-age=-1", 0],
    ["Max-Age=600", 10],
    ["max-age=600,", 10],
    ["max-age= 600", 10],
    ["", 10],
    ["max-age=9999999999999999", 10],
  ];
  for (const [cdn, lifetime] of table) {
    assertEquals(seconds(`Cache-Control: max-age=10\n${FUTURE}\nCDN-Cache-Control: ${cdn}`), lifetime, cdn);
  }
  assertEquals(seconds("CDN-Cache-Control: max-age=600\nCDN-Cache-Control: max-age=7"), 7);
});

Deno.test("age", () => {
  const age = (fields: string, delayMs = 0) =>
    ageOf(toStored(get(), answer(fields), { requestMs: NOW - delayMs, responseMs: NOW }), NOW + 5 * SECOND) / SECOND;
  const table: [fields: string, age: number][] = [
    ["", 5],
    ["Age: 30", 35],
    ["Age: 30\nAge: 500", 35],
    ["Age: 30, 500", 35],
    ["Age: 0030", 35],
    ["Age: 99999999999999999999", 2 ** 31 + 5],
    // No number: it counts for nothing.
    ["Age: abc", 5],
    ["Age: -7200", 5],
    ["Age: 7200.0", 5],
    ["Age: 7200;foo=bar", 5],
    ["Age:", 5],
    ["Age: ,7200", 5],
    [`Date: ${httpDate(NOW - 60 * SECOND)}`, 65],
    [`Date: ${httpDate(NOW - 60 * SECOND)}\nAge: 30`, 65],
    [`Date: ${httpDate(NOW - 60 * SECOND)}\nAge: 90`, 95],
    [`Date: ${httpDate(NOW + 60 * SECOND)}`, 5],
    ["Date: foo", 5],
  ];
  for (const [fields, expected] of table) assertEquals(age(fields), expected, fields);
  assertEquals(age("Age: 30", 2 * SECOND), 37);
  assertEquals(age("", 2 * SECOND), 7);
});

Deno.test("a clock that is put back makes nothing younger than it came", () => {
  const response = stored("Age: 30");
  assertEquals(ageOf(response, NOW - DAY), 30 * SECOND);
  assertEquals(answerFields(response, NOW - DAY).at(-1), ["age", "30"]);
});

Deno.test("part of a second does not make a response older than its Date", () => {
  const received = answer(`Date: ${httpDate(NOW)}`);
  assertEquals(ageOf(toStored(get(), received, { requestMs: NOW + 900, responseMs: NOW + 900 }), NOW + 900), 0);
});

Deno.test("a softly purged response is stale now", () => {
  const response = { ...stored("Cache-Control: max-age=3600"), stale: true };
  assertEquals(freshUntil(response, NOW, SETTINGS), NOW);
  assert(freshUntil({ ...response, stale: false }, NOW, SETTINGS) > NOW);
});

Deno.test("what is always validated", () => {
  for (const fields of ["Cache-Control: no-cache", "Cache-Control: NO-CACHE=x-y, no-cache", "Vary: *", "Vary: a b"]) {
    assert(alwaysValidates(stored(fields)), fields);
  }
  // A field that our decisions go by cannot be left out, so these stand for the whole response.
  for (const name of ["", "etag", "a, vary", "cache-control", "a b", '"']) {
    assert(alwaysValidates(stored(`Cache-Control: max-age=60, no-cache="${name}"`)), name);
  }
  for (const fields of ["", "Cache-Control: max-age=0", 'Cache-Control: no-cache="a, b"', "Pragma: no-cache"]) {
    assert(!alwaysValidates(stored(fields)), fields);
  }
  assert(alwaysValidates(stored("CDN-Cache-Control: no-cache, max-age=10")));
  assert(!alwaysValidates(stored("CDN-Cache-Control: no-cache=?0, max-age=10\nCache-Control: no-cache")));
  // A 304 may say so of what is stored already.
  assert(alwaysValidates({ ...stored(), fields: lines("Cache-Control: no-store") }));
  assert(alwaysValidates({ ...stored(), fields: lines("Vary: accept-language") }));
});

Deno.test("an answer has one Age, and all else as it is stored", () => {
  const response = stored("Age: 10\nX-A: 1\nAge: 20\nX-A: 2");
  assertEquals(answerFields(response, NOW + 5500), [
    ["x-a", "1"],
    ["x-a", "2"],
    ["date", httpDate(NOW)],
    ["age", "15"],
  ]);
});

Deno.test("whatever a field says, no time is negative, endless or no number", () => {
  fc.assert(fc.property(
    fc.array(
      fc.tuple(
        fc.constantFrom("cache-control", "cdn-cache-control", "expires", "age", "date", "last-modified", "vary"),
        fc.oneof(
          fc.string(),
          fc.stringMatching(/^((max-age|s-maxage|no-cache|private|x)(="?[0-9a-z, ]{0,5}"?)?,? ?){0,4}$/),
          fc.date({ noInvalidDate: true }).map((date) => date.toUTCString()),
        ),
      ),
      { maxLength: 6 },
    ),
    fc.integer({ min: -1e12, max: 1e12 }),
    (fields, later) => {
      const response = toStored(get(), { status: 200, fields }, { requestMs: NOW, responseMs: NOW + 10 });
      const age = ageOf(response, NOW + later);
      assert(Number.isFinite(age) && age >= 0);
      const left = freshUntil(response, NOW + later, SETTINGS) - (NOW + later);
      assert(Number.isFinite(left) && left <= LONGEST * SECOND + 4e14);
      assert(/^\d+$/.test(answerFields(response, NOW + later).at(-1)![1]));
    },
  ));
});
