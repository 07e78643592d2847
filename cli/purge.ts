/** `metacdn purge`: takes stored responses out of the caches of all servers. */
import { create } from "@bufbuild/protobuf";
import { messageFaults, wire } from "../proto/mod.ts";
import { type CommandInput, listFlag, parseCommand, switchFlag, urlsFlag, UsageError } from "../runtime/flags.ts";
import { PeerClient } from "../runtime/peer_client.ts";
import { readToken } from "../runtime/secrets.ts";
import { printable } from "../upload/mod.ts";
import { clientFlags, openTrust } from "./ca.ts";
import { pretty } from "./json.ts";
import { firstOf } from "./servers_api.ts";
import { columns, countText } from "./table.ts";

const flags = {
  prefix: listFlag("PATH", "all whose path begins so; / for everything"),
  tag: listFlag("TAG", "all that carry this tag in Surrogate-Key or Cache-Tag"),
  soft: switchFlag("mark them stale in place of removing them: they may still stand in where no origin answers"),
  server: urlsFlag(["http://127.0.0.1:8080"], "servers to ask, any of the cluster: the first that answers", {
    env: "METACDN_SERVER",
  }),
  json: switchFlag("print JSON in place of a table"),
  ...clientFlags,
};

const spec = {
  name: "purge",
  summary: "Takes stored responses out of the caches of all servers.",
  flags,
  positional: { placeholder: "[URL…]", least: 0 },
  examples: [
    ["metacdn purge https://cdn.example.com/logo.png /app.js?v=3", "two URLs; host and fragment do not matter"],
    ["metacdn purge --prefix /news/ --tag article-17", "all below /news/, and all with the tag"],
    ["metacdn purge --soft --prefix /", "everything is asked for anew, and stands in while the origin is down"],
  ] as [string, string][],
  notes: [
    "A line a server: whether it has purged, how many stored responses that were, and how long it took. A server that\n" +
    "does not answer purges before it serves again; one that cannot takes for stale all that it holds, until it could.",
    "Exit status: 0 every server that lives has purged, 1 one has not, 2 wrong command line.",
  ],
};

/** Beyond the time that a server gives the others. */
const TIMEOUT_MS = 60_000;

/**
 * Purges, and prints what came of it; resolves to the exit status.
 * @throws {CdnError} with one line, where no server answers or one refuses.
 */
export async function purge(
  argv: readonly string[],
  input: CommandInput,
  { print = console.log }: { print?: (line: string) => void } = {},
): Promise<number> {
  const command = parseCommand(spec, argv, input);
  if (command.help !== null) {
    print(command.help);
    return 0;
  }
  const { server: servers, prefix: prefixes, tag: tags, soft, json, "token-file": tokenFile, ca } = command.flags;
  if (servers.length === 0) throw new UsageError("--server must name a server");
  const request = create(wire.PurgeRequestSchema, { urls: command.args, prefixes, tags, soft });
  checkWords(request);
  const token = readToken(tokenFile, input);
  using trust = openTrust(ca, servers);
  const client = new PeerClient({ token, fetch: trust.fetch, source: "server" });
  const report = await firstOf(servers, (server) =>
    client.ask(`${server}/-/v1/purge`, wire.PurgeReportSchema, {
      question: [wire.PurgeRequestSchema, request],
      timeoutMs: TIMEOUT_MS,
    }));
  if (json) print(pretty(wire.PurgeReportSchema, report));
  else for (const line of reportText(report)) print(line);
  return report.members.some((member) => !member.acknowledged && isLive(member)) ? 1 : 0;
}

/** In the words of the command line what the wire's rules say of fields. */
function checkWords(request: wire.PurgeRequest): void {
  if (request.urls.length + request.prefixes.length + request.tags.length === 0) {
    throw new UsageError("what is to be purged? A URL, --prefix or --tag is missing");
  }
  const [fault] = messageFaults(wire.PurgeRequestSchema, request);
  if (!fault) return;
  const [, list, at] = /^(\w+)(?:\[(\d+)\])?$/.exec(fault.field) ?? [];
  const what = { urls: "URL", prefixes: "--prefix", tags: "--tag" }[list!]!;
  const value = at === undefined ? "" : ` ${printable(request[list as "urls"][Number(at)]!.slice(0, 200))}`;
  throw new UsageError(`${what}${value} ${fault.detail}`);
}

/** One that is dead, or has left, was not expected to. */
function isLive({ state }: wire.PurgeOutcome): boolean {
  return state !== "dead" && state !== "left";
}

/** A line a server under a head, and how long all took. */
function reportText({ members, tookMs }: wire.PurgeReport): string[] {
  const rows = members.map((member) =>
    [
      member.id,
      member.acknowledged ? "yes" : isLive(member) ? "NO" : `no, ${member.state}`,
      member.acknowledged ? member.removed.toLocaleString("en") : "-",
      member.tookMs.toFixed(1),
      member.acknowledged ? "" : member.error,
    ].map(printable)
  );
  const done = members.filter(({ acknowledged }) => acknowledged);
  const removed = done.reduce((sum, member) => sum + member.removed, 0n);
  return [
    ...columns(["id", "purged", ">responses", ">ms", "notes"], rows),
    `${countText(removed, "stored response")} on ${done.length} of ${countText(members.length, "server")}, ` +
    `in ${tookMs.toFixed(1)} ms`,
  ];
}
