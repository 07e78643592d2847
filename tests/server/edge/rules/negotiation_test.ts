import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { normalised, variedOf } from "../../../../server/edge/rules/mod.ts";
import { lines } from "./kit.ts";

/** The field as an origin gets it; undefined where it gets none. */
function sent(name: string, value: string): string | undefined {
  return normalised([[name, value]]).find(([known]) => known === name)?.[1];
}

Deno.test("Accept-Encoding in its normal form", () => {
  const table: [value: string, normal: string][] = [
    ["gzip", "gzip"],
    ["GZip", "gzip"],
    ["x-gzip", "gzip"],
    ["gzip, deflate, br", "br, deflate, gzip"],
    ["br , gzip,deflate", "br, deflate, gzip"],
    ["gzip;q=1.0, br;q=1", "br, gzip"],
    ["gzip;q=0.50, br ; q=0.8", "br;q=0.8, gzip;q=0.5"],
    ["gzip, sdch, exi, unknown", "gzip"],
    ["gzip;q=0", "identity"],
    ["gzip;q=0, br", "br"],
    ["gzip, gzip;q=0", "gzip"],
    ["gzip;q=2, br;q=x, zstd;q=0.1234", "identity"],
    ["", "identity"],
    ["unknown", "identity"],
    ["identity", "identity"],
    ["identity;q=0.5", "identity"],
    ["gzip, identity;q=0.5", "gzip"],
    ["gzip, identity", "gzip, identity"],
    ["gzip;q=0.5, identity", "identity, gzip;q=0.5"],
    ["gzip, identity;q=0", "gzip, identity;q=0"],
    ["identity;q=0", "identity;q=0"],
    // Chromium for films.
    ["identity;q=1, *;q=0", "identity"],
    ["gzip, *;q=0", "gzip, identity;q=0"],
    ["*", "br, compress, deflate, gzip, zstd"],
    ["gzip;q=0, *;q=0.5", "br;q=0.5, compress;q=0.5, deflate;q=0.5, zstd;q=0.5"],
    ["constructor, __proto__", "identity"],
  ];
  for (const [value, normal] of table) assertEquals(sent("accept-encoding", value), normal, value);
});

Deno.test("Accept-Language in its normal form", () => {
  const table: [value: string, normal: string | undefined][] = [
    ["en", "en"],
    ["EN-us", "en-US"],
    ["zh-hant-tw", "zh-Hant-TW"],
    ["x-US-abcd", "x-us-abcd"],
    ["en, de", "de, en"],
    ["de,en", "de, en"],
    ["en-US,en;q=0.5", "en-US, en;q=0.5"],
    ["en;q=0.50, fr;q=0.8, de;q=1.000", "de, fr;q=0.8, en;q=0.5"],
    ["en, en;q=0.3, EN", "en"],
    ["fr;q=0, en", "en"],
    ["fr;q=0, *", "*, fr;q=0"],
    ["en-GB;q=0, en", "en, en-GB;q=0"],
    ["en-GB;q=0, de", "de"],
    ["*", "*"],
    ["*;q=0, en", "en"],
    ["en_US, e/n, , verylongsubtag", undefined],
    ["fr;q=0", undefined],
    ["fr;q=x", undefined],
    ["", undefined],
  ];
  for (const [value, normal] of table) assertEquals(sent("accept-language", value), normal, value);
});

Deno.test("a normal form is its own normal form, and does not depend on order, space, or case", () => {
  for (const name of ["accept-encoding", "accept-language"]) {
    const member = fc.tuple(
      fc.constantFrom("gzip", "br", "zstd", "identity", "*", "en", "en-gb", "de", "zh-hant", "x-a", "no such"),
      fc.constantFrom("", ";q=1", ";q=0", ";q=0.5", ";q=0.123", ";q=9", ";level=1", ";Q=0.7"),
    );
    fc.assert(fc.property(
      fc.uniqueArray(member, { selector: ([head]) => head, maxLength: 7 }),
      fc.integer({ min: 0, max: 6 }),
      (list, turn) => {
        const normal = sent(name, list.map((parts) => parts.join("")).join(","));
        if (normal !== undefined) assertEquals(sent(name, normal), normal);
        const turned = [...list.slice(turn), ...list.slice(0, turn)];
        const other = turned.map(([head, weight]) => ` ${head.toUpperCase()} ${weight.replace(";", " ; ")}`).join(
          " , ",
        );
        assertEquals(sent(name, other), normal);
      },
    ));
  }
});

Deno.test("long fields of negotiation take no longer than their length", () => {
  // Each of these would take minutes if a step went over the whole for each member.
  const many = Array.from({ length: 50_000 }, (_, i) => `a-${i.toString(36)};q=0`).join(",");
  assertEquals(sent("accept-language", many), undefined);
  assertEquals(sent("accept-encoding", many), "identity");
  assertEquals(sent("accept-language", `${"a-".repeat(100_000)}a;q=0`), undefined);
});

Deno.test("what a response varies with, as the request has it", () => {
  const varied = (request: string, vary: string) => variedOf(lines(request), lines(vary));
  assertEquals(varied("A: 1", ""), []);
  assertEquals(varied("A: 1", "Vary:"), []);
  assertEquals(varied("A: 1", "Vary: B, a ,, A"), [["a", "1"], ["b", null]]);
  assertEquals(varied("A: 1\nB: x\nA:  2 ", "Vary: a\nVary: b"), [["a", "1, 2"], ["b", "x"]]);
  assertEquals(varied("A:", "Vary: a"), [["a", ""]]);
  assertEquals(varied("", "Vary: accept-encoding, accept-language, accept"), [
    ["accept", null],
    ["accept-encoding", null],
    ["accept-language", null],
  ]);
  assertEquals(
    varied(
      'Accept: text/html ;q=0.8,image/* , a/b;x="1 , 2;3"\nAccept-Encoding: gzip\nAccept-Encoding: br\nAccept-Language: ??',
      "Vary: Accept, Accept-Encoding, Accept-Language",
    ),
    [["accept", 'text/html;q=0.8, image/*, a/b;x="1 , 2;3"'], ["accept-encoding", "br, gzip"], [
      "accept-language",
      null,
    ]],
  );
  // No origin sees it, so nothing can depend on it.
  assertEquals(varied("X-Forwarded-Host: evil", "Vary: x-forwarded-host"), [["x-forwarded-host", null]]);
  for (const vary of ["*", "a, *", "*, a", "*,*", ", *", "a b", "a;b", '"a"', "a\u00e9"]) {
    assertEquals(varied("A: 1", `Vary: ${vary}`), null, vary);
  }
});

Deno.test("what a request is keyed by is what its origin sees", () => {
  const value = fc.constantFrom("gzip, br;q=0.5", "br", "en, de;q=0", "de , en", "1", "", "*;q=0", "a/b ; q=1,c/d");
  const name = fc.constantFrom("accept-encoding", "accept-language", "accept", "cookie", "x-forwarded-for", "x-a");
  fc.assert(fc.property(fc.array(fc.tuple(name, value), { maxLength: 5 }), name, (fields, nominated) => {
    const vary: [string, string][] = [["vary", nominated]];
    assertEquals(variedOf(normalised(fields), vary), variedOf(fields, vary));
  }));
});

Deno.test("what goes to an origin", () => {
  assertEquals(
    normalised(lines(`
      Host: evil.example
      Connection: close, X-Hop
      X-Hop: 1
      Keep-Alive: 1
      Proxy-Connection: close
      Proxy-Authorization: x
      TE: trailers
      Trailer: x
      Transfer-Encoding: chunked
      Upgrade: h2c
      HTTP2-Settings: x
      Content-Length: 5
      Expect: 100-continue
      If-Match: "a"
      If-None-Match: "a"
      If-Modified-Since: x
      If-Unmodified-Since: x
      If-Range: "a"
      Range: bytes=0-1
      Forwarded: for=1
      X-Forwarded-For: 1
      X-Forwarded-Host: evil.example
      X-Forwarded-Anything: 1
      X-Original-URL: /admin
      X-Rewrite-URL: /admin
      X-Host: evil.example
      X-HTTP-Method-Override: DELETE
      X-Real-IP: 1
      User-Agent: x
      Accept: a/b
      Accept-Language: EN
      Cookie: a=b
      Cookie: c=d
      Authorization: x
      Accept-Encoding: gzip
      Accept-Language: de
      Accept-Encoding: br
      Cache-Control: max-age=0
      X-Own: 1`)),
    lines(`
      User-Agent: x
      Accept: a/b
      Accept-Language: de, en
      Cookie: a=b
      Cookie: c=d
      Authorization: x
      Accept-Encoding: br, gzip
      Cache-Control: max-age=0
      X-Own: 1`),
  );
  assert(normalised([]).length === 0);
});
