/** `metacdn edge`: how an edge fares. */
import { CdnError, wire } from "../proto/mod.ts";
import { type CommandInput, parseCommand, switchFlag, urlsFlag, UsageError } from "../runtime/flags.ts";
import { PeerClient } from "../runtime/peer_client.ts";
import { readToken } from "../runtime/secrets.ts";
import { clientFlags, openTrust } from "./ca.ts";
import { edgeText } from "./edge_text.ts";
import { plain } from "./json.ts";

const flags = {
  server: urlsFlag(["http://127.0.0.1:8080"], "edges to ask; each tells of itself alone", { env: "METACDN_SERVER" }),
  json: switchFlag("print JSON in place of text: a list with what each edge says"),
  ...clientFlags,
};

const spec = {
  name: "edge",
  summary: "Shows how an edge fares: what it was asked, what its cache holds, how its origins do.",
  flags,
  examples: [
    ["metacdn edge --server http://e:8080", "hit ratios, cache, origins"],
    ["metacdn edge --server http://e:8080,http://f:8080", "of two edges"],
    ["metacdn edge --json | jq '.[].origins[] | select(.healthy | not)'", "origins that are out"],
  ] as [string, string][],
  notes: [
    "Figures are since the edge's start. Requests are hits (answered from what is stored), or were passed on, by why\n" +
    "(RFC 9211): uri-miss, vary-miss, miss, stale, partial, request, method, bypass. The byte hit ratio is what of the\n" +
    "bytes to viewers came neither from origins nor from other edges. /-/metrics has the same for Prometheus.",
    "Exit status: 0 done, 1 an edge did not tell, 2 wrong command line.",
  ],
};

/** Where the command says things. */
export interface EdgeOutput {
  print?: (line: string) => void;
  /** Of an edge that does not tell. */
  note?: (line: string) => void;
  now?: () => number;
}

/** Asks each edge, and prints what it says; resolves to the exit status. */
export async function edge(
  argv: readonly string[],
  input: CommandInput,
  { print = console.log, note = console.error, now = Date.now }: EdgeOutput = {},
): Promise<number> {
  const command = parseCommand(spec, argv, input);
  if (command.help !== null) {
    print(command.help);
    return 0;
  }
  const { server: servers, json, "token-file": tokenFile, ca } = command.flags;
  if (servers.length === 0) throw new UsageError("--server must name an edge");
  const token = readToken(tokenFile, input);
  using trust = openTrust(ca, servers);
  const client = new PeerClient({ token, fetch: trust.fetch, source: "server" });
  const answers = await Promise.all(servers.map(async (url) => {
    try {
      return { url, status: await askEdge(client, url) };
    } catch (error) {
      if (!(error instanceof CdnError)) throw error;
      return { url, error };
    }
  }));
  const told = answers.flatMap(({ url, status }) => status ? [{ url, status }] : []);
  const failed = answers.flatMap(({ url, error }) => error ? [{ url, error }] : []);
  // A single one is the whole answer.
  if (failed.length === 1 && servers.length === 1) throw failed[0]!.error;
  if (json) print(JSON.stringify(told.map(({ status }) => plain(wire.EdgeStatusSchema, status)), null, 2));
  else {
    told.forEach(({ url, status }, at) => {
      if (at > 0) print("");
      for (const line of edgeText(url, status, now())) print(line);
    });
  }
  for (const { url, error } of failed) note(`metacdn edge: ${url}: ${error.message}`);
  return failed.length > 0 ? 1 : 0;
}

/** What an edge says of itself. @throws {CdnError} 404 where the server is none */
export function askEdge(client: PeerClient, url: string, timeoutMs?: number): Promise<wire.EdgeStatus> {
  return client.ask(`${url}/-/v1/edge`, wire.EdgeStatusSchema, timeoutMs === undefined ? {} : { timeoutMs });
}
