/**
 * The suite's client, a program of its own since the suite keeps one run's state in its modules:
 * `client.ts BASE N ID,ID,… [--verbose]` runs N tests at a time and prints `{ [id]: true | [kind of failure, message] }` as its last line.
 */
import { getResults, runTests } from "http-cache-tests/client/runner.mjs";
import fetch from "node-fetch";
import { groups } from "./suite_tests.ts";

if (import.meta.main) {
  const [base, together, ids, verbose] = Deno.args;
  const named = new Set(ids!.split(","));
  const wanted = groups.map((group) => ({
    ...group,
    tests: group.tests.filter((test) => named.has(test.id)).map((test) => ({
      ...test,
      dump: verbose !== undefined,
    })),
  }));
  // node-fetch, as the suite's own command line has it: Deno's fetch adds, hides and decodes what is tested here.
  await runTests(wanted, fetch, false, base, Number(together));
  console.log(JSON.stringify(getResults()));
  // Else it would stand until the cache closes the last idle connection: two minutes with Squid.
  Deno.exit(0);
}
