/** How the servers fare: reachable, alive, in step with each other, honest. Pure. */
import { format as formatBytes } from "@std/fmt/bytes";
import type { wire } from "../../proto/mod.ts";
import { markText } from "../servers_text.ts";
import { countText, durationText } from "../table.ts";
import type { Facts } from "./gather.ts";
import { type Finding, finding } from "./finding.ts";
import type { Probe } from "./probe.ts";

/** A mark older than this is history, though not forgotten. */
const FRESH_MARK_MS = 24 * 3600_000;

/** The records of all servers that are on anybody's list, by id; what the first of the views says of each. */
export function everybody({ views }: Facts): Map<string, wire.Server> {
  const found = new Map<string, wire.Server>();
  for (const { servers } of views) for (const each of servers) if (!found.has(each.id)) found.set(each.id, each);
  return found;
}

/** What each view says of one server's health, by whose view it is; its own words too. */
function opinions({ views }: Facts, id: string): { by: string; health: wire.ServerHealth }[] {
  return views.flatMap(({ by, servers }) => {
    const health = servers.find((each) => each.id === id)?.health;
    return health ? [{ by, health }] : [];
  });
}

/** The findings on each server, one after the other, and then on all together. */
export function checkServers(facts: Facts, nowMs: number): Finding[] {
  const servers = [...everybody(facts).values()];
  return [
    ...facts.views.flatMap((view) => checkNamed(facts, view)),
    ...servers.flatMap((server) => checkOne(facts, server, nowMs)),
    ...checkLists(facts),
    ...checkUnsure(facts),
    ...checkVersions(servers),
    ...checkHosts(servers),
  ];
}

/** A server that was named on the command line. */
function checkNamed(facts: Facts, { url, by, error }: Facts["views"][number]): Finding[] {
  const probe = facts.named.get(url)!;
  const what = by === url ? url : `${by} (${url})`;
  if (probe.status === null) {
    return [finding("bad", `${what} does not answer`, whyNot(probe), "start it, or ask for another one")];
  }
  if (probe.status !== 200) return [finding("bad", `${what} is not ready`, whyNot(probe))];
  if (error) return [finding("bad", `${what} does not show its list of servers`, error)];
  return [];
}

function checkOne(facts: Facts, server: wire.Server, nowMs: number): Finding[] {
  const { id } = server;
  const said = opinions(facts, id);
  const of = (state: string) => said.filter(({ health }) => (health.state || "unknown") === state).map(({ by }) => by);
  const probe = facts.listed.get(id);
  const named = probe !== undefined && facts.named.has(probe.url);
  const answers = probe?.status === 200;
  const error = said.find(({ health }) => health.error)?.health.error;
  const found: Finding[] = [];

  const [alive, suspect, dead, left] = ["alive", "suspect", "dead", "left"].map(of) as [
    string[],
    string[],
    string[],
    string[],
  ];
  if (dead.length > 0 && (alive.length > 0 || answers)) {
    const who = [`${dead.join(", ")} cannot reach it`, alive.length > 0 ? `${alive.join(", ")} can` : "we can"];
    found.push(finding("bad", `${id} is cut off from some`, who.join("; "), error, "look at the network between them"));
  } else if (dead.length > 0) {
    const advice = `start it again, or take it off the list: metacdn servers remove ${id}`;
    found.push(finding("bad", `${id} is dead`, error, advice));
  } else if (left.length > 0) {
    found.push(finding("warn", `${id} was stopped`, "what it holds is out of reach until it is started again"));
  } else if (suspect.length > 0) {
    found.push(finding("warn", `${id} is suspected to be dead`, error, "ask again in a minute"));
  } else if (alive.length + of("self").length === 0) {
    found.push(finding("warn", `${id} has not been heard of yet`, error, `is ${server.url} right?`));
  } else {
    if (error) found.push(finding("warn", `${id} is alive, with an error`, error));
    if (!named && probe && !answers) {
      found.push(finding("warn", `${id} does not answer here as ready`, whyNot(probe), "others say that it is alive"));
    }
  }
  if (server.draining) {
    found.push(finding("warn", `${id} drains`, `then metacdn servers remove ${id}, or undrain ${id}`));
  }

  const lag = said.reduce((most, { health }) => health.lagObjects > most.objects ? lagOf(health) : most, NO_LAG);
  if (lag.objects > 0n) {
    const bytes = lag.bytes > 0n ? ` (${formatBytes(Number(lag.bytes))})` : "";
    found.push(finding("warn", `${id} lacks ${countText(lag.objects, "object")}${bytes}`, "should become fewer"));
  }
  if (said.some(({ health }) => health.content?.stale) && !facts.views.every(isUnsure)) {
    const why = "it has not compared yet with the others what was deleted while it was away";
    found.push(finding("warn", `${id} is stale`, why));
  }
  for (const mark of newest(said.flatMap(({ health }) => health.marks))) {
    const level = nowMs - Number(mark.atMs) < FRESH_MARK_MS ? "bad" : "warn";
    const advice = "find out who has its key or its disk; take it off the list if in doubt";
    found.push(finding(level, `${id} ${markText(mark, nowMs)}`, advice));
  }
  if (found.length > 0 || (named && !answers)) return found;
  const heard = Math.max(
    ...said.map(({ health: { state, lastHeardMs } }) => state === "self" ? 0 : Number(lastHeardMs)),
  );
  const ago = heard > 0 ? `heard of ${durationText(nowMs - heard)} ago` : "";
  return [finding("ok", `${id} is alive`, `${server.provider}/${server.region} ${server.role}`, ago, "lacks nothing")];
}

const NO_LAG = { objects: 0n, bytes: 0n };
const lagOf = ({ lagObjects, lagBytes }: wire.ServerHealth) => ({ objects: lagObjects, bytes: lagBytes });

/** Of marks with the same reason, the latest. */
function newest(marks: wire.Mark[]): wire.Mark[] {
  const byReason = new Map<string, wire.Mark>();
  for (const mark of marks.toSorted((a, b) => Number(a.atMs - b.atMs))) byReason.set(mark.reason, mark);
  return [...byReason.values()];
}

/** In a cluster that is new, or was off as a whole, nobody can say what was deleted long ago, until a grace is over. */
function isUnsure({ servers }: Facts["views"][number]): boolean {
  const up = servers.filter(({ health }) => ["self", "alive"].includes(health?.state ?? ""));
  return up.length > 0 && up.every(({ health }) => health?.content?.stale);
}

function checkUnsure({ views }: Facts): Finding[] {
  if (views.length === 0 || !views.every(isUnsure)) return [];
  return [finding("ok", "all servers were started a moment ago", "whether anything is missing is known in a while")];
}

/** Whether all know of all. */
function checkLists({ views }: Facts): Finding[] {
  const told = views.filter(({ error }) => error === "");
  const ids = new Set(told.flatMap(({ servers }) => servers.map(({ id }) => id)));
  return told.flatMap(({ by, servers }) => {
    const missing = [...ids].filter((id) => !servers.some((each) => each.id === id));
    if (missing.length === 0) return [];
    return [
      finding("warn", `${by} does not know of ${missing.join(", ")}`, "lists are exchanged: ask again in a minute"),
    ];
  });
}

function checkVersions(servers: wire.Server[]): Finding[] {
  const byVersion = Map.groupBy(servers, ({ software }) => software || "unknown");
  if (byVersion.size === 0) return [];
  if (byVersion.size === 1) return [finding("ok", `all servers run version ${[...byVersion.keys()][0]}`)];
  const who = [...byVersion].map(([version, those]) => `${version}: ${those.map(({ id }) => id).join(", ")}`);
  return [finding("warn", "servers run different versions of the program", ...who, "bring all to the newest")];
}

/** Two origins on one machine are one: they go together. */
function checkHosts(servers: wire.Server[]): Finding[] {
  const origins = servers.filter(({ role, url }) => role === "origin" && URL.canParse(url));
  return [...Map.groupBy(origins, ({ url }) => new URL(url).hostname)].filter(([, those]) => those.length > 1)
    .map(([host, those]) =>
      finding("warn", `${those.map(({ id }) => id).join(", ")} are on one machine, ${host}`, "their copies go with it")
    );
}

/** Why a program is not ready: its own words, or why it did not answer. */
export function whyNot({ status, text }: Probe): string {
  return status === null ? text : detailOf(text) || `status ${status}`;
}

/** The words of a problem (RFC 9457), else the text itself, in short. */
function detailOf(text: string): string {
  try {
    const { detail, title } = JSON.parse(text) as { detail?: unknown; title?: unknown };
    if (typeof detail === "string") return detail.slice(0, 300);
    if (typeof title === "string") return title.slice(0, 300);
  } catch { /* then it is not JSON */ }
  return text.trim().slice(0, 300);
}
