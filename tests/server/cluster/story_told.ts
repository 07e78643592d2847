/** What a story says after each line: what everybody holds, and whatever is not plain. */
import type { Manifest } from "../../../proto/mod.ts";
import type { Node } from "./node.ts";
import type { Actor } from "./story_actor.ts";

/** `n1 n2: /a=v2; n3 (cut off: dead): /a=v1`: those of whom the same is to be said stand together. */
export async function told(actors: readonly Actor[]): Promise<string> {
  const groups = new Map<string, string[]>();
  for (const actor of actors) {
    const notes = notesOf(actor, actors);
    const text = `${notes.length > 0 ? ` (${notes.join(", ")})` : ""}: ${await actor.content()}`;
    groups.set(text, [...(groups.get(text) ?? []), actor.id]);
  }
  return [...groups].map(([text, ids]) => `${ids.join(" ")}${text}`).join("; ");
}

/** What a server holds, with its versions: two that hold the same give the same. */
export async function held(node: Node): Promise<Manifest[]> {
  const { entries } = await node.store.list({ by: "path", limit: 100, tombstones: true });
  return entries.map(({ manifest }) => manifest);
}

function notesOf(actor: Actor, actors: readonly Actor[]): string[] {
  const { id, node, standing, cut, clockMs } = actor;
  const everybody = actors.map((other) => other.id).sort().join(" ");
  const others = actors.filter((other) => other !== actor && other.isUp && other.node.ids().includes(id));
  const said = (of: (other: Actor) => string[]) => [...new Set(others.flatMap(of))].sort();
  const notes: string[] = [];
  const states = said((other) => [other.node.health(id)!.state]).join("/");
  if (standing !== "running" || cut) {
    notes.push(`${standing === "running" ? "cut off" : standing}${states ? `: ${states}` : ""}`);
  }
  if (standing === "running") {
    const list = node.ids().join(" ");
    if (list !== everybody) notes.push(`knows ${list}`);
    if (node.cluster.draining()) notes.push("drains");
    const aside = node.aside.splice(0).map(({ path }) => path).sort();
    if (aside.length > 0) notes.push(`set aside ${aside.join(" ")}`);
  }
  if (clockMs !== 0) notes.push(`clock ${durationText(clockMs)}`);
  for (const reason of said((other) => other.node.health(id)!.marks.map((mark) => mark.reason))) {
    // Whether it is found out that a disk went back hangs on who compares first.
    if (!reason.startsWith("went back")) notes.push(`caught: ${reason}`);
  }
  return notes;
}

/** Why a server does not take an object, by what another one says of it; null where it says nothing of that. */
export function refusal(teller: Actor, { id }: Actor, path: string): string | null {
  const [, reason] = teller.node.health(id)!.error.split(`could not take ${path}: `);
  return reason?.replace(/(\d+) s ahead/, (_, s) => `${durationText(Number(s) * 1000).slice(1)} ahead`) ?? null;
}

const UNITS: [string, number][] = [["y", 365 * 86_400_000], ["d", 86_400_000], ["h", 3_600_000], ["min", 60_000]];

/** `+1h`; rounded to the largest unit. */
export function durationText(ms: number): string {
  // Rounded down a little above: the second in which it is looked at shall not matter.
  const near = Math.abs(ms) + 30_000;
  const [unit, each] = UNITS.find(([, size]) => near >= size) ?? ["min", 60_000];
  return `${ms < 0 ? "-" : "+"}${Math.floor(near / each)}${unit}`;
}

/** The inverse: `+1h`, `-10y`, `3d`, `0`. */
export function durationFrom(text: string): number {
  if (text === "0") return 0;
  const [, sign, count, unit] = /^([+-]?)(\d+)(y|d|h|min)$/.exec(text) ?? [];
  if (count === undefined) throw new TypeError(`"${text}" is no duration`);
  return (sign === "-" ? -1 : 1) * Number(count) * UNITS.find(([name]) => name === unit)![1];
}
