import { assert, assertEquals } from "@std/assert";
import type { StoredResponse } from "../../../../server/edge/response.ts";
import {
  ageOf,
  comparedWithHead,
  freshen,
  freshenedBy,
  sameRepresentation,
  toStored,
  validationFields,
} from "../../../../server/edge/rules/mod.ts";
import { answer, entry, get, httpDate, lines, NOW, SECOND, stored } from "./kit.ts";

const HOUR_AGO = httpDate(NOW - 3600 * SECOND);

Deno.test("what makes a request conditional", () => {
  assertEquals(validationFields(stored()), []);
  assertEquals(validationFields(stored('ETag: "a"')), [["if-none-match", '"a"']]);
  assertEquals(validationFields(stored(`ETag: W/"a"\nLast-Modified: ${HOUR_AGO}`)), [
    ["if-none-match", 'W/"a"'],
    ["if-modified-since", HOUR_AGO],
  ]);
  assertEquals(validationFields(stored("Last-Modified: foo\nETag:")), []);
});

Deno.test("which stored responses a 304 freshens", () => {
  const at = (seconds: number, fields: string, request = "") =>
    entry(stored(`Date: ${httpDate(NOW - seconds * SECOND)}\n${fields}`, { request }));
  const freshened = (
    fields: string,
    asked: { response: StoredResponse },
    ...others: { response: StoredResponse }[]
  ) => {
    const all = [asked, ...others];
    return freshenedBy({ status: 304, fields: lines(fields) }, all, asked).map((found) => all.indexOf(found));
  };
  const [a, olderA, b] = [at(1, 'ETag: "a"'), at(5, 'ETag: "a"'), at(0, 'ETag: "b"')];
  // Strong: all that have it, and none else.
  assertEquals(freshened('ETag: "a"', a, olderA, b), [0, 1]);
  assertEquals(freshened('ETag: "b"', a, olderA, b), [2]);
  assertEquals(freshened('ETag: "c"', a, olderA, b), []);
  assertEquals(freshened('ETag: "a"', at(0, 'ETag: W/"a"')), []);
  assertEquals(freshened('ETag: "a"', at(0, "")), []);
  // Weak: the newest that has it.
  assertEquals(freshened('ETag: W/"a"', olderA, a, b), [1]);
  assertEquals(freshened('ETag: W/"c"', olderA, a, b), []);
  assertEquals(freshened(`Last-Modified: ${HOUR_AGO}`, at(3, `Last-Modified: ${HOUR_AGO}`)), [0]);
  assertEquals(freshened(`Last-Modified: ${httpDate(NOW)}`, at(3, `Last-Modified: ${HOUR_AGO}`)), []);
  // Nothing: only where nothing else can be meant.
  assertEquals(freshened("", a), [0]);
  assertEquals(freshened("", a, b), []);
  // What the request could not have selected is left alone.
  const [one, two] = [at(1, 'Vary: x\nETag: "a"', "X: 1"), at(0, 'Vary: x\nETag: "a"', "X: 2")];
  assertEquals(freshened('ETag: "a"', one, two), [0]);
  assertEquals(freshened('ETag: "a"', one, a), [0, 1]);
  assertEquals(freshened('ETag: "a"', a, one), [0]);
  // With the request it is known what it could have selected.
  const received = { status: 304, fields: lines('ETag: "a"') };
  assertEquals(freshenedBy(received, [a, one, two], a, lines("X: 1")), [a, one]);
  assertEquals(freshenedBy(received, [a, one, two], a, lines("X: 3")), [a]);
});

Deno.test("what a 304 changes, and what it does not", () => {
  const before = stored(`
    ETag: "a"
    Content-Encoding: gzip
    Content-Type: text/plain
    X-Twice: 1
    X-Twice: 2
    X-Kept: 1
    Age: 100
    Cache-Control: max-age=2
    Content-Length: 5
    Surrogate-Key: t`);
  const times = { requestMs: NOW + 9000, responseMs: NOW + 10_000 };
  const after = freshen({ ...before, stale: true }, {
    status: 304,
    fields: lines(`
      ETag: W/"a"
      Content-Encoding: br
      Content-Length: 10
      Content-Range: x
      Content-MD5: x
      Content-Type: text/html
      Connection: x-hop
      X-Hop: 1
      X-Twice: 3
      X-New: 1
      Set-Cookie: a=b
      Cache-Control: max-age=60, no-cache="x-kept"`),
  }, times);
  assertEquals(
    after.fields,
    lines(`
      ETag: "a"
      Content-Encoding: gzip
      Content-Type: text/html
      X-Twice: 3
      X-New: 1
      Cache-Control: max-age=60, no-cache="x-kept"
      Date: ${httpDate(NOW + 10_000)}`),
  );
  assertEquals([after.length, after.stale, after.tags], [5, false, ["t"]]);
  assertEquals(ageOf(after, NOW + 12_000), 3000);
  assertEquals(before.fields.length, 9);
});

Deno.test("what a 304 brings may be less than what is stored", () => {
  const times = { requestMs: NOW + 1000, responseMs: NOW + 1000 };
  const before = stored(
    'ETag: "a"\nExpires: 0\nCache-Tag: t\nVary: a\nSet-Cookie: a=b\nCache-Control: public, max-age=9',
  );
  const after = freshen(before, { status: 304, fields: lines("Age: 7\nSurrogate-Key: u\nSet-Cookie: c=d") }, times);
  assertEquals(ageOf(after, NOW + 1000), 7000);
  assertEquals(after.tags, ["u"]);
  assertEquals(after.varied, before.varied);
  assertEquals(after.fields.filter(([name]) => name === "set-cookie"), [["set-cookie", "c=d"]]);
  assert(after.fields.some(([name]) => name === "expires"));
});

Deno.test("a further part brings its fields, and the length where that was not known", () => {
  const part = (range: string) => answer(`ETag: "a"\nX: ${range}\nContent-Range: bytes ${range}`, 206);
  const before = toStored(get(), part("0-4/*"), { requestMs: NOW, responseMs: NOW });
  assertEquals(before.length, null);
  const after = freshen(before, part("5-9/10"), { requestMs: NOW, responseMs: NOW });
  assertEquals([after.status, after.length], [200, 10]);
  assertEquals(after.fields.find(([name]) => name === "x"), ["x", "5-9/10"]);
  assert(after.fields.every(([name]) => name !== "content-range"));
});

Deno.test("what a HEAD says of a stored response", () => {
  const response = stored(`ETag: "a"\nLast-Modified: ${HOUR_AGO}\nContent-Length: 5`);
  const says = (fields: string, of = response, status = 200) => comparedWithHead(of, answer(fields, status));
  for (
    const fields of ["", 'ETag: "a"', `Last-Modified: ${HOUR_AGO}`, "Content-Length: 5", 'ETag: "a"\nContent-Length: 5']
  ) assertEquals(says(fields), "freshen", fields);
  for (
    const fields of [
      'ETag: "b"',
      'ETag: W/"a"',
      `Last-Modified: ${httpDate(NOW)}`,
      "Last-Modified: foo",
      "Content-Length: 6",
      'ETag: "a"\nContent-Length: 6',
    ]
  ) assertEquals(says(fields), "invalidate", fields);
  assertEquals(says('ETag: "a"', stored()), "invalidate");
  assertEquals(says('ETag: "a"', response, 404), "invalidate");
  // Its length is not known yet.
  assertEquals(says('ETag: "a"\nContent-Length: 6', stored('ETag: "a"')), "freshen");
  assertEquals(says("Content-Length: 6", stored('ETag: "a"')), "invalidate");
});

Deno.test("parts of one representation", () => {
  const same = (a: string, b: string) =>
    sameRepresentation(stored(a), answer(`${b}\nContent-Range: bytes 0-4/10`, 206));
  assert(same('ETag: "a"', 'ETag: "a"'));
  assert(same('ETag: "a"\nContent-Length: 10', 'ETag: "a"'));
  assert(!same('ETag: "a"\nContent-Length: 11', 'ETag: "a"'));
  assert(!same('ETag: "a"', 'ETag: "b"'));
  assert(!same('ETag: W/"a"', 'ETag: W/"a"'));
  assert(!same("ETag: a", "ETag: a"));
  assert(!same("", ""));
  const old = `Last-Modified: ${HOUR_AGO}`;
  assert(same(old, old));
  assert(!same(`${old}\nETag: "a"`, old));
  assert(!same(old, `Last-Modified: ${httpDate(NOW - 7200 * SECOND)}`));
  const lately = `Last-Modified: ${httpDate(NOW - 59 * SECOND)}`;
  assert(!same(lately, lately));
});
