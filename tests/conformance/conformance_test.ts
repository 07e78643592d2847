/** How results are judged, and that the document says what they say. The suite against our edge: tests/server/edge. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { columns, documentPath, tables, withTables } from "./document.ts";
import { judge } from "./suite.ts";
import { groups } from "./suite_tests.ts";

const all = groups.flatMap(({ tests }) => tests);

/** Raw results in which all passes, but for these. */
function raw(others: Record<string, [string, string]>): Parameters<typeof judge>[0] {
  return { ...Object.fromEntries(all.map(({ id }) => [id, true as const])), ...others };
}

function outcomes(others: Record<string, [string, string]>): Record<string, string> {
  return Object.fromEntries(judge(raw(others)).map(({ id, outcome }) => [id, outcome]));
}

Deno.test("a test whose ground is missing is not judged, nor is what builds on that", () => {
  const of = outcomes({ "freshness-none": ["Assertion", "reused"], "freshness-max-age-0": ["Assertion", "reused"] });
  assertEquals(of["freshness-none"], "fail");
  assertEquals(of["freshness-max-age-0"], "depends");
  assertEquals(of["freshness-max-age"], "depends");
  assertEquals(of["freshness-max-age-expires"], "depends", "it builds on freshness-max-age alone");
  assertEquals(of["query-args-different"], "pass");
});

Deno.test("what did not come as far as its question is no failure; a broken connection is one", () => {
  const of = outcomes({ "vary-match": ["Setup", "status is 502"], "vary-omit": ["FetchError", "socket hang up"] });
  assertEquals(of["vary-match"], "setup");
  assertEquals(of["vary-omit"], "fail");
  const { "vary-star": _, ...without } = raw({});
  assertEquals(judge(without).find(({ id }) => id === "vary-star")?.outcome, "setup", "it did not run");
});

Deno.test("a test alone is judged without those that it builds on", () => {
  assertEquals(judge({ "freshness-max-age-0": true }, true).map(({ id, outcome }) => [id, outcome]), [
    ["freshness-max-age-0", "pass"],
  ]);
});

Deno.test("the tables count each test of each kind once", () => {
  const [test] = all.filter(({ kind }) => kind === undefined);
  const text = tables([{ title: "Cache", version: "1", notPassed: { [test!.id]: "fail" } }]);
  const required = all.filter(({ kind = "required" }) => kind === "required").length;
  const optimal = all.filter(({ kind }) => kind === "optimal").length;
  assert(text.includes(`| **All** | **${required}** | **${optimal}** | **${required - 1} / 1 / ${optimal}** |`), text);
});

Deno.test("docs/conformance.md says what the results say", async () => {
  const document = await Deno.readTextFile(documentPath);
  // The formatter pads cells and rulers.
  const plain = (text: string) =>
    text.replaceAll(/ *\| */g, "|").replaceAll(/-{3,}/g, "---").replaceAll(/:-+:/g, ":-:");
  assertEquals(plain(document), plain(withTables(document, tables(await columns()))));
  assertThrows(() => withTables("# No markers", ""), Error, "markers");
});
