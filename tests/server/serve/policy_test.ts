import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { CdnError, wire } from "../../../proto/mod.ts";
import type { HeaderLine } from "../../../runtime/http1/transport.ts";
import { holdsDigest } from "../../../server/serve/hashed_name.ts";
import { parseHttpDate } from "../../../server/serve/http_date.ts";
import {
  applyPolicy,
  cachingFields,
  compilePolicy,
  defaultRules,
  parseMatched,
  parsePolicy,
} from "../../../server/serve/policy.ts";
import { message } from "../../proto/arbitrary.ts";

const rules = parsePolicy(JSON.stringify({
  rules: [
    { glob: "/live/**", noStore: true },
    { glob: "/**/*.{jpg,png}", maxAgeSeconds: 60, immutable: true },
    { glob: "/me/*", maxAgeSeconds: 10, private: true },
    { glob: "/now", maxAgeSeconds: 0 },
  ],
}));

Deno.test("the first glob that matches wins", () => {
  const table: [path: string, cacheControl: string, maxAgeSeconds: number | null][] = [
    ["/live/a.jpg", "no-store", null],
    ["/live/deep/er/b", "no-store", null],
    ["/a.jpg", "public, max-age=60, immutable", 60],
    ["/deep/er/a.png", "public, max-age=60, immutable", 60],
    ["/a.jpeg", "public, max-age=2419200", 2419200],
    ["/me/x", "private, max-age=10", 10],
    ["/me/deeper/x", "public, max-age=2419200", 2419200],
    ["/now", "public, max-age=0, must-revalidate", 0],
  ];
  for (const [path, cacheControl, maxAgeSeconds] of table) {
    assertEquals(rules(path), { cacheControl, maxAgeSeconds, cdnCacheControl: null }, path);
  }
});

Deno.test("each field of a rule is a directive", () => {
  const table: [rule: Record<string, unknown>, cacheControl: string, cdnCacheControl?: string][] = [
    [{ maxAgeSeconds: 60, sharedMaxAgeSeconds: 600 }, "public, max-age=60, s-maxage=600"],
    [{ maxAgeSeconds: 60, sharedMaxAgeSeconds: 0 }, "public, max-age=60, s-maxage=0"],
    [{ maxAgeSeconds: 60, mustRevalidate: true }, "public, max-age=60, must-revalidate"],
    [
      { maxAgeSeconds: 60, staleWhileRevalidateSeconds: 30, staleIfErrorSeconds: 86400 },
      "public, max-age=60, stale-while-revalidate=30, stale-if-error=86400",
    ],
    // It may be used stale, so must-revalidate does not go without saying.
    [{ staleWhileRevalidateSeconds: 30 }, "public, max-age=0, stale-while-revalidate=30"],
    [{ noCache: true }, "public, max-age=0, no-cache, must-revalidate"],
    [{ noCache: true, private: true }, "private, max-age=0, no-cache, must-revalidate"],
    [{ maxAgeSeconds: 60, cdnMaxAgeSeconds: 600 }, "public, max-age=60", "max-age=600"],
    [{ noStore: true, cdnMaxAgeSeconds: 600 }, "no-store", "max-age=600"],
    [{ noCache: true, cdnMaxAgeSeconds: 600 }, "public, max-age=0, no-cache, must-revalidate", "max-age=600"],
    [
      { maxAgeSeconds: 60, cdnMaxAgeSeconds: 600, staleIfErrorSeconds: 5 },
      "public, max-age=60, stale-if-error=5",
      "max-age=600, stale-if-error=5",
    ],
    [
      { maxAgeSeconds: 60, cdnMaxAgeSeconds: 600, mustRevalidate: true },
      "public, max-age=60, must-revalidate",
      "max-age=600, must-revalidate",
    ],
    [{ maxAgeSeconds: 60, cdnMaxAgeSeconds: 0 }, "public, max-age=60", "max-age=0, must-revalidate"],
    [{ contentAddressed: true }, "public, max-age=31536000, immutable"],
    [{ contentAddressed: true, maxAgeSeconds: 60, private: true }, "private, max-age=60, immutable"],
  ];
  for (const [rule, cacheControl, cdnCacheControl = null] of table) {
    const found = parsePolicy(JSON.stringify({ rules: [{ glob: "/**", ...rule }] }))("/a.3f2a91bc.js");
    assertEquals([found.cacheControl, found.cdnCacheControl], [cacheControl, cdnCacheControl], JSON.stringify(rule));
  }
});

Deno.test("a rule for content-addressed names leaves the others to the rules after it", () => {
  const policy = parsePolicy(JSON.stringify({
    rules: [{ glob: "/assets/**", contentAddressed: true }, { glob: "/assets/**", maxAgeSeconds: 60 }],
  }));
  const found = ["/assets/app.3f2a91bc.js", "/assets/app.js", "/app.3f2a91bc.js"].map((path) => policy(path));
  assertEquals(found.map(({ cacheControl }) => cacheControl), [
    "public, max-age=31536000, immutable",
    "public, max-age=60",
    "public, max-age=2419200",
  ]);
});

Deno.test("which names hold a digest", () => {
  for (
    const path of [
      "/app.3f2a91bc.js",
      "/js/main-3F2A91BC.min.js",
      "/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
      "/photo_0123abcd",
      "/3f2a91bc~1.css",
    ]
  ) assertEquals(holdsDigest(path), true, path);
  for (
    const path of [
      "/app.js",
      "/app.3f2a91b.js", // 7 digits
      "/photo-20261128.jpg", // a date
      "/deadbeef.txt", // a word
      "/x3f2a91bc.js", // part of a longer word
      "/3f2a91bcz.js",
      "/3f2a91bC.js", // both cases
      "/3f2a91bc/app.js", // not in the last segment
      "/1b4e28ba-2fa1-11d2-883f-0016d3cca427.png", // a UUID
      "/index-DiwrgTda.js", // another alphabet
    ]
  ) assertEquals(holdsDigest(path), false, path);
});

Deno.test("without a policy: public for four weeks", () => {
  assertEquals(defaultRules("/x"), {
    cacheControl: "public, max-age=2419200",
    maxAgeSeconds: 28 * 86400,
    cdnCacheControl: null,
  });
});

Deno.test("whatever a rule says: Expires is Date and max-age, and there is none with no-store", () => {
  fc.assert(fc.property(message(wire.CacheRuleSchema), fc.nat(4e12), (rule, nowMs) => {
    const policy = compilePolicy({ $typeName: "metacdn.v1.CachePolicy", rules: [rule] });
    for (const path of ["/a/x.jpg", "/a.3f2a91bc.js"]) {
      const fields = new Map(cachingFields(policy(path), nowMs));
      const maxAge = /(?:^|, )max-age=(\d+)/.exec(fields.get("cache-control")!)?.[1];
      const expires = fields.get("expires");
      assertEquals(expires === undefined, fields.get("cache-control") === "no-store");
      if (expires === undefined) continue;
      assertEquals(parseHttpDate(expires), Math.floor(nowMs / 1000) * 1000 + Number(maxAge) * 1000);
    }
  }));
});

Deno.test("a policy on a foreign answer: its caching fields are replaced, nothing else is", () => {
  const [rule, none] = ["/a.jpg", "/b"].map(
    parseMatched('{"rules":[{"glob":"/*.jpg","maxAgeSeconds":60,"cdnMaxAgeSeconds":600}]}'),
  );
  assertEquals(none, null);
  const nowMs = Date.parse("Sat, 28 Nov 2026 12:00:00 GMT");
  const date: HeaderLine = ["date", "Sat, 28 Nov 2026 11:00:00 GMT"];
  const theirs: HeaderLine[] = [
    ["cache-control", "no-cache"],
    ["etag", '"x"'],
    ["pragma", "no-cache"],
    ["expires", "0"],
    ["cache-control", "max-age=1"],
    ["cdn-cache-control", "no-store"],
    ["age", "30"],
    ["vary", "accept"],
  ];
  const apply = (status: number, fields: readonly HeaderLine[]) => applyPolicy(rule!, { status, fields }, nowMs).fields;
  const ours: HeaderLine[] = [
    ["cache-control", "public, max-age=60"],
    ["expires", "Sat, 28 Nov 2026 11:01:00 GMT"],
    ["cdn-cache-control", "max-age=600"],
  ];
  const kept: HeaderLine[] = [["etag", '"x"'], ["age", "30"], ["vary", "accept"]];
  for (const status of [200, 203, 206, 304]) {
    assertEquals(apply(status, [date, ...theirs]), [date, ...kept, ...ours]);
  }
  for (const status of [204, 301, 404, 410, 500, 503]) {
    assertEquals(apply(status, [date, ...theirs]), [date, ...theirs]);
  }
  const personal: HeaderLine[] = [date, ["set-cookie", "a=1"], ...theirs];
  assertEquals(apply(200, personal), personal);
  for (const bad of [[], [["date", "yesterday"]]] as HeaderLine[][]) {
    assertEquals(apply(200, [...bad, ["etag", '"x"']]), [
      ["etag", '"x"'],
      ["date", "Sat, 28 Nov 2026 12:00:00 GMT"],
      ["cache-control", "public, max-age=60"],
      ["expires", "Sat, 28 Nov 2026 12:01:00 GMT"],
      ["cdn-cache-control", "max-age=600"],
    ]);
  }
});

Deno.test("a bad policy names the field", () => {
  for (
    const [text, field] of [
      ["{", "JSON"],
      ['{"rules":[{"glob":"x"}]}', "rules[0].glob"],
      ['{"rules":[{"glob":"/x","maxAgeSeconds":-1}]}', "max_age_seconds"],
      ['{"rules":[{"glob":"/x","noStore":true,"maxAgeSeconds":1}]}', "rules[0].noStore"],
      ['{"rules":[{"glob":"/x","noCache":true,"immutable":true}]}', "rules[0].noCache must have no immutable"],
      ['{"rules":[{"glob":"/x","immutable":"hashed"}]}', "immutable"],
      ['{"rule":[]}', "rule"],
    ] as const
  ) {
    const error = assertThrows(() => parsePolicy(text), CdnError);
    assertEquals([error.status, error.message.includes(field)], [400, true], `${text}: ${error.message}`);
  }
});
