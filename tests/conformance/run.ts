/**
 * Runs the suite against caches and shows what came of it:
 *
 *     deno run -P=tests tests/conformance/run.ts [--cache nginx,squid,…] [--test ID] [--verbose]
 *
 * A whole run keeps its results and writes them into docs/conformance.md; one test (`--test`) is only shown.
 * Caches that are not installed are skipped, by name.
 */
import { parseArgs } from "@std/cli/parse-args";
import { type CacheProgram, caches, startCache, versionOf } from "./caches/mod.ts";
import { columns, documentPath, tables, withTables } from "./document.ts";
import { startOrigin } from "./origin.ts";
import { writeResults } from "./results.ts";
import { runSuite, type TestResult } from "./suite.ts";

/** One line of what came of a run. */
function summary(results: readonly TestResult[]): string {
  const kinds = ["required", "optimal", "check"] as const;
  return kinds.map((kind) => {
    const of = results.filter((result) => result.kind === kind);
    const outcomes = (["pass", "fail", "depends", "setup"] as const)
      .map((outcome) => [outcome, of.filter((result) => result.outcome === outcome).length] as const);
    return `${kind}: ${outcomes.filter(([, count]) => count > 0).map((pair) => pair.join(" ")).join(", ")}`;
  }).join("; ");
}

/** The caches that are named, in our order; all where none is. */
function named(names: string | undefined): readonly CacheProgram[] {
  if (names === undefined) return caches;
  const wanted = names.split(",");
  const unknown = wanted.find((name) => !caches.some((cache) => cache.name === name));
  if (unknown !== undefined) {
    throw new Error(`no cache "${unknown}"; there are ${caches.map(({ name }) => name).join(", ")}`);
  }
  return caches.filter(({ name }) => wanted.includes(name));
}

if (import.meta.main) {
  const { cache, test, verbose } = parseArgs(Deno.args, { string: ["cache", "test"], boolean: ["verbose"] }) as
    & ReturnType<typeof parseArgs>
    & { cache?: string; test?: string; verbose: boolean };
  await using origin = await startOrigin();
  for (const program of named(cache)) {
    const version = await versionOf(program);
    if (version === null) {
      console.log(`${program.title}: not installed, skipped`);
      continue;
    }
    await using running = await startCache(program, origin.port);
    const results = await runSuite(running.url, { ...(test !== undefined && { id: test }), verbose });
    console.log(`${program.title} ${version}: ${summary(results)}`);
    for (const { id, kind, outcome, message } of results) {
      if (verbose && outcome !== "pass") console.log(`  ${kind} ${outcome} ${id}: ${message}`);
    }
    if (test === undefined) await writeResults(program.name, version, results);
  }
  if (test === undefined) {
    const document = await Deno.readTextFile(documentPath);
    await Deno.writeTextFile(documentPath, withTables(document, tables(await columns())));
    // The formatter aligns the tables; the document in the tree is as it leaves it.
    await new Deno.Command(Deno.execPath(), { args: ["fmt", "-q", documentPath] }).output();
  }
}
