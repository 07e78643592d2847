import { assertEquals } from "@std/assert";
import type { StoredResponse } from "../../../../server/edge/response.ts";
import { decide } from "../../../../server/edge/rules/mod.ts";
import { entry, get, httpDate, NOW, SECOND, SETTINGS, stored } from "./kit.ts";

/** A decision in words, `after` seconds after the response came. */
function decided(
  response: StoredResponse | string,
  { request = "", after = 0, staleOnError = 0, method = "GET" } = {},
): string {
  const found = entry(typeof response === "string" ? stored(response) : response);
  const settings = { ...SETTINGS, staleOnErrorMs: staleOnError * SECOND };
  const decision = decide(get(request, method), [found], NOW + after * SECOND, settings);
  switch (decision.kind) {
    case "miss":
      return `miss ${decision.because}`;
    case "serve":
      return ["serve", decision.stale ? "stale" : "", decision.refresh ? "refresh" : ""].filter(Boolean).join(" ");
    case "validate":
      return `validate ${decision.because}${decision.onError ? " or stale" : ""}`;
    case "refuse":
      return "refuse";
  }
}

const FRESH = "Cache-Control: max-age=60";

Deno.test("fresh is served, stale is validated", () => {
  assertEquals(decided(FRESH), "serve");
  assertEquals(decided(FRESH, { method: "HEAD" }), "serve");
  assertEquals(decided(FRESH, { after: 59.999 }), "serve");
  assertEquals(decided(FRESH, { after: 60 }), "validate stale");
  assertEquals(decided("Cache-Control: max-age=60\nAge: 59", { after: 1 }), "validate stale");
  assertEquals(decided("Cache-Control: max-age=60, immutable", { after: 61 }), "validate stale");
  assertEquals(decided("Cache-Control: max-age=60, no-cache"), "validate stale");
  assertEquals(decided('Cache-Control: max-age=60, no-cache="a"'), "serve");
});

Deno.test("what a request wishes for", () => {
  const table: [request: string, after: number, decision: string][] = [
    ["Cache-Control: no-cache", 0, "validate request"],
    ["Cache-Control: No-Cache", 0, "validate request"],
    ["Pragma: no-cache", 0, "validate request"],
    ["Pragma: foo, no-cache", 0, "validate request"],
    ["Pragma: no-cache\nCache-Control: foo", 0, "serve"],
    ["Pragma: foo", 0, "serve"],
    ['Cache-Control: foo="no-cache"', 0, "serve"],
    ["Cache-Control: no-store", 0, "serve"],
    ["Cache-Control: max-age=0", 0, "validate request or stale"],
    ["Cache-Control: max-age=10", 10, "serve"],
    ["Cache-Control: max-age=10", 10.001, "validate request or stale"],
    ['Cache-Control: max-age="10"', 11, "validate request or stale"],
    ["Cache-Control: max-age=10, max-age=100", 11, "validate request or stale"],
    ["Cache-Control: max-age=x", 11, "serve"],
    ["Cache-Control: min-fresh=50", 10, "serve"],
    ["Cache-Control: min-fresh=50", 11, "validate request or stale"],
    ["Cache-Control: min-fresh=100", 0, "validate request or stale"],
    ["Cache-Control: max-stale", 1000, "serve stale"],
    ["Cache-Control: max-stale=40", 100, "serve stale"],
    ["Cache-Control: max-stale=40", 100.001, "validate stale"],
    ["Cache-Control: max-stale=x", 100, "validate stale"],
    ["Cache-Control: max-stale, max-stale=1", 100, "validate stale"],
    ["Cache-Control: max-stale, no-cache", 100, "validate stale"],
    ["Cache-Control: max-stale, max-age=100", 100, "serve stale"],
    ["Cache-Control: max-stale, max-age=99", 100, "validate stale"],
    ["Cache-Control: max-stale, min-fresh=1", 100, "validate stale"],
    ["Cache-Control: only-if-cached", 10, "serve"],
    ["Cache-Control: only-if-cached", 60, "refuse"],
    ["Cache-Control: only-if-cached, no-cache", 10, "refuse"],
    ["Cache-Control: only-if-cached, max-age=5", 10, "refuse"],
    ["Cache-Control: only-if-cached, max-stale", 60, "serve stale"],
    ["Cache-Control: stale-if-error=10", 69, "validate stale or stale"],
    ["Cache-Control: stale-if-error=10", 71, "validate stale"],
    ["Cache-Control: stale-if-error=10, no-cache", 69, "validate stale or stale"],
  ];
  for (const [request, after, decision] of table) {
    assertEquals(decided(FRESH, { request, after }), decision, `${request} after ${after}`);
  }
});

Deno.test("what forbids stale answers", () => {
  for (
    const directive of ["must-revalidate", "proxy-revalidate", "s-maxage=60", "no-cache", "no-store", "private"]
  ) {
    const fields = `Cache-Control: max-age=60, stale-while-revalidate=100, stale-if-error=100, ${directive}`;
    for (const request of ["", "Cache-Control: max-stale", "Cache-Control: stale-if-error=100"]) {
      assertEquals(decided(fields, { request, after: 61, staleOnError: 1000 }), "validate stale", fields + request);
    }
  }
});

Deno.test("stale while revalidate, and on error, as long as the fields say", () => {
  const swr = "Cache-Control: max-age=60, stale-while-revalidate=10";
  assertEquals(decided(swr, { after: 60 }), "serve stale refresh");
  assertEquals(decided(swr, { after: 69.999 }), "serve stale refresh");
  assertEquals(decided(swr, { after: 70.001 }), "validate stale");
  assertEquals(decided(swr, { after: 65, request: "Cache-Control: max-age=100" }), "validate stale");
  assertEquals(decided(swr, { after: 65, request: "Cache-Control: min-fresh=0" }), "validate stale");
  assertEquals(decided(swr, { after: 65, request: "Cache-Control: only-if-cached" }), "serve stale refresh");
  assertEquals(decided("Cache-Control: max-age=60, stale-while-revalidate=x", { after: 61 }), "validate stale");
  const sie = "Cache-Control: max-age=60, stale-if-error=10";
  assertEquals(decided(sie, { after: 61 }), "validate stale or stale");
  assertEquals(decided(sie, { after: 70.001 }), "validate stale");
  assertEquals(decided(sie, { after: 70.001, staleOnError: 100 }), "validate stale");
  assertEquals(
    decided("Cache-Control: max-age=60, stale-if-error=0", { after: 61, staleOnError: 9 }),
    "validate stale",
  );
  assertEquals(decided(FRESH, { after: 61, staleOnError: 9 }), "validate stale or stale");
  assertEquals(decided(FRESH, { after: 70, staleOnError: 9 }), "validate stale");
  assertEquals(decided(FRESH, { after: 61, staleOnError: 9, request: "Cache-Control: no-cache" }), "validate stale");
});

Deno.test("softly purged: validated, whatever else allows it, and sent where the origin fails", () => {
  const purged = (fields: string) => ({ ...stored(fields), stale: true });
  assertEquals(decided(purged(FRESH)), "validate stale");
  assertEquals(decided(purged(`${FRESH}, stale-while-revalidate=1000`)), "validate stale");
  assertEquals(decided(purged(FRESH), { request: "Cache-Control: max-stale" }), "validate stale");
  assertEquals(decided(purged(FRESH), { request: "Cache-Control: only-if-cached" }), "refuse");
  assertEquals(decided(purged(`${FRESH}, stale-if-error=5`)), "validate stale or stale");
  assertEquals(decided(purged(FRESH), { staleOnError: 5 }), "validate stale or stale");
  assertEquals(decided(purged(`${FRESH}, must-revalidate`), { staleOnError: 5 }), "validate stale");
});

Deno.test("nothing stored", () => {
  assertEquals(decide(get(), [], NOW, SETTINGS), { kind: "miss", because: "uri-miss" });
  assertEquals(decide(get("Cache-Control: only-if-cached"), [], NOW, SETTINGS), { kind: "refuse" });
  assertEquals(decided(stored(`${FRESH}\nVary: a`, { request: "A: 1" }), { request: "A: 2" }), "miss vary-miss");
});

Deno.test("among those that fit, the newest by Date", () => {
  const at = (seconds: number, fields = "", request = "") =>
    entry(stored(`${FRESH}\nDate: ${httpDate(NOW - seconds * SECOND)}\n${fields}`, { request }));
  const pick = (request: string, ...found: { response: StoredResponse }[]) => {
    const decision = decide(get(request), found, NOW, SETTINGS);
    return decision.kind === "serve" ? found.indexOf(decision.found) : decision.kind;
  };
  const [a, b] = [at(5, "Vary: x", "X: 1"), at(3, "Vary: y", "Y: 1")];
  assertEquals(pick("X: 1\nY: 1", a, b), 1);
  assertEquals(pick("X: 1\nY: 1", b, a), 0);
  assertEquals(pick("X: 1", a, b), 0);
  assertEquals(pick("X: 2", a, b), "miss");
  // Of one second, the one that is first.
  assertEquals(pick("X: 1\nY: 1", at(3, "Vary: x", "X: 1"), b), 0);
  // What has no Vary does not hide what a newer response says.
  assertEquals(pick("X: 2", at(5), at(3, "Vary: x", "X: 1")), "miss");
  assertEquals(pick("X: 2", at(3), at(5, "Vary: x", "X: 1")), 0);
});
