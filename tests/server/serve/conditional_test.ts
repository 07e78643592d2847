import { assertEquals } from "@std/assert";
import {
  checkPreconditions,
  ifRangeHolds,
  type Validators,
  validatorsOf,
  type Verdict,
} from "../../../server/serve/conditional.ts";

const MODIFIED = "Sun, 06 Nov 1994 08:49:37 GMT";
const modifiedMs = Date.parse(MODIFIED);
const writtenMs = Date.parse("Mon, 07 Nov 1994 00:00:00 GMT");
const current: Validators = { etag: '"abc"', modifiedMs, writtenMs };
const EARLIER = "Sat, 05 Nov 1994 08:49:37 GMT";
const BETWEEN = "Sun, 06 Nov 1994 20:00:00 GMT";
const LATER = "Tue, 08 Nov 1994 08:49:37 GMT";

const table: [method: string, fields: Record<string, string>, verdict: Verdict, withoutObject?: Verdict][] = [
  ["GET", {}, "go"],
  ["GET", { "if-none-match": '"abc"' }, "not-modified"],
  ["HEAD", { "if-none-match": '"abc"' }, "not-modified"],
  ["GET", { "if-none-match": 'W/"abc"' }, "not-modified"], // compared weakly
  ["GET", { "if-none-match": '"x", "abc"' }, "not-modified"],
  ["GET", { "if-none-match": "*" }, "not-modified"],
  ["GET", { "if-none-match": '"x"' }, "go"],
  ["GET", { "if-none-match": '"x"', "if-modified-since": LATER }, "go"], // the date does not count beside it
  ["GET", { "if-modified-since": MODIFIED }, "not-modified"],
  ["GET", { "if-modified-since": "Sunday, 06-Nov-94 08:49:37 GMT" }, "not-modified"],
  ["GET", { "if-modified-since": "Sun Nov  6 08:49:37 1994" }, "not-modified"],
  ["GET", { "if-modified-since": LATER }, "not-modified"],
  ["GET", { "if-modified-since": EARLIER }, "go"],
  ["GET", { "if-modified-since": BETWEEN }, "go"], // a copy of what was there before this version was written
  ["GET", { "if-modified-since": "yesterday" }, "go"],
  ["PUT", { "if-modified-since": MODIFIED }, "go"], // only for GET and HEAD
  ["GET", { "if-match": '"abc"' }, "go"],
  ["GET", { "if-match": 'W/"abc"' }, "failed"], // compared strongly
  ["GET", { "if-match": '"x"' }, "failed"],
  ["GET", { "if-match": '"abc"', "if-none-match": '"abc"' }, "not-modified"],
  ["GET", { "if-match": '"x"', "if-none-match": '"abc"' }, "failed"], // If-Match first
  ["GET", { "if-match": '"abc"', "if-unmodified-since": EARLIER }, "go"],
  ["GET", { "if-unmodified-since": EARLIER }, "failed"],
  ["GET", { "if-unmodified-since": MODIFIED }, "go"],
  ["GET", { "if-unmodified-since": LATER }, "go"],
  ["PUT", { "if-match": '"abc"' }, "go", "failed"],
  ["PUT", { "if-match": '"x"' }, "failed", "failed"],
  ["PUT", { "if-match": "*" }, "go", "failed"],
  ["PUT", { "if-none-match": "*" }, "failed", "go"],
  ["PUT", { "if-none-match": '"abc"' }, "failed", "go"],
  ["PUT", { "if-unmodified-since": EARLIER }, "failed", "failed"],
  ["DELETE", { "if-match": '"abc"' }, "go"],
];

Deno.test("preconditions are evaluated as RFC 9110 §13.2.2 orders them", () => {
  for (const [method, fields, verdict, withoutObject] of table) {
    const name = `${method} ${JSON.stringify(fields)}`;
    assertEquals(checkPreconditions(method, new Headers(fields), current), verdict, name);
    if (withoutObject) {
      assertEquals(checkPreconditions(method, new Headers(fields), null), withoutObject, `${name}, none`);
    }
  }
});

Deno.test("If-Range holds for the very entity tag, or the very and settled date", () => {
  const later = writtenMs + 5000;
  const holds = (field: string, nowMs = later) => ifRangeHolds(field, current, nowMs);
  assertEquals(holds('"abc"'), true);
  assertEquals(holds('W/"abc"'), false);
  assertEquals(holds('"x"'), false);
  assertEquals(holds(MODIFIED), true);
  assertEquals(holds(MODIFIED, writtenMs + 500), false); // it may change once more within that second
  assertEquals(holds(LATER), false);
  assertEquals(holds("nonsense"), false);
});

Deno.test("Last-Modified is what the uploader told, never later than the write", () => {
  const manifest = {
    path: "/a",
    version: { wallMs: writtenMs + 7, counter: 0, server: "s" },
    deleted: false,
    sha256: "0".repeat(64),
    size: 0,
    mediaType: "",
    name: "",
    modifiedMs: modifiedMs + 999,
    meta: {},
  };
  assertEquals(validatorsOf(manifest).modifiedMs, modifiedMs);
  assertEquals(validatorsOf({ ...manifest, modifiedMs: 0 }).modifiedMs, writtenMs);
  assertEquals(validatorsOf({ ...manifest, modifiedMs: writtenMs + 86_400_000 }).modifiedMs, writtenMs);
});
