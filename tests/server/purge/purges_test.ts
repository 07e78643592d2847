import { assert, assertEquals, assertGreater, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { create } from "@bufbuild/protobuf";
import { CdnError, wire } from "../../../proto/mod.ts";
import { type Member, PurgeWorld } from "./purge_world.ts";

/** A world with these edges, which know what there is to know. */
async function worldOf(...ids: string[]): Promise<{ world: PurgeWorld; edges: Member[] } & AsyncDisposable> {
  const world = new PurgeWorld();
  const edges: Member[] = [];
  for (const id of ids) edges.push(await world.add(id));
  await trusted(world, ...edges);
  return { world, edges, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() };
}

/** Runs until these serve, and trust what they hold. */
async function trusted(world: PurgeWorld, ...members: Member[]): Promise<void> {
  const areTrusted = () => members.every(({ up }) => up.waiting === null && up.staleBeforeMs === 0);
  assert(await world.world.run(120_000, areTrusted), "they never came to trust what they hold");
}

function keysOf(member: Member): string[] {
  return [...member.cache.stored.keys()];
}

const outcome = ({ id, acknowledged, removed, state }: wire.PurgeOutcome) => [id, acknowledged, Number(removed), state];

Deno.test("a purge is done on every server when it resolves, with what went and how long it took", async () => {
  await using cluster = await worldOf("a", "b", "c");
  const { world, edges } = cluster;
  const origin = await world.add("o", "origin");
  await trusted(world, origin);
  for (const { cache } of edges) {
    for (
      const [key, tags] of [["/a", ["red"]], ["/a?x", []], ["/b/1", ["blue"]], ["/b/2", []], ["/c", ["red"]]] as const
    ) {
      cache.put(key, "old", tags);
    }
  }
  const report = await world.purge(edges[1]!, {
    urls: ["http://cdn.example/a?x#top"],
    prefixes: ["/b/"],
    tags: ["red"],
  });
  assertEquals(report.members.map(outcome), [["b", true, 5, "self"], ["a", true, 5, "alive"], ["c", true, 5, "alive"], [
    "o",
    true,
    0,
    "alive",
  ]]);
  assertEquals(edges.flatMap(keysOf), []);
  for (const member of report.members) assert(member.tookMs >= 0 && member.tookMs <= report.tookMs, member.id);
  // Any member may be asked, also one that has no cache.
  for (const { cache } of edges) cache.put("/a", "old");
  const byOrigin = await world.purge(origin, { urls: ["/a"], soft: true });
  assertEquals(byOrigin.members.map(outcome)[0], ["o", true, 0, "self"]);
  assertEquals(byOrigin.members.map(({ removed }) => Number(removed)), [0, 1, 1, 1]);
  for (const { cache } of edges) {
    assertEquals(cache.purges.at(-1), { selection: { keys: ["/a"], prefixes: [], tags: [] }, soft: true });
  }
});

Deno.test("an acknowledgement that was lost is asked for again, and the purge done once", async () => {
  await using cluster = await worldOf("a", "b");
  const { world, edges: [a, b] } = cluster;
  b!.cache.put("/x", "old");
  world.cuts.add("b a");
  world.world.after(3000, () => world.cuts.clear());
  const report = await world.purge(a!, { urls: ["/x"] });
  assertEquals(report.members.map(outcome), [["a", true, 0, "self"], ["b", true, 1, "alive"]]);
  assertEquals(b!.cache.purges.length, 2, "the first was that of a new log");
  assertGreater(b!.calls.filter((name) => name === "purge").length, 1);
});

Deno.test("a server that is dead is tried once; when it starts it purges before it serves", async () => {
  await using cluster = await worldOf("a", "b", "c");
  const { world, edges: [a, b, c] } = cluster;
  await world.run("stop", c!.stop());
  c!.state = "dead";
  c!.cache.put("/x", "old");
  c!.cache.put("/y", "kept");
  const report = await world.purge(a!, { urls: ["/x"] });
  assertEquals(report.members.map(outcome), [["a", true, 0, "self"], ["b", true, 0, "alive"], ["c", false, 0, "dead"]]);
  assertStringIncludes(report.members[2]!.error, "refuses connections");
  // The one that was asked goes; any other can tell.
  await world.run("stop", a!.stop());
  a!.state = "dead";
  await c!.start();
  assert(c!.up.waiting !== null, "it does not serve yet");
  await world.run("the gate", c!.up.waiting!);
  assertEquals(keysOf(c!), ["/y"]);
  assertEquals(c!.up.staleBeforeMs, 0);
  assert(b!.up.waiting === null);
});

Deno.test("a server that was cut off from all purges, once it hears somebody, before it serves", async () => {
  await using cluster = await worldOf("a", "b", "c");
  const { world, edges: [a, , c] } = cluster;
  const isolated = world.isolate(c!);
  c!.cache.put("/x", "old");
  const report = await world.purge(a!, { prefixes: ["/"] });
  assertEquals(report.members.map(({ acknowledged }) => acknowledged), [true, true, false]);
  assertEquals([c!.up.waiting, keysOf(c!)], [null, ["/x"]], "while it is cut off it serves what it has");
  isolated.hears();
  assert(c!.up.waiting !== null);
  await world.run("the gate", c!.up.waiting!);
  assertEquals([keysOf(c!), c!.up.staleBeforeMs], [[], 0]);
});

Deno.test("where nobody tells, a server serves again after a while, and trusts nothing from before until somebody does", async () => {
  await using cluster = await worldOf("a", "b");
  const { world, edges: [a, b] } = cluster;
  await world.run("stop", b!.stop());
  b!.cache.put("/x", "old");
  await world.purge(a!, { urls: ["/x"] });
  const isolated = world.isolate(b!);
  await b!.start();
  const before = world.now();
  await world.run("the gate", b!.up.waiting!);
  assertEquals(b!.up.staleBeforeMs, before + 5000);
  assertEquals(keysOf(b!), ["/x"]);
  isolated.hears();
  await trusted(world, b!);
  assertEquals(keysOf(b!), []);
});

Deno.test("a server whose config names others waits for them, though its list is empty", async () => {
  await using world = new PurgeWorld();
  const alone = await world.add("a");
  await trusted(world, alone);
  await world.run("stop", alone.stop());
  await alone.start({ expectsOthers: true });
  const before = world.now();
  await world.run("the gate", alone.up.waiting!);
  assertEquals(alone.up.staleBeforeMs, before + 5000);
});

Deno.test("servers that all start at once tell each other, and trust what they hold", async () => {
  await using cluster = await worldOf("a", "b", "c");
  const { world, edges } = cluster;
  await world.run("stop", edges[2]!.stop());
  edges[2]!.cache.put("/x", "old");
  await world.purge(edges[0]!, { urls: ["/x"] });
  for (const edge of edges) if (edge.purges) await world.run("stop", edge.stop());
  for (const edge of edges) await edge.start();
  await trusted(world, ...edges);
  assertEquals(keysOf(edges[2]!), []);
});

Deno.test("a server that was away for longer than purges are kept empties its cache", async () => {
  await using cluster = await worldOf("a", "b");
  const { world, edges: [a, b] } = cluster;
  await world.purge(a!, { urls: ["/1"] });
  await world.run("stop", b!.stop());
  for (const key of ["/x", "/y"]) b!.cache.put(key, "old");
  b!.state = "dead";
  await world.purge(a!, { urls: ["/x"] });
  await world.world.run(31 * 24 * 3_600_000);
  await world.purge(a!, { urls: ["/2"] }); // what is older is forgotten by now
  await b!.start();
  await world.run("the gate", b!.up.waiting!);
  assertEquals([keysOf(b!), b!.up.staleBeforeMs], [[], 0]);
});

Deno.test("a server that never was away keeps its cache, however much was forgotten since", async () => {
  await using world = new PurgeWorld(() => 0.5, { mostPurges: 3 });
  const [a, b] = [await world.add("a"), await world.add("b")];
  await trusted(world, a, b);
  a.cache.put("/kept", "new");
  b.cache.put("/kept", "new");
  for (let at = 0; at < 20; at++) {
    await world.purge(at % 2 ? a : b, { urls: [`/${at}`] });
    await world.world.run(5 * 60_000);
  }
  assertEquals([keysOf(a), keysOf(b)], [["/kept"], ["/kept"]]);
});

Deno.test("a server whose log was lost empties its cache: what it purged last may be in it still", async () => {
  await using cluster = await worldOf("a", "b");
  const { world, edges: [a, b] } = cluster;
  await world.purge(b!, { urls: ["/1"] });
  await world.run("stop", a!.stop());
  a!.cache.put("/x", "old");
  await Deno.remove(join(world.folder, "a.sqlite"));
  await a!.start();
  await world.run("the gate", a!.up.waiting!);
  assertEquals([keysOf(a!), a!.up.staleBeforeMs], [[], 0]);
  b!.cache.put("/y", "old");
  await world.purge(a!, { urls: ["/y"] });
  assertEquals(keysOf(b!), []);
});

Deno.test("a cache that cannot be purged is not acknowledged, and not trusted until it could", async () => {
  await using cluster = await worldOf("a", "b");
  const { world, edges: [a, b] } = cluster;
  b!.cache.put("/x", "old");
  b!.cache.broken = true;
  const report = await world.purge(a!, { urls: ["/x"] });
  assertEquals(report.members.map(outcome), [["a", true, 0, "self"], ["b", false, 0, "alive"]]);
  assertStringIncludes(report.members[1]!.error, "the disk is on fire");
  assertGreater(b!.up.staleBeforeMs, 0);
  b!.cache.broken = false;
  await trusted(world, b!);
  assertEquals(keysOf(b!), []);
});

Deno.test("a process that ends between writing a purge down and doing it does it at its start", async () => {
  await using cluster = await worldOf("a");
  const { world, edges: [a] } = cluster;
  a!.cache.put("/x", "old");
  a!.cache.broken = true;
  const [own] = (await world.purge(a!, { urls: ["/x"] })).members;
  assertEquals([own!.acknowledged, keysOf(a!)], [false, ["/x"]]);
  await world.run("stop", a!.stop());
  a!.cache.broken = false;
  await a!.start();
  await trusted(world, a!);
  assertEquals(keysOf(a!), []);
});

Deno.test("a purge that one server could not bring arrives by another, without anybody's doing", async () => {
  await using cluster = await worldOf("a", "b", "c");
  const { world, edges: [a, , c] } = cluster;
  world.cut(a!, c!);
  c!.cache.put("/x", "old");
  const report = await world.purge(a!, { urls: ["/x"] });
  assertEquals(report.members.map(({ acknowledged }) => acknowledged), [true, true, false]);
  assert(await world.world.run(600_000, () => c!.cache.stored.size === 0));
});

Deno.test("two that could not talk tell each other all once they meet, whoever notices", async () => {
  for (const notices of [0, 1]) {
    await using cluster = await worldOf("a", "b");
    const { world, edges: [a, b] } = cluster;
    world.cut(a!, b!);
    a!.cache.put("/by-b", "old");
    b!.cache.put("/by-a", "old");
    await world.purge(a!, { urls: ["/by-a"] });
    await world.purge(b!, { urls: ["/by-b"] });
    world.heal(a!, b!);
    const [one, other] = notices ? [a!, b!] : [b!, a!];
    one.up.met(other.id);
    assert(await world.world.run(1000, () => a!.cache.stored.size + b!.cache.stored.size === 0));
  }
});

Deno.test("a sibling that knows purges which we do not gets nothing from us until we know them", async () => {
  await using cluster = await worldOf("a", "b", "c");
  const { world, edges: [a, b, c] } = cluster;
  assertEquals(b!.up.waitingFor(a!.up.stamp()), null);
  assertEquals(b!.up.waitingFor(null), null);
  for (const forged of ["", "a", "nobody", "b;log=x;head=9", "a;log=;head=1", "a;log=x;head=-1"]) {
    assertEquals(b!.up.waitingFor(forged), null, forged);
  }
  // a has it, b not yet: the way from c to b is cut.
  world.cut(c!, b!);
  b!.cache.put("/x", "old");
  await world.purge(c!, { urls: ["/x"] });
  assertEquals(keysOf(b!), ["/x"]);
  const waiting = b!.up.waitingFor(a!.up.stamp());
  assert(waiting !== null);
  await world.run("b asks a", waiting);
  assertEquals(keysOf(b!), []);
  assertEquals(b!.up.waitingFor(a!.up.stamp()), null);
  // What cannot be learnt is refused.
  await world.purge(c!, { urls: ["/y"] });
  world.cut(a!, b!);
  const error = await assertRejects(() => world.run("b asks a", b!.up.waitingFor(a!.up.stamp())!), CdnError);
  assertEquals([error.status, error.retry], [503, true]);
  const stranger = "stranger;log=x;head=1";
  await assertRejects(() => world.run("b asks a stranger", b!.up.waitingFor(stranger)!), CdnError, "stranger");
});

Deno.test("what was asked for before a purge is known as such, from before the cache is at it", async () => {
  await using cluster = await worldOf("a");
  const { world, edges: [a] } = cluster;
  const { up, cache: { recent } } = a!;
  const before = recent.mark;
  assertEquals(recent.since(before, "/x", null), null);
  const purging = up.purge(create(wire.PurgeRequestSchema, { urls: ["/x"], prefixes: ["/p/"], tags: ["t"] }));
  const table: [string, readonly string[] | null, boolean][] = [
    ["/x", [], true],
    ["/x?y", [], false],
    ["/p/q", [], true],
    ["/p", [], false],
    ["/z", ["s", "t"], true],
    ["/z", ["s"], false],
    ["/z", null, true],
  ];
  for (const [key, tags, meant] of table) {
    assertEquals(recent.since(before, key, tags), meant ? "hard" : null, key);
    assertEquals(recent.since(recent.mark, key, tags), null, key);
  }
  await world.run("purging", purging);
});

Deno.test("before it is started and after it is closed nothing is purged, and nobody waits for ever", async () => {
  await using world = new PurgeWorld();
  const a = await world.add("a");
  const { up } = a;
  const waiting = up.waiting;
  await world.run("stop", a.stop());
  await waiting;
  await assertRejects(() => up.purge(create(wire.PurgeRequestSchema, { urls: ["/x"] })), CdnError, "closing");
});
