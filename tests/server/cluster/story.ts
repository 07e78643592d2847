/** Stories told to real servers over loopback: a command a line, and what came of it. See `tests/cases/README.md`. */
import { join } from "@std/path";
import { CdnError, compareVersions, type Manifest } from "../../../proto/mod.ts";
import type { ClusterSettings } from "../../../server/cluster/mod.ts";
import { MAX_AHEAD_MS } from "../../../proto/clock.ts";
import { until, untilJoined } from "./node.ts";
import { rot } from "../../kit/body_place.ts";
import { Actor } from "./story_actor.ts";
import { durationFrom, held, refusal, told } from "./story_told.ts";

/** Parts in which time passes: what begins in one ends in another. */
const STEPS = 4;

/** Plays the lines of one story. */
export class Story implements AsyncDisposable {
  readonly #actors = new Map<string, Actor>();
  readonly #settings: Partial<ClusterSettings> = {};
  #lastWriteMs = 0;

  /** Does what the line says, waits for rest, and says what everybody holds. */
  async play(line: string): Promise<string> {
    const [command = "", ...words] = line.split(/\s+/);
    const act = this.#commands[command];
    if (!act) throw new TypeError(`unknown command in "${line}"`);
    const outcome = await act(words);
    await until(`rest after "${line}"`, () => this.#atRest());
    return [...(typeof outcome === "string" ? [outcome] : []), await told([...this.#actors.values()])].join(" | ");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const actor of this.#actors.values()) {
      if (actor.standing === "running") await actor.end("stopped");
      await Deno.remove(actor.folder, { recursive: true }).catch(() => {});
    }
  }

  readonly #commands: Record<string, (words: string[]) => unknown> = {
    /** Before the first server starts. */
    set: ([name, value]) => {
      Object.assign(this.#settings, { [name!]: /^\d+$/.test(value!) ? Number(value) : durationFrom(value!) });
    },
    start: async (ids) => {
      const first = ids[0]!;
      for (const id of ids) await this.#new(id).begin(id === first ? [] : [this.#at(first).node.url]);
      await untilJoined(...ids.map((id) => this.#at(id).node));
    },
    join: async ([id, other]) => {
      await this.#new(id!).begin([this.#at(other!).node.url]);
      await until(
        "all know it",
        () => [...this.#actors.values()].every((actor) => !actor.isUp || actor.node.ids().includes(id!)),
      );
    },
    put: ([id, path, text]) => this.#write(id!, (actor) => actor.write(path!, text!)),
    delete: ([id, path]) => this.#write(id!, (actor) => actor.remove(path!)),
    together: async ([one, path, text, two, , other]) => {
      const wallMs = this.#at(one!).now();
      const both = [[one!, text!], [two!, other!]].map(async ([id, words]) => {
        const actor = this.#at(id!);
        const manifest = await actor.node.put(path!, words!, { wallMs, counter: 0, server: id! });
        return await this.#secure(actor, manifest);
      });
      const told = await Promise.all(both);
      // Where all reach each other, the earlier version is acknowledged only if it had copies before the later one came.
      const loser = one! < two! ? 0 : 1;
      const isApart = [...this.#actors.values()].some(({ cut }) => cut);
      if (!isApart && ["acked", "not acknowledged: 1 of 2"].includes(told[loser]!)) {
        told[loser] = "acked or overwritten";
      }
      return told.join(", ");
    },
    cut: (ids) => ids.forEach((id) => this.#at(id).cut = true),
    heal: (ids) => ids.forEach((id) => this.#at(id).cut = false),
    stop: ([id]) => this.#at(id!).end("stopped"),
    crash: ([id]) => this.#at(id!).end("crashed"),
    restart: ([id]) => this.#restart(id!),
    wipe: async ([id]) => {
      await Deno.remove(this.#at(id!).folder, { recursive: true });
      await this.#new(id!).begin([]);
    },
    lose: async ([id, what]) => {
      const actor = this.#at(id!);
      const folder = join(actor.folder, "store");
      if (what === "store") {
        actor.left = "nothing";
        return await Deno.remove(folder, { recursive: true });
      }
      if (what !== "index") throw new TypeError(`nobody can lose ${what}`);
      for (const end of ["", "-wal"]) await Deno.remove(join(folder, `index.sqlite${end}`)).catch(() => {});
    },
    rot: async (words) => {
      const path = words.pop()!;
      for (const id of words) {
        const { file, at } = await this.#at(id).bodyPlace(path);
        rot(file, at);
      }
      const read = words.map(async (id) => `${id}: ${await this.#read(id, path)}`);
      return (await Promise.all(read)).join(", ");
    },
    read: ([id, path]) => this.#read(id!, path!),
    remove: ([by, id]) => this.#at(by!).node.cluster.removeServer(id!),
    add: ([by, id]) => this.#at(by!).node.cluster.addServer(this.#at(id!).node.url),
    drain: ([by, id]) => this.#drain(by!, id!, true),
    undrain: ([by, id]) => this.#drain(by!, id!, false),
    clock: async ([id, offset]) => {
      const actor = this.#at(id!);
      actor.setClock(durationFrom(offset!));
      // What it wrote while it was fast it sets aside as soon as another one agrees that it is from the future.
      if (durationFrom(offset!) === 0) await until(`${id} has nothing from the future`, () => actor.hasNoFuture());
    },
    pass: ([duration]) => this.#pass(durationFrom(duration!)),
  };

  #at(id: string): Actor {
    const actor = this.#actors.get(id);
    if (!actor) throw new TypeError(`there is no server ${id}`);
    return actor;
  }

  /** A server with an empty disk. */
  #new(id: string): Actor {
    const actor = new Actor(id, Deno.makeTempDirSync({ prefix: "metacdn-story-" }), this.#settings);
    this.#actors.set(id, actor);
    return actor;
  }

  #restart(id: string): Promise<void> {
    const others = [...this.#actors.values()].filter(({ standing }) => standing === "running");
    return this.#at(id).begin(others.map(({ node }) => node.url)); // as its --peers
  }

  async #read(id: string, path: string): Promise<string> {
    const text = await this.#at(id).node.text(path).catch(({ message }: Error) => message);
    return text === null ? "nothing" : `"${text}"`;
  }

  /** A write with its outcome: acknowledged, not so, or refused. */
  async #write(id: string, write: (actor: Actor) => Promise<Manifest>): Promise<string> {
    const actor = this.#at(id);
    // Stamps of two lines never have the same millisecond: who wins does not hang on the machine.
    await until("the next millisecond", () => Date.now() > this.#lastWriteMs);
    let manifest: Manifest;
    try {
      manifest = await write(actor);
    } catch (error) {
      if (error instanceof CdnError) return `${error.status}: ${error.message}`;
      throw error;
    }
    this.#lastWriteMs = Date.now();
    return await this.#secure(actor, manifest);
  }

  async #secure(actor: Actor, manifest: Manifest): Promise<string> {
    actor.inVain = ![...this.#actors.values()].some((other) =>
      this.#reach(actor, other) && !other.node.cluster.draining() && isTakenBy(manifest, other)
    );
    let outcome = "acked";
    try {
      await actor.node.cluster.secure(manifest);
    } catch (error) {
      const [count] = error instanceof CdnError ? /\d+ of \d+/.exec(error.message) ?? [] : [];
      if (count === undefined) throw error;
      outcome = `not acknowledged: ${count}`;
    }
    for (const other of this.#actors.values()) {
      if (!this.#reach(actor, other) || isTakenBy(manifest, other)) continue;
      const told = () => refusal(actor, other, manifest.path);
      await until(`${actor.id} tells that ${other.id} refuses ${manifest.path}`, () => told() !== null);
      outcome += `, refused by ${other.id}: ${told()}`;
    }
    return outcome;
  }

  async #drain(by: string, id: string, draining: boolean): Promise<void> {
    await this.#at(by).node.cluster.drainServer(id, draining);
    const told = this.#at(by);
    const others = [...this.#actors.values()].filter((actor) => actor === told || this.#reach(told, actor));
    await until(
      `all know of the word about ${id}`,
      () =>
        others.every(({ node }) => node.cluster.servers().find((server) => server.id === id)!.draining === draining),
    );
  }

  async #pass(ms: number): Promise<void> {
    for (let step = 0; step < STEPS; step++) {
      for (const actor of this.#actors.values()) actor.pass(ms / STEPS);
      const from = new Map([...this.#actors.values()].map((actor) => [actor, actor.now()]));
      await until(
        "all have heard each other since",
        () =>
          this.#pairs().every(([actor, other]) => Number(actor.node.health(other.id)!.lastHeardMs) > from.get(actor)!),
      );
    }
  }

  /** Those that reach each other, both ways round. */
  #pairs(): [Actor, Actor][] {
    const all = [...this.#actors.values()];
    return all.flatMap((actor) =>
      all.flatMap((other) => this.#reach(actor, other) ? [[actor, other] as [Actor, Actor]] : [])
    );
  }

  #reach(actor: Actor, other: Actor): boolean {
    return actor !== other && actor.isUp && other.isUp && actor.node.ids().includes(other.id) &&
      other.node.ids().includes(actor.id);
  }

  /** What a server lacks, and whether another one that is up has it. */
  async #lacks({ node }: Actor): Promise<{ objects: number; isThere: boolean }> {
    let [objects, isThere] = [0, false];
    for (const { path } of await held(node)) {
      if (await node.has(path)) continue;
      objects++;
      for (const actor of this.#actors.values()) isThere ||= actor.isUp && await actor.node.has(path);
    }
    return { objects, isThere };
  }

  /** Those that can reach each other hold the same and know it, and everybody knows who cannot be reached. */
  async #atRest(): Promise<boolean> {
    for (const actor of this.#actors.values()) {
      if (actor.standing !== "running") continue;
      const { node } = actor;
      if (actor.isUp && (await this.#lacks(actor)).isThere) return false;
      for (const id of node.ids().filter((name) => name !== actor.id)) {
        const other = this.#actors.get(id);
        const { state, lagObjects, error } = node.health(id)!;
        if (!other || !this.#reach(actor, other)) {
          if (state === "alive" || state === "suspect" || state === "unknown") return false;
          continue;
        }
        if (state !== "alive" || node.ids().join() !== other.node.ids().join()) return false;
        const refused = await differing(actor, other);
        if (refused === null || refused && lagObjects === 0n) return false;
        const { objects } = await this.#lacks(other);
        if (!refused && (error !== "" || lagObjects !== BigInt(objects))) return false;
      }
    }
    return true;
  }
}

/**
 * True where both differ by what one of them refuses, because of the clocks; false where they hold the same; null where
 * they hold different things.
 */
async function differing(one: Actor, two: Actor): Promise<boolean | null> {
  const mine = new Map((await held(one.node)).map((manifest) => [manifest.path, manifest]));
  const theirs = new Map((await held(two.node)).map((manifest) => [manifest.path, manifest]));
  let refused = false;
  for (const path of new Set([...mine.keys(), ...theirs.keys()])) {
    const [a, b] = [mine.get(path), theirs.get(path)];
    const order = a && b ? compareVersions(a.version, b.version) : a ? 1 : -1;
    if (order === 0) continue;
    if (isTakenBy((order > 0 ? a : b)!, order > 0 ? two : one)) return null;
    refused = true;
  }
  return refused;
}

/** Where its clock is not too far behind. */
function isTakenBy({ version }: Manifest, actor: Actor): boolean {
  return version.wallMs <= actor.now() + MAX_AHEAD_MS;
}
