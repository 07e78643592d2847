/**
 * An ordeal: servers are killed and emptied while others write and read. Each round is drawn from its seed; what
 * happens when, the machine decides.
 */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { Program } from "../../../cli/up/program.ts";
import { sha256 } from "../../../runtime/signature.ts";
import { eventually } from "../../kit/mod.ts";
import { Chance } from "./chance.ts";
import { History, type State } from "./history.ts";
import { type Node, PATIENCE_MS } from "./node.ts";
import { look, read, type Readings, type Source } from "./reading.ts";
import { startWorld, telling, whole, type World } from "./world.ts";
import { put, remove, Session } from "./writing.ts";

/** How much of it. */
export interface OrdealOptions {
  seed: number;
  /** Writes and deletes, by all writers together. */
  operations?: number;
  /** How a server comes back whose data folder was emptied; drawn unless given. */
  loss?: Loss;
}

/**
 * - `keys`: with its id and its key from a copy: nobody has to do anything.
 * - `same-id`: with its id and a new key: an admin removes and adds it.
 * - `new-id`: as another server; an admin removes the one that it was.
 */
export type Loss = "keys" | "same-id" | "new-id";
const losses: readonly Loss[] = ["keys", "same-id", "new-id"];

/** What came of a round that went well. */
export interface OrdealReport extends Omit<Readings, "faults"> {
  seed: number;
  loss: Loss;
  acknowledged: number;
  refused: number;
  kills: number;
  objects: number;
}

const [SERVERS, WRITERS, READERS] = [5, 4, 3];
const FLAGS = ["--heartbeat", "300", "--copies-timeout", "5000"];

/** @throws where anything was lost, wrong, or out of reach; with the tails of all logs. */
export async function ordeal(options: OrdealOptions): Promise<OrdealReport> {
  await using world = await startWorld(SERVERS, (_, at) => ({
    flags: [...FLAGS, "--provider", ["aws", "azure", "gcp"][at % 3]!],
  }));
  const round = new Round(world, options);
  return await telling(round.nodes, () => round.run());
}

class Round {
  readonly nodes: Node[];
  readonly #world: World;
  readonly #chance: Chance;
  readonly #seed: number;
  /** How many writes and deletes there will be. */
  readonly #planned: number;
  readonly #loss: Loss;
  readonly #history = new History();
  readonly #readings: Readings = { reads: 0, retries: 0, stale: 0, faults: [] };
  #operations = 0;
  #refused = 0;
  #kills = 0;
  #writing = true;
  /** Hears at once who has just acknowledged something. */
  #onAcknowledged: (node: Node) => void = () => {};

  constructor(world: World, { seed, operations = 100, loss }: OrdealOptions) {
    this.#seed = seed;
    this.#planned = operations;
    this.#chance = new Chance(seed);
    this.#loss = loss ?? this.#chance.pick(losses);
    this.#world = world;
    this.nodes = world.nodes;
  }

  async run(): Promise<OrdealReport> {
    await using proxy = await startProxy(this.#world);
    const source: Source = { name: "the proxy", url: proxy.url, generation: () => 0 };
    const reading = new AbortController();
    const chances = Array.from({ length: WRITERS + READERS }, () => this.#chance.fork());
    const readersDone = chances.slice(WRITERS).map((chance) => this.#read(chance, source, reading.signal));
    const writersDone = Promise.all(chances.slice(0, WRITERS).map((chance, at) => this.#write(chance, at)))
      .finally(() => this.#writing = false);
    try {
      await Promise.all([writersDone, this.#disturb()]);
    } finally {
      await writersDone.catch(() => {});
      reading.abort();
      await Promise.all(readersDone);
    }
    await whole(this.nodes);
    const objects = await this.#verify();
    const { reads, retries, stale, faults } = this.#readings;
    assertEquals(faults, [], "what readers met");
    const { acknowledged } = this.#history;
    assert(acknowledged > this.#planned / 2, `only ${acknowledged} writes were acknowledged`);
    return {
      seed: this.#seed,
      loss: this.#loss,
      acknowledged,
      refused: this.#refused,
      kills: this.#kills,
      objects,
      reads,
      retries,
      stale,
    };
  }

  /** One writer: paths of its own, one write after the other. What a server does not acknowledge goes to another. */
  async #write(chance: Chance, writer: number): Promise<void> {
    while (this.#operations < this.#planned) {
      this.#operations++;
      const path = `/w${writer}/${chance.between(1, 12)}.bin`;
      const isThere = ![...this.#history.possible(path)].includes(null);
      const bytes = isThere && chance.next() < 0.2 ? null : chance.bytes(chance.size(1 << 10, 2 << 20));
      const state = bytes && sha256(bytes);
      const bySession = chance.next() < 0.4;
      for (let attempt = 0; attempt < 4; attempt++) {
        const node = chance.pick(this.nodes.filter(({ isUp }) => isUp));
        this.#history.begin(path, state);
        if (await this.#try(node, path, bytes, bySession)) {
          this.#history.acknowledge(path, state);
          this.#onAcknowledged(node);
          break;
        }
        this.#refused++;
      }
    }
  }

  /** True where it was acknowledged. */
  async #try(node: Node, path: string, bytes: Uint8Array<ArrayBuffer> | null, bySession: boolean): Promise<boolean> {
    try {
      if (bytes === null) {
        const { status } = await remove(node, path);
        // Deleted by an attempt before, of which we do not know; or the object has not come there yet.
        return status === 204;
      }
      if (!bySession) return [201, 204].includes((await put(node, path, bytes)).status);
      const session = await Session.open(node, path, bytes);
      if (session.opened.received.length === 0) await session.send(256 << 10);
      for (let attempt = 0; attempt < 3; attempt++) {
        const { status } = await session.commit();
        if (status === 200) return true;
        if (status !== 503) return false;
      }
      return false;
    } catch {
      return false; // it fell in the middle
    }
  }

  async #read(chance: Chance, proxy: Source, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const paths = this.#history.paths();
      const ready = this.nodes.filter(({ ready }) => ready);
      if (paths.length === 0 || ready.length === 0) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        continue;
      }
      const node = (): Source => {
        const one = chance.pick(this.nodes.filter(({ ready }) => ready));
        return { name: one.id, url: one.url, generation: () => one.isUp ? one.generation : -1 };
      };
      const first = chance.next() < 0.4 ? proxy : node();
      await read(chance.pick(paths), {
        first,
        // Whoever meets a server that does not have it (yet) goes by the proxy, which asks them all.
        elsewhere: () => first === proxy ? node() : proxy,
        history: this.#history,
        readings: this.#readings,
      });
    }
  }

  /** Kills one after the other while there is writing; one of them loses its disk. */
  async #disturb(): Promise<void> {
    const chance = this.#chance;
    const lossAt = chance.between(0, 1);
    for (let turn = 0; this.#writing || turn <= lossAt; turn++) {
      await this.#afterOperations(chance.between(5, 20));
      const losesDisk = turn === lossAt;
      const node = await this.#killed(chance);
      this.#kills++;
      await this.#afterOperations(chance.between(3, 15));
      if (losesDisk) await this.#replace(node);
      else {
        await node.start([chance.pick(this.nodes.filter(({ isUp }) => isUp)).url]);
        await node.whenReady();
      }
      // With one more emptied disk, what has only begun to be copied would be gone.
      if (losesDisk) await this.#filled(node);
    }
  }

  /** Kills any server; while there is writing, in the moment in which it has acknowledged something. */
  async #killed(chance: Chance): Promise<Node> {
    const acknowledged = Promise.withResolvers<[Node, Promise<void>]>();
    this.#onAcknowledged = (node) => {
      this.#onAcknowledged = () => {};
      acknowledged.resolve([node, node.kill()]);
    };
    this.#afterOperations(20).then(() => this.#onAcknowledged(chance.pick(this.nodes)), acknowledged.reject);
    const [node, gone] = await acknowledged.promise;
    await gone;
    return node;
  }

  /** It comes back with nothing, as an operator would bring it back. */
  async #replace(node: Node): Promise<void> {
    const helper = this.#chance.pick(this.nodes.filter(({ isUp }) => isUp));
    const kept = await Promise.all(["server.json", "server.key"].map((name) => Deno.readFile(join(node.data, name))));
    await node.wipe();
    if (this.#loss === "keys") {
      await Deno.writeFile(join(node.data, "server.json"), kept[0]!);
      await Deno.writeFile(join(node.data, "server.key"), kept[1]!, { mode: 0o600 });
    }
    const former = node.id;
    if (this.#loss === "new-id") node.id = `${former}-again`;
    await node.start([helper.url]);
    if (this.#loss !== "keys") {
      const removed = await helper.fetch(`/-/v1/servers/${former}`, { method: "DELETE" });
      assertEquals(removed.status, 204, await removed.text());
    }
    if (this.#loss === "same-id") {
      const body = JSON.stringify({ url: node.url });
      const headers = { "content-type": "application/json" };
      const added = await helper.fetch("/-/v1/servers", { method: "POST", headers, body });
      assertEquals(added.status, 201, await added.text());
    }
    await node.whenReady();
  }

  async #filled(node: Node): Promise<void> {
    await eventually(async () => await node.readiness() === "ok\n", {
      what: `${node.id} being full again`,
      deadlineMs: PATIENCE_MS,
      everyMs: 100,
    });
  }

  /** Waits until so many more writes were begun, or there will be no more. */
  async #afterOperations(count: number): Promise<void> {
    const until = this.#operations + count;
    await eventually(() => !this.#writing || this.#operations >= until, {
      what: "writes going on",
      deadlineMs: 10 * PATIENCE_MS,
    });
  }

  /** Every path at every server: what was acknowledged last; where nobody knows, everywhere the same. */
  async #verify(): Promise<number> {
    const wrong: string[] = [];
    let objects = 0;
    for (const path of this.#history.paths()) {
      const possible = this.#history.possible(path);
      const states = new Set<State>();
      for (const node of this.nodes) {
        const seen = await look(node.url + path);
        if ("error" in seen) wrong.push(`${path} at ${node.id}: ${seen.error}`);
        else if (possible.has(seen.state)) states.add(seen.state);
        else wrong.push(`${path} at ${node.id}: ${seen.state} in place of ${[...possible].join(" or ")}`);
      }
      if (states.size > 1) wrong.push(`${path}: servers differ: ${[...states].join(", ")}`);
      if (!states.has(null)) objects++;
    }
    assertEquals(wrong, [], "what was acknowledged");
    return objects;
  }
}

async function startProxy({ folder, nodes }: World): Promise<AsyncDisposable & { url: string }> {
  const program = await Program.start({
    name: "proxy",
    args: [
      ...["proxy", "--listen", "127.0.0.1:0", "--server", nodes.map(({ url }) => url).join(",")],
      ...["--policy", "network", "--workers", "1", "--probe-interval", "500"],
    ],
    logFile: join(folder, "proxy.log"),
  });
  return { url: program.url, [Symbol.asyncDispose]: () => program.stop() };
}
