/** `metacdn servers`: shows and changes the list of servers, and takes one away without losing anything. */
import { create } from "@bufbuild/protobuf";
import { CdnError, identifier, wire } from "../proto/mod.ts";
import { type CommandInput, parseBaseUrl, parseCommand, switchFlag, urlsFlag, UsageError } from "../runtime/flags.ts";
import { PeerClient } from "../runtime/peer_client.ts";
import { readToken } from "../runtime/secrets.ts";
import { clientFlags, openTrust } from "./ca.ts";
import { pretty } from "./json.ts";
import { type ServersApi, serversApi } from "./servers_api.ts";
import { heldByAlone, serversTable } from "./servers_text.ts";

const flags = {
  server: urlsFlag(["http://127.0.0.1:8080"], "servers to ask: the first that answers", { env: "METACDN_SERVER" }),
  force: switchFlag("for remove: also where something would be lost"),
  "no-wait": switchFlag("for drain: do not wait until nothing would be lost"),
  json: switchFlag("print JSON in place of a table or words"),
  ...clientFlags,
};

const spec = {
  name: "servers",
  summary: "Shows and changes the list of servers, and takes one away without losing anything.",
  flags,
  positional: { placeholder: "[list | get ID | add URL | drain ID | undrain ID | remove ID]", least: 0 },
  examples: [
    ["metacdn servers", "all servers, a line each: where, how they fare, what they lack"],
    ["metacdn servers get aws-1", "all that is known of one, as JSON"],
    ["metacdn servers add http://c.example.net:8080", "it is asked who it is, and gets all content"],
    ["metacdn servers drain aws-1 && metacdn servers remove aws-1", "takes one away once all it holds is elsewhere"],
    [
      "metacdn servers --server http://a:8080,http://b:8080 remove dead-1",
      "the second is asked where the first is dead",
    ],
  ] as [string, string][],
  notes: [
    "A server that drains takes no new content and is sent no viewers, until undrain. drain waits until all that it\n" +
    "holds is on others that answer; Ctrl-C ends the waiting, not the draining. remove looks once more, and refuses\n" +
    "where something would be lost or out of reach.",
    "Exit status: 0 done, 1 failed or refused, 2 wrong command line.",
  ],
};

/** How often a drain looks, how often it may fail to look in a row, and how many good answers in a row it wants. */
const DRAIN_EVERY_MS = 2000, DRAIN_MOST_FAILURES = 15;
// One is not enough: others hear of the draining by gossip, and may have handed it something new meanwhile.
const DRAIN_GOOD_ANSWERS = 2;

/** Where the command says things, and how it waits. */
export interface ServersOutput {
  /** A line of the answer. */
  print?: (line: string) => void;
  /** A line of progress. */
  note?: (line: string) => void;
  pause?: (ms: number) => Promise<void>;
  now?: () => number;
}

/**
 * Does one action; resolves to the exit status.
 * @throws {CdnError} with one line, where a server does not answer or refuses, or where removing would lose something.
 */
export async function servers(
  argv: readonly string[],
  input: CommandInput,
  {
    print = console.log,
    note = console.error,
    pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    now = Date.now,
  }: ServersOutput = {},
): Promise<number> {
  const command = parseCommand(spec, argv, input);
  if (command.help !== null) {
    print(command.help);
    return 0;
  }
  const { server: urls, json, force, "no-wait": noWait, "token-file": tokenFile, ca } = command.flags;
  const [action = "list", name = "", ...more] = command.args;
  checkWords(action, name, more);
  if (urls.length === 0) throw new UsageError("--server must name a server");
  if (force && action !== "remove") throw new UsageError("--force is for remove alone");
  if (noWait && action !== "drain") throw new UsageError("--no-wait is for drain alone");
  const token = readToken(tokenFile, input);
  using trust = openTrust(ca, urls);
  const api = serversApi(new PeerClient({ token, fetch: trust.fetch, source: "server" }), urls);
  const tell = (words: string, outcome: Record<string, unknown>) => print(json ? JSON.stringify(outcome) : words);

  if (action === "list") {
    const known = await api.list();
    if (json) {
      print(pretty(wire.ServerListSchema, create(wire.ServerListSchema, { servers: known })));
    } else for (const line of serversTable(known, now())) print(line);
  } else if (action === "get") print(pretty(wire.ServerSchema, await api.get(name)));
  else if (action === "add") {
    const added = await api.add(name);
    if (json) print(pretty(wire.ServerSchema, added));
    else print(`${added.id} is on the list: ${added.provider}/${added.region}, ${added.role}, ${added.url}`);
  } else if (action === "remove") {
    await api.get(name);
    if (!force) await refuseLoss(api, name, note);
    await api.remove(name);
    tell(`${name} is off the list`, { id: name, removed: true });
  } else if (action === "undrain") {
    await api.setDraining(name, false);
    tell(`${name} takes content and viewers again`, { id: name, draining: false });
  } else {
    await api.setDraining(name, true);
    if (!noWait) await untilDrained(api, name, note, pause);
    tell(
      noWait
        ? `${name} drains`
        : `${name} may be removed: all that it holds is elsewhere (metacdn servers remove ${name})`,
      { id: name, draining: true, ...(noWait ? {} : { removable: true }) },
    );
  }
  return 0;
}

function checkWords(action: string, name: string, more: string[]): void {
  if (!["list", "get", "add", "remove", "drain", "undrain"].includes(action)) {
    throw new UsageError(`"${action}" is not an action; there are list, get, add, remove, drain and undrain`);
  }
  if (action === "list" && name !== "") throw new UsageError("list takes no name: get shows one server");
  if (more.length > 0) throw new UsageError(`"${more[0]}" is one word too many`);
  if (action === "add") {
    try {
      parseBaseUrl(name);
    } catch (error) {
      throw new UsageError(`add takes the server's URL: it ${(error as Error).message}`);
    }
  } else if (action !== "list" && identifier(name) !== null) {
    throw new UsageError(`${action} takes the ID of a server, as in the list`);
  }
}

/** @throws {CdnError} 409 where something would be lost or out of reach without the server, or nobody can tell. */
async function refuseLoss(api: ServersApi, id: string, note: (line: string) => void): Promise<void> {
  let answer: wire.Durability;
  try {
    answer = await api.durability();
  } catch (cause) {
    if (!(cause instanceof CdnError)) throw cause;
    throw refusal(`Cannot remove ${id}: nobody can tell what would be lost (${cause.message})`);
  }
  const held = heldByAlone(answer, id);
  if (held) throw refusal(`Cannot remove ${id}: ${held}. Drain it first (metacdn servers drain ${id})`);
  if (answer.unasked.includes(id)) note(`${id} could not be asked: what nobody but it knows of goes with it`);
}

function refusal(why: string): CdnError {
  return new CdnError(`${why}; --force removes it all the same`, { source: "server", status: 409 });
}

/** Resolves when nothing would be lost or out of reach without the server. */
async function untilDrained(
  api: ServersApi,
  id: string,
  note: (line: string) => void,
  pause: (ms: number) => Promise<void>,
): Promise<void> {
  let told = "";
  for (let good = 0, failures = 0;;) {
    let state = "";
    try {
      const answer = await api.durability();
      failures = 0;
      state = answer.unasked.includes(id) ? "it cannot be asked what it holds" : heldByAlone(answer, id) ?? "";
    } catch (error) {
      if (!(error instanceof CdnError)) throw error;
      // Not to be had for lack of a right, say: that does not mend itself.
      if (!error.retry || ++failures >= DRAIN_MOST_FAILURES) {
        throw new CdnError(`${id} drains, but how far it is cannot be told: ${error.message}`, {
          source: "server",
          status: error.status,
          cause: error,
        });
      }
      state = error.message;
    }
    if (state === "" && ++good >= DRAIN_GOOD_ANSWERS) return;
    if (state !== "") good = 0;
    if (state !== told && state !== "") note(`${id} drains: ${state}`);
    told = state;
    await pause(DRAIN_EVERY_MS);
  }
}
