/** Runs `npm:http-cache-tests` against a cache, and judges what it saw as the suite's own pages do. */
import { fromFileUrl } from "@std/path";
import { groups, type Kind, looksSick } from "./suite_tests.ts";

/**
 * What came of a test. `pass` and `fail` are what they say (of a `check`: yes and no). `depends`: a test that this one
 * builds on did not pass. `setup`: the cache did not let the test come as far as its question.
 */
export type Outcome = "pass" | "fail" | "depends" | "setup";

/** The result of one test. */
export interface TestResult {
  readonly id: string;
  /** Id of its group. */
  readonly group: string;
  readonly name: string;
  readonly kind: Kind;
  readonly outcome: Outcome;
  /** Why it did not pass; empty where it did. */
  readonly message: string;
}

/** What the client prints of a test: true, or the kind of failure (`Setup`, `Assertion`, an error's name) and why. */
type Raw = true | [kind: string, message: string];

/**
 * Runs all tests, or the one with this `id`, against the cache at `base` (`http://HOST:PORT`), behind which the
 * suite's origin stands. Takes some 25 s: its tests wait for what they stored to become old, up to a hundred at a time.
 *
 * @throws Error where the suite has no such test, or its client ended without results.
 */
export async function runSuite(
  base: string,
  { id, verbose = false }: { id?: string; verbose?: boolean } = {},
): Promise<TestResult[]> {
  const tests = groups.flatMap(({ tests }) => tests);
  if (id !== undefined) {
    if (!tests.some((test) => test.id === id)) throw new Error(`the suite has no test "${id}"`);
    return judge(await runClient(base, [id], { verbose }), true);
  }
  const ids = (sick: boolean) => tests.filter((test) => looksSick(test) === sick).map((test) => test.id);
  const most = await runClient(base, ids(false), { together: 100 });
  return judge({ ...most, ...await runClient(base, ids(true), { together: 8 }) });
}

async function runClient(
  base: string,
  ids: readonly string[],
  { together = 1, verbose = false }: { together?: number; verbose?: boolean },
): Promise<Record<string, Raw>> {
  const [config, client] = ["../../deno.json", "client.ts"].map((path) => fromFileUrl(new URL(path, import.meta.url)));
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "--allow-net", "--allow-env", "--allow-read", "--config", config!, client!, base]
      .concat(String(together), ids.join(","), verbose ? "--verbose" : []),
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = new TextDecoder();
  const lines = text.decode(stdout).trimEnd().split("\n");
  const last = lines.pop()!;
  if (lines.length > 0) console.log(lines.join("\n"));
  if (!success) throw new Error(`the suite's client ended without results: ${text.decode(stderr)}`);
  return JSON.parse(last);
}

/** What the results say; `alone`: the test ran without those that it depends on. */
export function judge(raw: Record<string, Raw>, alone = false): TestResult[] {
  const tests = new Map(groups.flatMap(({ tests }) => tests.map((test) => [test.id, test] as const)));
  const outcome = (id: string): Outcome => {
    const result = raw[id];
    if (!alone && tests.get(id)?.depends_on?.some((other) => outcome(other) !== "pass")) return "depends";
    if (result === true) return "pass";
    return result === undefined || result[0] === "Setup" ? "setup" : "fail";
  };
  return groups.flatMap((group) =>
    group.tests.filter(({ id }) => !alone || id in raw).map(({ id, name, kind = "required" }) => {
      const result = raw[id];
      const message = result === true ? "" : result?.join(": ") ?? "did not run";
      return { id, group: group.id, name, kind, outcome: outcome(id), message };
    })
  );
}
