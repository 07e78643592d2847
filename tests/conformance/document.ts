/** The tables of docs/conformance.md, made from the results. */
import { fromFileUrl } from "@std/path";
import { caches } from "./caches/mod.ts";
import { type CacheResults, readResults } from "./results.ts";
import { groups, type Kind, type SuiteTest } from "./suite_tests.ts";

/** The document. */
export const documentPath = fromFileUrl(new URL("../../docs/conformance.md", import.meta.url));

/** A cache with results: a column. */
export interface Column extends CacheResults {
  readonly title: string;
}

/** Tests by which the caches differ most, as the document lists them. */
const notable: readonly [matter: string, ids: readonly string[]][] = [
  ["Heuristic freshness of final statuses", [
    ...["200", "203", "204", "404", "405", "410", "414", "501", "599"].map((status) => `heuristic-${status}-cached`),
  ]],
  ["Reuse after `Authorization`", [
    "other-authorization",
    "other-authorization-public",
    "other-authorization-must-revalidate",
    "other-authorization-smaxage",
  ]],
  ["Conditional requests on fresh content", [
    "conditional-etag-strong-respond",
    "conditional-etag-weak-respond",
    "conditional-etag-strong-respond-multiple-second",
    "conditional-etag-precedence",
    "conditional-304-etag",
    "conditional-lm-fresh",
    "conditional-lm-fresh-earlier",
    "conditional-lm-fresh-rfc850",
  ]],
  ["Normalising", [
    "vary-normalise-combine",
    "vary-normalise-lang-order",
    "vary-normalise-lang-case",
    "vary-normalise-lang-space",
    "vary-normalise-lang-select",
    "vary-normalise-space",
  ]],
  ["Partial content", [
    "partial-store-complete-reuse-partial",
    "partial-store-complete-reuse-partial-no-last",
    "partial-store-complete-reuse-partial-suffix",
    "partial-store-partial-reuse-partial",
    "partial-store-partial-reuse-partial-byterange",
    "partial-store-partial-reuse-partial-absent",
    "partial-store-partial-reuse-partial-suffix",
    "partial-store-partial-complete",
  ]],
  ["Invalidation", [
    "invalidate-POST",
    "invalidate-M-SEARCH",
    "invalidate-POST-location",
    "invalidate-POST-cl",
  ]],
  ["Further", [
    "freshness-max-age-age",
    "other-age-gen",
    "other-date-update",
    "headers-omit-headers-listed-in-Connection",
    "304-etag-update-response-Test-Header",
    "cc-resp-no-cache-revalidate",
    "status-599-must-understand",
    "vary-syntax-star-foo",
    "method-POST",
    "stale-close",
    "stale-sie-close",
    "head-200-freshness-update",
  ]],
];

const signs = { pass: "✓", fail: "✗", depends: "·", setup: "·" } as const;

/** The columns, ours first, of the caches that have been run. */
export async function columns(): Promise<Column[]> {
  const found = await Promise.all(caches.map(async ({ name, title }) => {
    const results = await readResults(name);
    return results && { title, ...results };
  }));
  return found.filter((column) => column !== null);
}

const outcomeOf = ({ notPassed }: CacheResults, { id }: SuiteTest) => notPassed[id] ?? "pass";

/** `required passed / required failed / optimal passed` of these tests. */
function counts(column: Column, tests: readonly SuiteTest[]): string {
  const count = (kind: Kind, outcome: string) =>
    tests.filter((test) => (test.kind ?? "required") === kind && outcomeOf(column, test) === outcome).length;
  return `${count("required", "pass")} / ${count("required", "fail")} / ${count("optimal", "pass")}`;
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}

/** What stands between the markers: the table of counts, then the tests that tell the caches apart. */
export function tables(columns: readonly Column[]): string {
  const ruler = (first: number) => row([...Array<string>(first).fill("---"), ...columns.map(() => ":-:")]);
  const heads = columns.map(({ title, version }) => `${title} ${version}`);
  const number = (tests: readonly SuiteTest[], kind: Kind) =>
    String(tests.filter((test) => (test.kind ?? "required") === kind).length);
  const line = (name: string, tests: readonly SuiteTest[], wrap: string) =>
    row([name, number(tests, "required"), number(tests, "optimal"), ...columns.map((column) => counts(column, tests))]
      .map((cell) => `${wrap}${cell}${wrap}`));
  const all = groups.flatMap(({ tests }) => tests);
  const byId = new Map(all.map((test) => [test.id, test]));
  const lines = [
    row(["Group", "required", "optimal", ...heads]),
    ruler(3),
    ...groups.map(({ name, tests }) => line(name, tests, "")),
    line("All", all, "**"),
    "",
    "## Where they differ",
    "",
    "✓ does it, ✗ does not, · cannot be told. A required test is marked with R, a mere question with ?.",
    "",
    row(["Test", ...columns.map(({ title }) => title)]),
    ruler(1),
  ];
  for (const [matter, ids] of notable) {
    lines.push(row([`**${matter}**`, ...columns.map(() => "")]));
    for (const id of ids) {
      const test = byId.get(id);
      if (!test) throw new Error(`the suite has no test "${id}"`);
      const mark = { required: " R", optimal: "", check: " ?" }[test.kind ?? "required"];
      lines.push(row([`\`${id}\`${mark}`, ...columns.map((column) => signs[outcomeOf(column, test)])]));
    }
  }
  return lines.join("\n");
}

const begin = "<!-- from here on written by tests/conformance/run.ts -->";
const end = "<!-- to here -->";

/** The document with these tables in the place of those that it has. */
export function withTables(document: string, tables: string): string {
  const [from, to] = [document.indexOf(begin), document.indexOf(end)];
  if (from < 0 || to < from) throw new Error("docs/conformance.md lacks its markers");
  return `${document.slice(0, from)}${begin}\n\n${tables}\n\n${document.slice(to)}`;
}
