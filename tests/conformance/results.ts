/** What the caches did when they were last run, a file for each: what docs/conformance.md is written from. */
import { fromFileUrl } from "@std/path";
import type { Outcome, TestResult } from "./suite.ts";

/** The results of one cache. */
export interface CacheResults {
  readonly version: string;
  /** Outcomes of the tests that did not pass, by id, in the suite's order. */
  readonly notPassed: Readonly<Record<string, Exclude<Outcome, "pass">>>;
}

const fileOf = (cache: string) => fromFileUrl(new URL(`results/${cache}.json`, import.meta.url));

/** The results of a cache; null where it was never run. */
export async function readResults(cache: string): Promise<CacheResults | null> {
  try {
    return JSON.parse(await Deno.readTextFile(fileOf(cache)));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** Keeps the results of a whole run. */
export async function writeResults(cache: string, version: string, results: readonly TestResult[]): Promise<void> {
  const notPassed = Object.fromEntries(
    results.flatMap(({ id, outcome }) => outcome === "pass" ? [] : [[id, outcome] as const]),
  );
  const kept: CacheResults = { version, notPassed };
  await Deno.writeTextFile(fileOf(cache), `${JSON.stringify(kept, null, 2)}\n`);
}
