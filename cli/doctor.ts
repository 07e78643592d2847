/** `metacdn doctor`: says what is wrong, and what would be lost if something broke. */
import { type CommandInput, numberFlag, parseCommand, switchFlag, urlsFlag, UsageError } from "../runtime/flags.ts";
import { readToken } from "../runtime/secrets.ts";
import { clientFlags, openTrust } from "./ca.ts";
import { checkCertificates, checkClocks } from "./doctor/check_clocks.ts";
import { checkDurability } from "./doctor/check_durability.ts";
import { checkEdges } from "./doctor/check_edges.ts";
import { checkPrograms } from "./doctor/check_programs.ts";
import { checkServers } from "./doctor/check_servers.ts";
import { type Finding, report } from "./doctor/finding.ts";
import { type Facts, gather } from "./doctor/gather.ts";

const flags = {
  server: urlsFlag(["http://127.0.0.1:8080"], "servers to ask; one knows of all others", { env: "METACDN_SERVER" }),
  proxy: urlsFlag([], "all proxies that viewers come in by"),
  pricing: urlsFlag([], "all pricing servers"),
  timeout: numberFlag("SECONDS", 10, "how long a program may take to answer", { least: 1, most: 600 }),
  json: switchFlag("print JSON in place of lines"),
  ...clientFlags,
};

const spec = {
  name: "doctor",
  summary: "Says what is wrong, and what would be lost if something broke.",
  flags,
  examples: [
    ["metacdn doctor --server http://a:8080", "all servers, as this one sees them"],
    [
      "metacdn doctor --server http://a:8080,http://b:8080 --proxy http://p:8000 --pricing http://m:8090",
      "as both see them (so that a broken network between them shows), the proxy, and the pricing server",
    ],
    ["metacdn doctor --json | jq '.findings[] | select(.level == \"bad\")'", "for a monitor"],
  ] as [string, string][],
  notes: [
    "A line a finding, the worst first: bad (something is lost, stands still or is attacked, or one failure away from\n" +
    "that), warn (somebody should look), ok. docs/durability.md says what each means.",
    "Exit status: 0 nothing is bad, 1 something is, 2 wrong command line.",
  ],
};

/** Where the command says things. */
export interface DoctorOutput {
  print?: (line: string) => void;
  /** A line of progress. */
  note?: (line: string) => void;
  now?: () => number;
  /** After how long what is waited for is named. */
  slowMs?: number;
}

/** Asks everything, and prints what it finds. Resolves to the exit status: 1 where something is bad. */
export async function doctor(
  argv: readonly string[],
  input: CommandInput,
  { print = console.log, note = console.error, now = Date.now, slowMs = 1500 }: DoctorOutput = {},
): Promise<number> {
  const command = parseCommand(spec, argv, input);
  if (command.help !== null) {
    print(command.help);
    return 0;
  }
  const { server, proxy, pricing, timeout, json, "token-file": tokenFile, ca } = command.flags;
  if (server.length === 0) throw new UsageError("--server must name a server");
  const token = readToken(tokenFile, input);
  using trust = openTrust(ca, [...server, ...proxy, ...pricing]);
  const facts = await gather({
    fetch: trust.fetch,
    servers: server,
    proxies: proxy,
    pricing,
    token,
    timeoutMs: timeout * 1000,
    now,
    note,
    slowMs,
  });
  const findings = examine(facts, now());
  if (json) print(JSON.stringify({ atMs: now(), findings }, null, 2));
  else for (const line of report(findings)) print(line);
  return findings.some(({ level }) => level === "bad") ? 1 : 0;
}

/** All checks. */
export function examine(facts: Facts, nowMs: number): Finding[] {
  return [
    ...checkServers(facts, nowMs),
    ...checkClocks(facts),
    ...checkCertificates(facts, nowMs),
    ...checkDurability(facts),
    ...checkEdges(facts),
    ...checkPrograms(facts),
  ];
}
