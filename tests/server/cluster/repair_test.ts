import { assert, assertEquals } from "@std/assert";
import { CdnError } from "../../../proto/mod.ts";
import {
  DAY,
  HOUR,
  live,
  Net,
  openSite,
  type Site,
  type SiteOptions,
  stampOf,
  START,
  tombstone,
  VirtualTime,
} from "./catalog_kit.ts";

/** Servers that ping each other every second, as gossip would. */
class World {
  readonly time = new VirtualTime();
  readonly net = new Net();
  readonly sites = new Map<string, Site>();
  /** Those that are off, or out of reach. */
  readonly off = new Set<string>();

  async start(id: string, options: Partial<SiteOptions> = {}): Promise<Site> {
    const site = await openSite({ net: this.net, id, time: this.time, ...options });
    this.sites.set(id, site);
    site.repair.start();
    return site;
  }

  /** Starts it anew on the same disk. */
  async restart(id: string): Promise<Site> {
    const { store, ledger } = this.sites.get(id)!;
    await this.stop(id);
    return await this.start(id, { store, ledger, hasMembers: true });
  }

  async stop(id: string): Promise<void> {
    const site = this.sites.get(id)!;
    this.sites.delete(id);
    const closed = site.close();
    await this.time.pass(0);
    await closed;
  }

  /** Lets time pass, with pings. */
  async pass(ms: number, pingMs = 1000): Promise<void> {
    for (const endMs = this.time.nowMs + ms; this.time.nowMs < endMs;) {
      const here = [...this.sites.values()].filter(({ id }) => !this.off.has(id));
      for (const site of this.sites.values()) site.peers.clear();
      for (const site of here) {
        for (const other of here) {
          if (site === other) continue;
          site.peers.set(other.id, other);
          site.repair.peerContent(other.id, other.catalog.summary());
        }
      }
      await this.time.pass(Math.min(pingMs, endMs - this.time.nowMs));
    }
  }

  async learn(id: string, manifests: Parameters<Site["learn"]>[0]): Promise<void> {
    const learning = this.sites.get(id)!.learn(manifests);
    await this.time.pass(0);
    await learning;
  }

  async close(): Promise<void> {
    for (const id of [...this.sites.keys()]) await this.stop(id);
  }
}

const paths = async (site: Site) => (await site.all()).map(({ manifest }) => manifest.path).sort();
const objects = (count: number, wallMs = START) =>
  Array.from({ length: count }, (_, n) => live(`/${n}`, stampOf(wallMs)));

Deno.test("a new server is filled at once; later a difference must last before it is looked at", async () => {
  const world = new World();
  await world.start("a");
  await world.learn("a", objects(3000));
  const b = await world.start("b");
  assertEquals(b.catalog.tree.node("").count, 0);
  await world.pass(1000);
  assertEquals((await paths(b)).length, 3000);
  assertEquals(b.catalog.tree.node("").count, 3000);
  await world.pass(2000); // both have heard that they are the same

  const before = world.net.traffic.messages;
  await world.learn("a", [live("/x", stampOf(START + 1))]);
  await world.pass(2000);
  await world.learn("b", [live("/x", stampOf(START + 1))]); // it was just under way
  await world.pass(60_000);
  assertEquals(world.net.traffic.messages, before);

  await world.learn("a", [live("/y", stampOf(START + 1))]);
  await world.learn("b", [live("/z", stampOf(START + 1))]);
  await world.pass(2900);
  assertEquals(world.net.traffic.messages, before);
  await world.pass(200);
  assertEquals(await paths(b), await paths(world.sites.get("a")!));
  assert((await paths(b)).includes("/y") && (await paths(b)).includes("/z"));
  await world.close();
});

Deno.test("who cannot be compared with is left alone longer and longer, and then it works", async () => {
  const world = new World();
  const a = await world.start("a", { settings: { repairBackoff: { leastMs: 10_000, mostMs: 40_000 } } });
  await world.start("b", { settings: { repairAfterMs: 1e12 } });
  world.sites.get("b")!.repair.peerContent("nobody", a.catalog.summary()); // the same: it need not hurry
  await world.learn("b", objects(1));
  const tries: number[] = [];
  world.net.meddle = () => {
    tries.push((world.time.nowMs - START) / 1000);
    throw new CdnError("broken", { source: "peer", retry: true });
  };
  await world.pass(60_000);
  // Half of 10, 20, 40 and 40 s, as chance is here.
  assertEquals(tries.map((at) => Math.round(at)), [0, 5, 15, 35, 55]);
  world.net.meddle = (_name, _question, answer) => answer();
  await world.pass(30_000);
  assertEquals(await paths(a), ["/0"]);
  await world.close();
});

Deno.test("a comparison that came to nothing is not done again until something changed", async () => {
  const world = new World();
  const check = ({ path }: { path: string }) => path === "/forged" ? "its signature is wrong" : null;
  const a = await world.start("a", { check });
  const b = await world.start("b", { settings: { repairAfterMs: 1e12 } });
  b.repair.peerContent("nobody", a.catalog.summary());
  await world.learn("b", [live("/forged", stampOf(START))]);
  await world.pass(10_000);
  const { messages } = world.net.traffic;
  assert(messages > 0);
  await world.pass(100_000);
  assertEquals(world.net.traffic.messages, messages);
  await world.learn("b", [live("/right", stampOf(START))]);
  await world.pass(10_000);
  assertEquals(await paths(a), ["/right"]);
  await world.close();
});

Deno.test("one comparison at a time; its end is awaited", async () => {
  const world = new World();
  const a = await world.start("a");
  for (const id of ["b", "c", "d"]) await world.start(id, { settings: { repairAfterMs: 1e12 } });
  for (const id of ["b", "c", "d"]) world.sites.get(id)!.repair.peerContent("nobody", a.catalog.summary());
  for (const [n, id] of ["b", "c", "d"].entries()) await world.learn(id, [live(`/${n}`, stampOf(START))]);
  let under = 0;
  let most = 0;
  world.net.meddle = async (_name, _question, answer) => {
    most = Math.max(most, ++under);
    await new Promise<void>((resolve) => world.time.schedule(resolve, 300));
    under--;
    return await answer();
  };
  await world.pass(30_000);
  assertEquals([await paths(a), most], [["/0", "/1", "/2"], 1]);
  await world.close();
  assertEquals(under, 0);
});

/** Three servers that have known the same for long; then time passes, in leaps. */
async function agreed(manifests = objects(50)): Promise<World> {
  const world = new World();
  for (const id of ["a", "b", "c"]) await world.start(id);
  await world.learn("a", manifests);
  await world.pass(25 * 60_000, 10_000); // the grace of a new cluster, twice
  for (const site of world.sites.values()) {
    assertEquals([(await paths(site)).length, site.staleness.told], [manifests.length, false]);
  }
  return world;
}

/** Days pass, in which those who are on and in reach meet. */
async function passDays(world: World, days: number): Promise<void> {
  for (let half = 0; half < 2 * days; half++) {
    world.time.leap(DAY / 2);
    await world.pass(2_000);
  }
}

async function expireAll(world: World): Promise<void> {
  for (const { catalog } of world.sites.values()) while ((await catalog.expire(world.time.nowMs)).more);
}

Deno.test("what was deleted does not come back with a server that was away for longer than tombstones live", async () => {
  const world = await agreed();
  const { store, ledger } = world.sites.get("c")!;
  await world.stop("c");
  await world.learn("a", [tombstone("/7", stampOf(world.time.nowMs)), live("/new", stampOf(world.time.nowMs))]);
  await passDays(world, 31);
  await expireAll(world);
  assertEquals(await world.sites.get("b")!.catalog.get("/7"), null);
  const c = await world.start("c", { store, ledger, hasMembers: true });
  assert(c.staleness.stale && c.catalog.summary().stale);
  await world.learn("c", [live("/lately", stampOf(world.time.nowMs, "c"))]);
  await world.pass(60_000);
  assertEquals([c.staleness.stale, c.staleness.told], [false, false]);
  assertEquals(c.aside.map(({ path }) => path), ["/7"]);
  for (const site of world.sites.values()) {
    assertEquals(await site.catalog.get("/7"), null);
    assert(await site.catalog.get("/new") && await site.catalog.get("/lately"));
    assertEquals((await paths(site)).length, 51);
  }
  await world.close();
});

Deno.test("the same where it was not off, but out of reach", async () => {
  const world = await agreed();
  world.off.add("c");
  await world.learn("a", [tombstone("/7", stampOf(world.time.nowMs))]);
  await passDays(world, 31);
  world.off.clear();
  await world.pass(60_000);
  await expireAll(world);
  assertEquals(world.sites.get("c")!.aside.map(({ path }) => path), ["/7"]);
  for (const site of world.sites.values()) assertEquals((await paths(site)).length, 49);
  await world.close();
});

Deno.test("a cluster that was off as a whole for that long loses nothing", async () => {
  const world = await agreed();
  // Each has something of its own that the others do not know.
  const ids = ["a", "b", "c"];
  world.off.add("a").add("b").add("c");
  for (const id of ids) await world.learn(id, [live(`/only-${id}`, stampOf(world.time.nowMs, id))]);
  const disks = ids.map((id) => world.sites.get(id)!);
  for (const id of ids) await world.stop(id);
  world.time.leap(40 * DAY);
  world.off.clear();
  for (const { id, store, ledger } of disks) {
    await world.start(id, { store, ledger, hasMembers: true });
    await world.pass(90_000, 5_000); // one after the other
  }
  await world.restart("b"); // in its grace
  await world.pass(30 * 60_000, 10_000);
  for (const site of world.sites.values()) {
    assertEquals([site.aside, site.staleness.told, (await paths(site)).length], [[], false, 53]);
  }
  await world.close();
});

Deno.test("a new, empty server is no judge of one that was away", async () => {
  const world = await agreed();
  for (const id of ["b", "c"]) await world.stop(id); // for ever
  world.time.leap(40 * DAY);
  await world.restart("a");
  assert(world.sites.get("a")!.staleness.stale);
  await world.start("d");
  await world.pass(30 * 60_000, 10_000);
  for (const site of world.sites.values()) {
    assertEquals([site.aside, site.staleness.told, (await paths(site)).length], [[], false, 50]);
  }
  await world.close();
});

Deno.test("tombstones past their time are forgotten everywhere, and no server gives them back", async () => {
  const world = await agreed();
  await world.learn("a", [
    tombstone("/7", stampOf(world.time.nowMs)),
    tombstone("/8", stampOf(world.time.nowMs + DAY)),
  ]);
  await world.pass(10_000);
  await passDays(world, 30);
  world.time.leap(2 * HOUR);
  await world.pass(5000);
  for (const site of world.sites.values()) {
    assertEquals(await site.catalog.get("/7"), null);
    assertEquals((await site.catalog.get("/8"))?.deleted, true);
  }
  await world.learn("b", [tombstone("/never-heard-of", stampOf(START - 40 * DAY))]);
  assertEquals(await world.sites.get("b")!.catalog.get("/never-heard-of"), null);
  await world.close();
});
