import { assertEquals, assertThrows } from "@std/assert";
import { CdnError } from "../../../proto/mod.ts";
import { defaultRules, parsePolicy } from "../../../server/serve/policy.ts";

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
    assertEquals(rules(path), { cacheControl, maxAgeSeconds }, path);
  }
});

Deno.test("without a policy: public for four weeks", () => {
  assertEquals(defaultRules("/x"), { cacheControl: "public, max-age=2419200", maxAgeSeconds: 28 * 86400 });
});

Deno.test("a bad policy names the field", () => {
  for (
    const [text, field] of [
      ["{", "JSON"],
      ['{"rules":[{"glob":"x"}]}', "rules[0].glob"],
      ['{"rules":[{"glob":"/x","maxAgeSeconds":-1}]}', "max_age_seconds"],
      ['{"rules":[{"glob":"/x","noStore":true,"maxAgeSeconds":1}]}', "rules[0].noStore"],
      ['{"rule":[]}', "rule"],
    ] as const
  ) {
    const error = assertThrows(() => parsePolicy(text), CdnError);
    assertEquals([error.status, error.message.includes(field)], [400, true], `${text}: ${error.message}`);
  }
});
