/** The whole HTTP cache test suite against our edge, started as its command starts it. */
import { assertEquals } from "@std/assert";
import { metacdn } from "../../conformance/caches/metacdn.ts";
import { startCache } from "../../conformance/caches/mod.ts";
import { exceptions } from "../../conformance/exceptions.ts";
import { startOrigin } from "../../conformance/origin.ts";
import { runSuite } from "../../conformance/suite.ts";

Deno.test("every required and optimal test of the suite passes, but for those with a written reason", async () => {
  await using origin = await startOrigin();
  await using edge = await startCache(metacdn, origin.port);
  const results = (await runSuite(edge.url)).filter(({ kind }) => kind !== "check");
  const surprises = results
    .filter(({ id, outcome }) => (outcome === "pass") === Object.hasOwn(exceptions, id))
    .map(({ id, outcome, message }) => `${id}: ${outcome === "pass" ? "passes, but has a reason not to" : message}`);
  assertEquals(surprises, []);
  const known = new Set(results.map(({ id }) => id));
  assertEquals(Object.keys(exceptions).filter((id) => !known.has(id)), [], "reasons for tests that the suite has");
});
