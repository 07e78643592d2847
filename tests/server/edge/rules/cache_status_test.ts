import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { parseList, Token } from "structured-headers";
import { cacheStatus } from "../../../../server/edge/rules/mod.ts";
import { lines } from "./kit.ts";

Deno.test("what an edge did", () => {
  assertEquals(cacheStatus([], "edge", { hit: true, ttlMs: 3500 }), "edge;hit;ttl=3");
  assertEquals(cacheStatus([], "edge", { hit: true, ttlMs: -1 }), "edge;hit;ttl=-1");
  assertEquals(
    cacheStatus([], "edge", { hit: false, fwd: "uri-miss", fwdStatus: 200, stored: true, collapsed: false }),
    "edge;fwd=uri-miss;fwd-status=200;stored;collapsed=?0",
  );
  assertEquals(
    cacheStatus([], "edge", { hit: true, fwd: "stale", stored: true, detail: "on error" }),
    'edge;hit;detail="on error"',
  );
  assertEquals(cacheStatus([], "edge 1.example:80", { hit: false }), '"edge 1.example:80"');
  assertEquals(cacheStatus([], 'a"\\\r\n\u00e9b', { hit: false }), '"a\\"\\\\b"');
});

Deno.test("ours stands behind those of further caches, and what is no list goes", () => {
  const behind = (fields: string) => cacheStatus(lines(fields), "edge", { hit: true });
  assertEquals(behind("Cache-Status: origin; hit; ttl=3"), "origin;hit;ttl=3, edge;hit");
  assertEquals(behind('Cache-Status: a;fwd=miss\nCache-Status: "b c"'), 'a;fwd=miss, "b c", edge;hit');
  for (const field of ["HIT from x,", '"', "a;;", "", "ä", "1", "(a b)", "@0"]) {
    assertEquals(behind(`Cache-Status: ${field}`), "edge;hit");
  }
});

Deno.test("it can always be read", () => {
  fc.assert(fc.property(
    fc.string({ unit: "binary" }),
    fc.string({ unit: "binary" }),
    // The library that reads here takes no date before a comma, which RFC 9651 §4.2.9 allows.
    fc.string().filter((text) => !text.includes("@")),
    fc.boolean(),
    fc.integer({ min: -1e15, max: 1e15 }),
    (cache, detail, before, hit, ttlMs) => {
      const text = cacheStatus([["cache-status", before]], cache, { hit, fwd: "miss", ttlMs, detail });
      const [name, parameters] = parseList(text).at(-1)!;
      assert(typeof name === "string" || name instanceof Token);
      assertEquals(parameters.get("ttl"), Math.floor(ttlMs / 1000));
      assertEquals(parameters.has("hit"), hit);
    },
  ));
});
