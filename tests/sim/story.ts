/** Carries out a plan: requests and faults at their times, then healing, rest, and the last look. */
import { CdnError } from "../../proto/mod.ts";
import { sha256 } from "../../runtime/signature.ts";
import { Breach, shortVersion, told, Witness } from "./invariants.ts";
import { FAIR, Links } from "./links.ts";
import { Machine, type MachineOptions, urlOf } from "./machine_host.ts";
import { Net } from "./network.ts";
import { type Act, type Plan, type Round, TOLERATED_MS } from "./plan.ts";
import { exponential, stream } from "./prng.ts";
import type { Boot, Process } from "./process.ts";
import type { DiskFaults } from "./platter.ts";
import type { Transcript } from "./transcript.ts";
import type { World } from "./world.ts";

/** How long the servers may take until all are equal, once everything is well again. */
const REST_MS = 5 * 60_000;
/** How long they are watched at rest, and what each may say in that time on average. */
const WATCH_MS = 20_000;
const QUIET = { messagesPerSecond: 8, bytesPerSecond: 16_384 };

/** What a story is played with. */
export interface StoryOptions {
  boot: Boot;
  disk: DiskFaults;
  /** How many copies the servers wait for, where it is not what the plan promises. */
  minCopies?: number;
}

/** A request under way. */
interface Asked {
  line: string;
  machine: Machine;
  process: Process;
}

/** One story. */
export class Story {
  readonly net: Net;
  readonly witness: Witness;
  readonly machines: Machine[];
  readonly #plan: Plan;
  readonly #world: World;
  readonly #transcript: Transcript;
  readonly #under = new Set<Asked>();
  /** Which round it is, and how often everything was healed: faults end by themselves only until then. */
  #chapter = 0;
  #healings = 0;

  constructor(plan: Plan, world: World, transcript: Transcript, { boot, disk, minCopies }: StoryOptions) {
    this.#plan = plan;
    this.#world = world;
    this.#transcript = transcript;
    const places = new Map(plan.machines.map(({ id, place }) => [id, place]));
    const lengths = stream(plan.seed, "lengths of lines");
    const links = new Links(plan.seed, (from, to) => {
      const [a, b] = [places.get(from), places.get(to)];
      return (a && b && a.region === b.region ? 0.5 : 5 + exponential(lengths, 40));
    });
    this.net = new Net(world, links, (what, from, to, bytes) => transcript.message(what, from, to, bytes));
    this.machines = plan.machines.map(({ id, place, skewMs, drift }) => {
      const options: MachineOptions = {
        world,
        net: this.net,
        seed: plan.seed,
        id,
        place,
        minCopies: minCopies ?? plan.minCopies,
        peers: plan.machines.map((machine) => urlOf(machine.id)),
        boot,
        disk,
        log: (line) => transcript.note(id, line),
        gaveUp: (machine, path, version) => this.witness.gaveUp(machine, path, version),
      };
      const machine = new Machine(options);
      Object.assign(machine.clock, { skewMs, drift });
      return machine;
    });
    this.witness = new Witness(this.machines, plan.minCopies, () => world.nowMs);
  }

  /** @throws {SimulationError} at the first breach. */
  async play(): Promise<void> {
    for (const { id, startMs } of this.#plan.machines) this.#world.after(startMs, () => this.#at(id).start());
    for (const [at, round] of this.#plan.rounds.entries()) {
      this.#chapter = at;
      await this.#chaos(round);
      this.#heal();
      await this.#rest();
    }
  }

  async #chaos(round: Round): Promise<void> {
    this.#say(
      `round ${this.#chapter + 1}: ${round.lastsMs / 1000} s; disks may fail at ${round.losers.join(", ") || "none"}`,
    );
    for (const act of round.acts) this.#world.after(act.atMs, () => this.#act(act));
    await this.#world.run(round.lastsMs);
  }

  #act(act: Act): void {
    const { links } = this.net;
    switch (act.do) {
      case "put":
      case "delete":
      case "read":
        return this.#ask(act);
      case "crash":
        if (act.steps === null) this.#at(act.at).crash("");
        else this.#at(act.at).platter.crashIn = act.steps;
        return this.#later(act.forMs, () => this.#at(act.at).start());
      case "restart": {
        const machine = this.#at(act.at);
        const [healings, dueMs] = [this.#healings, this.#world.nowMs + act.forMs];
        machine.close().then(() => {
          // It took longer than it should be away, or than the chaos lasts.
          if (this.#healings !== healings || this.#world.nowMs >= dueMs) machine.start();
        }, (error) => this.#world.fail(error));
        return this.#later(act.forMs, () => machine.start());
      }
      case "cut": {
        const lines = act.from.flatMap((from) =>
          act.to.flatMap((to) => act.bothWays ? [[from, to], [to, from]] as const : [[from, to]] as const)
        );
        this.#say(`cut: ${act.from.join(",")} ${act.bothWays ? "<->" : "->"} ${act.to.join(",")}`);
        for (const [from, to] of lines) links.get(from, to).isCut = true;
        return this.#later(act.forMs, () => {
          this.#say(`mended: ${act.from.join(",")} and ${act.to.join(",")}`);
          for (const [from, to] of lines) links.get(from, to).isCut = false;
        });
      }
      case "slow":
        this.#say(`${act.from} -> ${act.to} is ${act.times} times as slow`);
        links.get(act.from, act.to).slowness = act.times;
        return this.#later(act.forMs, () => links.get(act.from, act.to).slowness = 1);
      case "weather":
        this.#say(
          `weather: ${Object.entries(act.weather).map(([what, share]) => `${what} ${share.toFixed(2)}`).join(", ")}`,
        );
        links.setWeather(act.weather);
        return this.#later(act.forMs, () => links.setWeather(FAIR));
      case "full":
        this.#note(act.at, "its disk is full");
        this.#at(act.at).platter.full = true;
        return this.#later(act.forMs, () => this.#at(act.at).platter.full = false);
      case "clock":
        this.#note(act.at, `its clock is set to ${(act.skewMs / 1000).toFixed(0)} s ahead`);
        this.#at(act.at).clock.skewMs = act.skewMs;
        if (isWrong(act.skewMs)) this.witness.doubt(act.at);
        return;
      case "wipe":
        return this.#lose(act.at, "its disk is empty now", act.forMs, ({ platter }) => platter.wipe());
      case "index":
        return this.#lose(
          act.at,
          `its index is lost but for ${act.kept.toFixed(2)} of it`,
          act.forMs,
          ({ platter }) => platter.loseIndex(act.kept),
        );
      case "rot": {
        const random = stream(this.#plan.seed, `rot ${act.at} ${act.atMs}`);
        const sha256 = this.#at(act.at).platter.rot(random, (body) => this.#isSafe(body));
        if (sha256) this.#note(act.at, `body ${sha256.slice(0, 8)} rots`);
        return this.#guarded(() => this.witness.survives());
      }
      case "gone":
        this.#interrupt(act.at);
        this.#at(act.at).lose();
        return this.#guarded(() => this.witness.lost(act.at));
    }
  }

  #lose(id: string, what: string, forMs: number, lose: (machine: Machine) => void): void {
    const machine = this.#at(id);
    machine.crash("");
    this.#note(id, what);
    lose(machine);
    this.#guarded(() => this.witness.lost(id));
    this.#later(forMs, () => machine.start());
  }

  /** A client's request; what comes of it is the witness's to judge. */
  #ask(act: Extract<Act, { do: "put" | "delete" | "read" }>): void {
    const machine = this.#at(act.at);
    const { process } = machine;
    const bytes = act.do === "put" ? bytesOf(act.body, act.size) : null;
    const line = `${act.do} ${act.path}${bytes ? ` ${bytes.length} B ${sha256(bytes).slice(0, 8)}` : ""}`;
    if (!process) return this.#note(act.at, `${line} -> nobody is there`);
    this.#note(act.at, line);
    const asked: Asked = { line, machine, process };
    this.#under.add(asked);
    if (act.do !== "read") {
      this.witness.asked({ machine: act.at, path: act.path, sha256: bytes && sha256(bytes) });
    }
    const least = this.witness.shown(act.at, act.path);
    const outcome = act.do === "read"
      ? process.read(act.path).then((read) => {
        this.witness.read(act.at, act.path, read, least);
        return read ? told(read.manifest) : "never heard of";
      })
      : (bytes ? process.put(act.path, bytes) : process.remove(act.path)).then((manifest) => {
        this.witness.acknowledged(act.at, manifest);
        return `acked ${shortVersion(manifest.version)}`;
      });
    outcome.then((words) => this.#answered(asked, words), (error) => {
      if (error instanceof CdnError) this.#answered(asked, `${error.status} ${error.message}`);
      else this.#world.fail(error);
    });
  }

  #answered(asked: Asked, words: string): void {
    this.#under.delete(asked);
    this.#note(asked.machine.id, `${asked.line} -> ${words}`);
  }

  /** Everything is well from now on, but for what is lost for ever. */
  #heal(): void {
    this.#say("heals");
    this.#healings++;
    this.net.links.heal();
    for (const machine of this.machines) {
      const { platter, clock } = machine;
      Object.assign(platter, { full: false, crashIn: null });
      if (isWrong(clock.skewMs)) {
        clock.skewMs = TOLERATED_MS / 2;
        machine.crash("to put its clock right");
      }
      machine.start();
    }
  }

  async #rest(): Promise<void> {
    // What a machine that died was asked is answered by nobody.
    const deadline = this.#world.nowMs + REST_MS;
    let unrest: Error | null = null;
    do {
      if (this.#world.nowMs >= deadline) throw unrest!;
      await this.#world.run(1_000);
      unrest = this.#unanswered() ?? this.witness.unrest();
    } while (unrest);
    this.#say("rests");
    this.witness.trustAll();
    // What nobody needs any more ends when its time runs out.
    await this.#world.run(this.#alive().length === 0 ? 0 : 12_000);
    await this.#quiet();
    for (const machine of this.#alive()) {
      this.witness.kept(machine);
      for (const path of this.witness.paths()) await this.#readable(machine, path);
    }
  }

  #unanswered(): Breach | null {
    for (const asked of this.#under) {
      if (asked.machine.process !== asked.process) this.#under.delete(asked);
      else return new Breach("answered", `${asked.machine.id} has not answered "${asked.line}"`);
    }
    return null;
  }

  async #readable({ id, process }: Machine, path: string): Promise<void> {
    const least = this.witness.shown(id, path);
    const reading = process!.read(path).catch((error) => {
      if (error instanceof CdnError) return error;
      throw error;
    });
    this.witness.readAtRest(id, path, await this.#world.until(`${id} reads ${path}`, reading, 60_000), least);
  }

  /** At rest there are heartbeats, and little else. */
  async #quiet(): Promise<void> {
    const before = this.net.links.total();
    await this.#world.run(WATCH_MS);
    const after = this.net.links.total();
    const perSecond = this.#alive().length * WATCH_MS / 1000;
    const messages = (after.messages - before.messages) / perSecond;
    const bytes = (after.bytes - before.bytes) / perSecond;
    this.#say(`quiet: ${messages.toFixed(2)} messages and ${bytes.toFixed(0)} B a second from each`);
    if (after.bodyBytes > before.bodyBytes) throw new Breach("quiet", "bodies are sent at rest");
    if (messages > QUIET.messagesPerSecond) throw new Breach("quiet", `${messages} messages a second from each`);
    if (bytes > QUIET.bytesPerSecond) throw new Breach("quiet", `${bytes} B a second from each`);
  }

  /** Unless everything was healed before. */
  #later(ms: number, action: () => void): void {
    const healings = this.#healings;
    this.#world.after(ms, () => {
      if (this.#healings === healings) action();
    });
  }

  #guarded(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.#world.fail(error);
    }
  }

  #interrupt(id: string): void {
    for (const asked of this.#under) if (asked.machine.id === id) this.#under.delete(asked);
  }

  /** True where a machine has the body whose disk loses nothing in this round. */
  #isSafe(sha256: string): boolean {
    const losers = this.#plan.rounds[this.#chapter]!.losers;
    return this.machines.some(({ id, platter }) =>
      !losers.includes(id) && platter.bodies.get(sha256)?.rottenAt === null
    );
  }

  #alive(): Machine[] {
    return this.machines.filter(({ isGone }) => !isGone);
  }

  #at(id: string): Machine {
    return this.machines.find((machine) => machine.id === id)!;
  }

  #note(who: string, what: string): void {
    this.#transcript.note(who, what);
  }

  #say(what: string): void {
    this.#note("--", what);
  }
}

/** So far off that others take nothing that it stamps, or it nothing that others do. */
function isWrong(skewMs: number): boolean {
  return skewMs < 0 || skewMs > TOLERATED_MS;
}

/** The body of a number: the same number and size, the same bytes. */
function bytesOf(body: number, size: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  let state = Math.imul(body + 1, 0x9e3779b1) | 1;
  for (let at = 0; at < size; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[at] = state;
  }
  return bytes;
}
