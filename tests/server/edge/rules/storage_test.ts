import { assert, assertEquals } from "@std/assert";
import { judgeStorage, toStored } from "../../../../server/edge/rules/mod.ts";
import { tagFields, tagsOf } from "../../../../server/edge/rules/stored_fields.ts";
import { answer, get, httpDate, NOW, SECOND, SETTINGS, stored } from "./kit.ts";

/** "" where it may be stored, else why not. */
function judged(fields: string, { status = 200, request = "", method = "GET" } = {}): string {
  const verdict = judgeStorage(get(request, method), answer(fields, status), SETTINGS);
  return verdict.store ? "" : verdict.reason;
}

const FRESH = "Cache-Control: max-age=60";

Deno.test("what may be stored by its fields", () => {
  const old = `Last-Modified: ${httpDate(NOW - 5000 * SECOND)}`;
  const table: [fields: string, reason: string][] = [
    [FRESH, ""],
    ["Cache-Control: s-maxage=60", ""],
    [`Expires: ${httpDate(NOW + 5000)}`, ""],
    [old, ""],
    ['ETag: "a"', ""],
    ["Pragma: no-cache\n" + FRESH, ""],
    ["Cache-Control: max-age=60, no-store", "no-store"],
    ["Cache-Control: max-age=60, No-StOrE", "no-store"],
    ["Cache-Control: max-age=60, no-store=x", "no-store"],
    ['Cache-Control: max-age=60, x="no-store"', ""],
    ['Cache-Control: max-age=60, x="\\", no-store, \\""', ""],
    ["Cache-Control: max-age=60\nCache-Control: no-store", "no-store"],
    ["Cache-Control: max-age=60, private", "private"],
    ['Cache-Control: max-age=60, private=""', "private"],
    ['Cache-Control: max-age=60, private="x-user"', ""],
    ["Cache-Control: max-age=60, private=x-user", ""],
    ['Cache-Control: max-age=60, private="x-user", private', "private"],
    ['Cache-Control: max-age=60, private="etag"', "private"],
    ["Cache-Control: max-age=60, private=x y", "private"],
    ["Vary: *\n" + FRESH, "vary"],
    ["Vary: a, *\n" + FRESH, "vary"],
    ["Vary: a\nVary: , *\n" + FRESH, "vary"],
    ["Vary: a b\n" + FRESH, "vary"],
    [`Vary: ${Array.from({ length: 33 }, (_, i) => `x-${i}`)}\n` + FRESH, "vary"],
    ["Vary: , a,\n" + FRESH, ""],
    // Nothing to use it by.
    ["", "no use"],
    ["Cache-Control: no-cache, max-age=60", "no use"],
    ['Cache-Control: no-cache\nETag: "a"', ""],
    ["Cache-Control: max-age=0, must-revalidate", "no use"],
    ["Cache-Control: max-age=0", "no use"],
    ["Cache-Control: max-age=0, stale-while-revalidate=5", ""],
    ["Cache-Control: max-age=0, stale-if-error=5", ""],
    ["Cache-Control: public", "no use"],
    ["Cache-Control: public\n" + old, ""],
    // Targeted at us.
    ["CDN-Cache-Control: no-store\n" + FRESH, "no-store"],
    ["CDN-Cache-Control: private\n" + FRESH, "private"],
    ["CDN-Cache-Control: max-age=60\nCache-Control: no-store, private", ""],
    ["CDN-Cache-Control: max-age=60,\nCache-Control: no-store", "no-store"],
    ["CDN-Cache-Control: \nCache-Control: no-store", "no-store"],
  ];
  for (const [fields, reason] of table) assertEquals(judged(fields), reason, fields);
});

Deno.test("which statuses may be stored", () => {
  for (const status of [200, 203, 204, 299, 301, 302, 307, 400, 403, 404, 410, 499, 500, 503, 599]) {
    assertEquals(judged(FRESH, { status }), "", String(status));
  }
  for (const status of [100, 101, 103, 199, 304, 407, 412, 416, 425, 428, 429, 431, 511, 600, 999]) {
    assertEquals(judged(FRESH, { status }), "status", String(status));
  }
  const old = `Last-Modified: ${httpDate(NOW - 5000 * SECOND)}`;
  for (const status of [201, 302, 403, 500, 503, 599]) {
    assertEquals(judged(old, { status }), "no freshness", String(status));
    assertEquals(judged(`${old}\nCache-Control: public`, { status }), "", String(status));
  }
});

Deno.test("must-understand lifts no-store for statuses that are understood, and forbids the others", () => {
  const both = "Cache-Control: max-age=60, must-understand, no-store";
  assertEquals(judged(both), "");
  assertEquals(judged(both, { status: 404 }), "");
  assertEquals(judged(both, { status: 299 }), "no-store");
  assertEquals(judged("Cache-Control: max-age=60, must-understand", { status: 299 }), "must-understand");
});

Deno.test("what a request forbids", () => {
  assertEquals(judged(FRESH, { method: "HEAD" }), "method");
  assertEquals(judged(FRESH, { method: "POST" }), "method");
  assertEquals(judged(FRESH, { method: "get" }), "method");
  assertEquals(judged(FRESH, { request: "Cache-Control: max-age=0, no-store" }), "request no-store");
  assertEquals(judged(FRESH, { request: "Cookie: a=b" }), "");
  const request = "Authorization: Basic eA==";
  assertEquals(judged(FRESH, { request }), "authorization");
  assertEquals(judged("Cache-Control: max-age=60, proxy-revalidate", { request }), "authorization");
  for (const directive of ["public", "must-revalidate", "s-maxage=60"]) {
    assertEquals(judged(`Cache-Control: max-age=60, ${directive}`, { request }), "", directive);
  }
});

Deno.test("a response that sets a cookie is only stored where the origin says that all may share it", () => {
  const cookie = "Set-Cookie: a=b";
  assertEquals(judged(`${cookie}\n${FRESH}`), "set-cookie");
  assertEquals(judged(`${cookie}\n${FRESH}, public`), "");
  assertEquals(judged(`${cookie}\nCache-Control: s-maxage=60`), "");
  assertEquals(judged(`${cookie}\nCache-Control: public\nLast-Modified: ${httpDate(NOW - 1e6)}`), "set-cookie");
  const withheld = `${cookie}\nCache-Control: max-age=60, no-cache="Set-Cookie"`;
  assertEquals(judged(withheld), "");
  assertEquals(stored(withheld).fields.some(([name]) => name === "set-cookie"), false);
});

Deno.test("a part is stored where it says which one it is", () => {
  const part = (range: string) => judged(`${FRESH}\n${range}`, { status: 206 });
  assertEquals(part("Content-Range: bytes 0-4/10"), "");
  assertEquals(part("Content-Range: bytes 0-4/*"), "");
  for (
    const range of [
      "",
      "Content-Range: bytes */10",
      "Content-Range: lines 0-4/10",
      "Content-Range: bytes 4-0/10",
      "Content-Range: bytes 0-10/10",
      "Content-Range: bytes 0-4/10\nContent-Range: bytes 0-4/10",
      "Content-Range: bytes 0-4/10\nContent-Length: 6",
      "Content-Type: multipart/byteranges; boundary=x",
      "Content-Type: Multipart/Byteranges; boundary=x\nContent-Range: bytes 0-4/10",
    ]
  ) assertEquals(part(range), "content-range", range);
});

Deno.test("what is stored of a response", () => {
  const response = stored(`
    Connection: x-hop, Cache-Control
    X-Hop: 1
    Keep-Alive: timeout=5
    Proxy-Connection: close
    Proxy-Authenticate: Basic
    Proxy-Authentication-Info: x
    Proxy-Authorization: x
    TE: trailers
    Trailer: x
    Upgrade: h2c
    Content-Length: 10
    Content-Range: bytes 0-1/2
    Surrogate-Key: a b
    Cache-Tag: c, d
    X-Secret: 1
    X-Kept: 1
    Unknown: 2
    X-Kept: 3
    CDN-Cache-Control: max-age=5, private="x-secret"
    Cache-Control: max-age=60
    Date: ${httpDate(NOW)}
    Age: 3`);
  assertEquals(response.fields, [
    ["content-range", "bytes 0-1/2"], // of a 200 it means nothing, and harms nobody
    ["x-kept", "1"],
    ["unknown", "2"],
    ["x-kept", "3"],
    ["cdn-cache-control", 'max-age=5, private="x-secret"'],
    ["cache-control", "max-age=60"],
    ["date", httpDate(NOW)],
    ["age", "3"],
  ]);
  assertEquals(response.tags, ["a", "b", "c", "d"]);
  assertEquals([response.status, response.length, response.stale], [200, 10, false]);
  const part = toStored(get(), { status: 206, fields: [["content-range", "bytes 0-1/2"], ["date", httpDate(NOW)]] }, {
    requestMs: NOW,
    responseMs: NOW,
  });
  assertEquals([part.status, part.length, part.fields], [200, 2, [["date", httpDate(NOW)]]]);
});

Deno.test("a response without a right Date gets the time when it came", () => {
  for (const fields of [[], [["date", "foo"]], [["date", ""], ["date", "0"]]] as [string, string][][]) {
    const times = { requestMs: NOW, responseMs: NOW + 999 };
    assertEquals(toStored(get(), { status: 200, fields }, times).fields, [["date", httpDate(NOW)]]);
  }
  const twice = `Date: bad\nDate: ${httpDate(NOW - 9000)}\nDate: ${httpDate(NOW)}`;
  assertEquals(stored(twice).fields, [["date", httpDate(NOW - 9000)]]);
});

Deno.test("the length of the complete representation", () => {
  const table: [fields: string, status: number, length: number | null][] = [
    ["Content-Length: 10", 200, 10],
    ["Content-Length: 10, 10", 200, 10],
    ["Content-Length: 10\nContent-Length: 11", 200, null],
    ["Content-Length: -1", 200, null],
    ["Content-Length: 1e3", 200, null],
    ["Content-Length: 99999999999999999999", 200, null],
    ["Content-Length: 10\nTransfer-Encoding: chunked", 200, null],
    ["", 200, null],
    ["Content-Length: 5\nContent-Range: bytes 0-4/10", 206, 10],
    ["Content-Length: 5\nContent-Range: bytes 0-4/*", 206, null],
    ["", 204, 0],
  ];
  for (const [fields, status, length] of table) {
    const response = stored(fields, { status });
    assertEquals(response.length, length, fields);
    assertEquals(response.status, status === 206 ? 200 : status);
  }
});

Deno.test("tags are bounded, in number and in length", () => {
  const many = Array.from({ length: 5000 }, (_, i) => `t${i}`);
  const { tags } = stored(`Surrogate-Key: ${many.join(" ")} ${"x".repeat(5000)}\nCache-Tag: a`);
  assertEquals(tags.length, 1024);
  assert(tags.every((tag) => tag.length <= 1024));
  assertEquals(stored("Surrogate-Key:  a   b a\nCache-Tag: , c d ,a").tags, ["a", "b", "c d"]);
});

Deno.test("tags go from edge to edge as they are", () => {
  const fields: [string, string][] = [["surrogate-key", "a b,c  d"], ["cache-tag", "two words, x ,a"]];
  const tags = tagsOf(fields);
  assertEquals(tags, ["a", "b,c", "d", "two words", "x"]);
  assertEquals(tagsOf(tagFields(tags)).sort(), [...tags].sort());
  assertEquals(tagFields([]), []);
});
