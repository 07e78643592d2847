/**
 * Edges that fill their caches from each other and from an origin that changes, while messages are slow and lost and
 * servers come and go: what was purged is found nowhere that acknowledged it.
 */
import { assert, assertEquals } from "@std/assert";
import { ownerOf } from "../../../server/edge/siblings/rendezvous.ts";
import { type Random, stream } from "../../sim/prng.ts";
import { type Member, PurgeWorld } from "./purge_world.ts";

const KEYS = ["/a", "/b", "/a/1", "/c?x"];
const TAGS: Record<string, string[]> = { "/a": ["red"], "/b": ["red", "blue"], "/a/1": [], "/c?x": ["blue"] };

/** The origin: what it has at a key is a number that grows. */
class Origin {
  readonly versions = new Map(KEYS.map((key) => [key, 1]));

  update(key: string): void {
    this.versions.set(key, this.versions.get(key)! + 1);
  }
}

interface Flight {
  mark: number;
  content: Promise<number>;
}

/** The least that an edge does; the order of its steps is what the real one must keep. */
class Edge {
  readonly flights = new Map<string, Flight>();

  constructor(
    readonly world: PurgeWorld,
    readonly member: Member,
    readonly origin: Origin,
    readonly edges: readonly Edge[],
  ) {}

  /** What a client, or a sibling (with its stamp), gets; how old it may be is for the test to judge. */
  async get(key: string, stamp: string | null = null): Promise<number> {
    const purges = this.member.up;
    await purges.waitingFor(stamp);
    const { stored, recent } = this.member.cache;
    const found = stored.get(key);
    if (found && found.responseMs >= purges.staleBeforeMs) return Number(found.content);
    const flying = this.flights.get(key);
    if (flying && recent.since(flying.mark, key, null) === null) return await flying.content;
    const { mark } = recent;
    const flight: Flight = { mark, content: this.#fetch(key, stamp !== null) };
    this.flights.set(key, flight);
    try {
      const content = await flight.content;
      const tags = TAGS[key]!;
      if (recent.since(mark, key, tags) === null) {
        this.member.cache.put(key, String(content), tags, this.world.now());
      }
      return content;
    } finally {
      if (this.flights.get(key) === flight) this.flights.delete(key);
    }
  }

  async #fetch(key: string, forSibling: boolean): Promise<number> {
    const { world, member } = this;
    const live = this.edges.filter((edge) => edge.member.purges).map((edge) => edge.member.id);
    const owner = forSibling ? null : this.edges.find((edge) => edge.member.id === ownerOf(key, live));
    if (owner && owner !== this) {
      try {
        const stamp = member.up.stamp();
        return await world.carry(member, owner.member, 1000, () => owner.get(key, stamp));
      } catch { /* the origin it is */ }
    }
    await world.pause(10);
    const content = this.origin.versions.get(key)!;
    await world.pause(150);
    return content;
  }
}

interface Told {
  purges: number;
  missed: number;
  /** Answers whose age was judged, of servers that had acknowledged, and of those that were back. */
  judged: number;
}

async function tell(seed: number): Promise<Told> {
  const random: Random = stream(seed, "world");
  const draw: Random = stream(seed, "story");
  await using world = new PurgeWorld(random, { askMs: 300, deliverMs: 1500, startMs: 1000, reconcileMs: 20_000 });
  const origin = new Origin();
  const edges: Edge[] = [];
  for (const id of ["a", "b", "c", "d"]) edges.push(new Edge(world, await world.add(id), origin, edges));
  await world.world.run(2000);
  const told: Told = { purges: 0, missed: 0, judged: 0 };
  /** No older than this may be what a server holds or gives of a key: by server, since it acknowledged. */
  const least = new Map(edges.map(({ member }) => [member, new Map<string, number>()]));
  const pending: Promise<void>[] = [];
  const anyOf = <T>(list: readonly T[]): T => list[Math.floor(draw() * list.length)]!;

  const raise = (member: Member, keys: readonly string[], versions: ReadonlyMap<string, number>) => {
    const ours = least.get(member)!;
    for (const key of keys) ours.set(key, Math.max(ours.get(key) ?? 0, versions.get(key)!));
  };
  const check = (member: Member) => {
    for (const [key, { content, responseMs }] of member.cache.stored) {
      if (member.purges && responseMs < member.up.staleBeforeMs) continue;
      assert(Number(content) >= (least.get(member)!.get(key) ?? 0), `${member.id} holds an old ${key}, seed ${seed}`);
    }
  };
  const get = async (edge: Edge, key: string) => {
    const floor = least.get(edge.member)!.get(key) ?? 0;
    const content = await edge.get(key);
    assert(content >= floor, `${edge.member.id} gave an old ${key}: ${content} < ${floor}, seed ${seed}`);
    if (floor > 0) told.judged++;
  };
  const purge = async (edge: Edge) => {
    const named = anyOf<[Parameters<PurgeWorld["purge"]>[1], string[]]>([
      [{ urls: ["/a"] }, ["/a"]],
      [{ prefixes: ["/a"] }, ["/a", "/a/1"]],
      [{ tags: ["red"] }, ["/a", "/b"]],
      [{ urls: ["/c?x"], tags: ["blue"] }, ["/c?x", "/b"]],
    ]);
    for (const key of named[1]) origin.update(key);
    const versions = new Map(origin.versions);
    const request = {
      $typeName: "metacdn.v1.PurgeRequest",
      urls: [],
      prefixes: [],
      tags: [],
      soft: false,
      ...named[0],
    };
    const report = await edge.member.up.purge(request as never);
    told.purges++;
    for (const { id, acknowledged } of report.members) {
      const { member } = edges.find((one) => one.member.id === id)!;
      if (!acknowledged) {
        told.missed++;
        continue;
      }
      raise(member, named[1], versions);
      check(member);
    }
  };

  for (let step = 0; step < 120; step++) {
    const chance = draw();
    const up = edges.filter(({ member }) => member.purges);
    const one = anyOf(up);
    if (chance < 0.6) pending.push(get(one, anyOf(KEYS)));
    else if (chance < 0.75) pending.push(purge(one));
    else if (chance < 0.83) world.cut(one.member, anyOf(edges).member);
    else if (chance < 0.93) world.cuts.clear();
    else if (up.length === edges.length) {
      await world.run("what is under way", Promise.all(pending.splice(0)));
      await world.run("stop", one.member.stop());
      one.flights.clear();
      one.member.state = "dead";
    } else {
      // Whoever comes back reaches all, and must then know all that was purged.
      const back = edges.find(({ member }) => !member.purges)!;
      const { member } = back;
      await world.run("what is under way", Promise.all(pending.splice(0)));
      world.cuts.clear();
      await member.start();
      member.state = "alive";
      for (const other of edges) {
        for (const [key, version] of least.get(other.member)!) raise(member, [key], new Map([[key, version]]));
      }
      for (const key of KEYS) pending.push(get(back, key));
    }
    await world.world.run(draw() * 60);
  }
  world.cuts.clear();
  for (const { member } of edges) if (!member.purges) await member.start();
  await world.run("what is under way", Promise.all(pending));
  // By and by everybody knows everything.
  await world.world.run(200_000);
  const all = new Map(KEYS.map((key) => [key, Math.max(...[...least.values()].map((ours) => ours.get(key) ?? 0))]));
  for (const { member } of edges) {
    raise(member, KEYS, all);
    check(member);
    assertEquals(member.up.staleBeforeMs, 0);
  }
  return told;
}

Deno.test("no server that acknowledged a purge, or that was away, holds or gives what was purged", async () => {
  const sum: Told = { purges: 0, missed: 0, judged: 0 };
  for (let seed = 1; seed <= 24; seed++) {
    const told = await tell(seed);
    sum.purges += told.purges;
    sum.missed += told.missed;
    sum.judged += told.judged;
  }
  assert(sum.purges > 200 && sum.missed > 50 && sum.judged > 500, JSON.stringify(sum));
});
