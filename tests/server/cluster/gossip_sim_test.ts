/** Membership of many servers in virtual time. Periods are the world's own: nothing here depends on how fast it runs. */
import { assert, assertEquals } from "@std/assert";
import { suspicionMs, swimDefaults } from "../../../server/cluster/swim_settings.ts";
import { fakeKeys } from "../../sim/keys.ts";
import { type Member, World } from "./gossip_world.ts";

const { pingMs } = swimDefaults;

/** Deaths that were believed. */
function deaths(world: World, sinceMs = 0) {
  return world.beliefs.filter(({ state, atMs }) => state === "dead" && atMs >= sinceMs);
}

Deno.test("news of a death reaches all of 100 servers in O(log n) periods, and takes nobody else along", async () => {
  await using world = new World(11);
  const all = await world.grown(100);
  await world.run(20 * pingMs);
  const victim = all[40]!;
  const rest = all.filter((member) => member !== victim);
  const atMs = world.nowMs;
  victim.kill();
  const suspectedMs = await world.until("one suspects it", () => rest.some((one) => one.sees(victim.id) !== "alive"));
  const wordMs = await world.until("all heard of it", () => rest.every((one) => one.sees(victim.id) !== "alive"));
  const deadMs = await world.until(
    "all know that it is dead",
    () => rest.every((one) => one.sees(victim.id) === "dead"),
  );
  const log2 = Math.log2(100);
  assert(suspectedMs <= 10 * pingMs, `suspected after ${suspectedMs} ms`);
  assert(wordMs <= log2 * pingMs, `told to all in ${wordMs} ms`);
  assert(deadMs <= suspicionMs(100, swimDefaults) + log2 * pingMs, `dead everywhere after ${deadMs} ms`);
  assertEquals(new Set(deaths(world, atMs).map(({ of }) => of)), new Set([victim.id]));
  assertEquals(deaths(world, atMs).length, 99);
});

Deno.test("a server whom one other cannot reach is not suspected: helpers can", async () => {
  await using world = new World(2);
  const [a, b] = await world.grown(6) as [Member, Member];
  const begin = world.beliefs.length;
  world.isCut = (one, other) => [one, other].sort().join() === `${a.id},${b.id}`;
  await world.run(120 * pingMs);
  assertEquals(world.beliefs.slice(begin), []);
  assert(a.gossip.state(b.id).error.startsWith("it answers others, but not this server"), a.gossip.state(b.id).error);
  world.isCut = () => false;
  await world.until("the error is gone", () => a.gossip.state(b.id).error === "");
});

Deno.test("a false suspicion heals: the server refutes it with a higher incarnation", async () => {
  await using world = new World(3);
  const all = await world.grown(10);
  const [victim, ...rest] = all as [Member, ...Member[]];
  const before = victim.gossip.state(victim.id).incarnation;
  world.isCut = (a, b) => a === victim.id || b === victim.id;
  await world.until("somebody suspects it", () => rest.some((one) => one.sees(victim.id) === "suspect"));
  world.isCut = () => false;
  await world.until("all see it alive again", () => world.isWhole());
  assert(victim.gossip.state(victim.id).incarnation > before);
  await world.run(30 * pingMs);
  assertEquals(deaths(world), []);
});

Deno.test("a server that takes three seconds for each answer is not killed", async () => {
  await using world = new World(4);
  const all = await world.grown(12);
  all[5]!.slowMs = 3000;
  await world.run(180 * pingMs);
  assertEquals(deaths(world), []);
  assertEquals(world.isWhole(), true);
  // Once the round trips are measured it is not even suspected any more.
  const begin = world.beliefs.length;
  await world.run(120 * pingMs);
  assertEquals(world.beliefs.slice(begin), []);
});

Deno.test("two halves that were cut apart for ten minutes find each other again by themselves", async () => {
  await using world = new World(5);
  const all = await world.grown(20);
  const side = (id: string) => Number(id.slice(1)) % 2;
  world.isCut = (a, b) => side(a) !== side(b);
  await world.until(
    "each half is alone",
    () =>
      all.every((a) => all.every((b) => a === b || a.sees(b.id) === (side(a.id) === side(b.id) ? "alive" : "dead"))),
  );
  await world.run(600_000);
  const healMs = world.nowMs;
  world.isCut = () => false;
  await world.until("all see each other again", () => world.isWhole(), 300_000);
  // Nobody who lived on the same side is taken for dead by the news from the other one.
  assertEquals(deaths(world, healMs).filter(({ by, of }) => side(by) === side(of)), []);
});

Deno.test("a server that was cut off alone knows it, tells nobody that they are dead, and takes it back", async () => {
  await using world = new World(6);
  const all = await world.grown(15);
  const [lone, ...rest] = all as [Member, ...Member[]];
  world.isCut = (a, b) => a === lone.id || b === lone.id;
  await world.until("it knows", () => lone.gossip.state(lone.id).error.startsWith("nobody answers since"));
  await world.until(
    "each took the other for dead",
    () => rest.every((one) => one.sees(lone.id) === "dead" && lone.sees(one.id) === "dead"),
  );
  await world.run(60_000);
  const healMs = world.nowMs;
  world.isCut = () => false;
  await world.until("all see each other again", () => world.isWhole(), 300_000);
  assertEquals(lone.gossip.state(lone.id).error, "");
  assertEquals(deaths(world, healMs).filter(({ of }) => of !== lone.id), []);
});

Deno.test("two servers lose each other and find each other", async () => {
  await using world = new World(7);
  const [a, b] = await world.grown(2) as [Member, Member];
  world.isCut = () => true;
  await world.until("both are alone", () => a.sees(b.id) === "dead" && b.sees(a.id) === "dead");
  await world.run(1_000_000);
  world.isCut = () => false;
  await world.until("they are together", () => world.isWhole(), 300_000);
});

Deno.test("a server that starts again is alive by a higher incarnation, at a new address too", async () => {
  await using world = new World(8);
  const all = await world.grown(8);
  const old = all[3]!;
  const before = old.gossip.state(old.id).incarnation;
  old.kill();
  await world.until("it is dead", () => all.every((one) => one === old || one.sees(old.id) === "dead"));
  world.all.splice(world.all.indexOf(old), 1);
  const fresh = world.member(old.id, { ledger: old.ledger, host: "elsewhere" }).start();
  await world.until("all see it", () => world.isWhole());
  assert(fresh.gossip.state(fresh.id).incarnation > before);
  assertEquals(all[0]!.members.get(old.id)?.url, "http://elsewhere:4000");
  assertEquals(all[0]!.gossip.state(old.id).incarnation, fresh.gossip.state(fresh.id).incarnation);
  await old.gossip.ended();
});

Deno.test("a server that leaves is not taken for dead, and is back when it starts again", async () => {
  await using world = new World(9);
  const all = await world.grown(12);
  const gone = all[7]!;
  const rest = all.filter((one) => one !== gone);
  let left = false;
  gone.gossip.leave().then(() => left = true);
  await world.until("it has said so", () => left, 5000);
  gone.kill();
  await world.until("all know that it left", () => rest.every((one) => one.sees(gone.id) === "left"), 10 * pingMs);
  await world.run(60 * pingMs);
  assertEquals(deaths(world), []);
  await gone.gossip.ended();
  gone.start();
  await world.until("it is back everywhere", () => world.isWhole());
});

Deno.test("leaving takes two timeouts at most where nobody answers", async () => {
  await using world = new World(10);
  const all = await world.grown(3);
  world.isCut = () => true;
  let left = false;
  all[0]!.gossip.leave().then(() => left = true);
  await world.run(2 * swimDefaults.pingTimeoutMs);
  assertEquals(left, true);
});

Deno.test("a server joins through any one member, and all hear of it", async () => {
  await using world = new World(12);
  const all = await world.grown(30);
  await world.run(100 * pingMs);
  const late = world.member("late").start([all[17]!.url]);
  const ms = await world.until("all see it and it sees all", () => world.isWhole());
  assert(ms <= 10 * pingMs, `it took ${ms} ms`);
  assertEquals(late.members.others().length, 30);
});

Deno.test("the address of the config may be that of a server that is not there yet", async () => {
  await using world = new World(13);
  const b = world.member("b");
  const a = world.member("a").start([b.url]);
  await world.run(20 * pingMs);
  assertEquals(a.members.others(), []);
  b.start();
  await world.until("they are together", () => world.isWhole());
});

Deno.test("clocks that go an hour wrong, and are set right, kill nobody", async () => {
  await using world = new World(14);
  const all = await world.grown(10);
  all[4]!.skewMs = 3_600_000;
  all[5]!.skewMs = -3_600_000;
  await world.run(60 * pingMs);
  all[4]!.skewMs = all[5]!.skewMs = 0;
  all[6]!.skewMs = 3_600_000;
  await world.run(60 * pingMs);
  assertEquals(world.beliefs.filter(({ state }) => state !== "alive"), []);
  const victim = all[9]!;
  victim.kill();
  await world.until(
    "all find out who is dead all the same",
    () => all.every((one) => one === victim || one.sees(victim.id) === "dead"),
    30 * pingMs,
  );
});

Deno.test("one message in twenty is lost, for ten minutes, among 50 servers: nobody is taken for dead", async () => {
  await using world = new World(15);
  await world.grown(50);
  world.link = () => ({ delayMs: 10 + world.random() * 90, loss: 0.05 });
  await world.run(600_000);
  assertEquals(deaths(world), []);
});

Deno.test("a removed server is not pinged, is turned away, and is back when an admin adds it", async () => {
  await using world = new World(16);
  const [a, b, c] = await world.grown(3) as [Member, Member, Member];
  assertEquals(a.members.remove(c.id), true);
  await world.until("b took it off too", () => b.members.isRemoved(c.id));
  let pings = 0;
  world.onSent = ({ from, to, question }) => question && to === c.id && from !== c.id && pings++;
  await world.run(60 * pingMs);
  assertEquals(pings, 0);
  assertEquals([a.sees(c.id), b.sees(c.id)], ["unknown", "unknown"]);
  assert(c.gossip.state(a.id).error.includes("taken off the list"), c.gossip.state(a.id).error);
  assertEquals([a.sees(b.id), b.sees(a.id)], ["alive", "alive"]);
  let added: string | null = "not yet";
  b.gossip.exchange(c.url).then((record) => added = b.members.add(record, c.url));
  await world.until("it is added", () => added === null);
  await world.until("all see it", () => world.isWhole());
});

Deno.test("two servers with one id: neither gets the other's place, and both say so", async () => {
  await using world = new World(17);
  const [a, b] = await world.grown(2) as [Member, Member];
  const twin = world.member(a.id, { host: "twin", keys: fakeKeys("twin") }).start([a.url, b.url]);
  await world.run(30 * pingMs);
  assertEquals(b.members.get(a.id)?.url, a.url);
  assertEquals([a.sees(b.id), b.sees(a.id)], ["alive", "alive"]);
  assertEquals(twin.members.others(), []);
  assert(a.warnings.some((line) => line.includes("two servers have the same id")));
  assert(twin.warnings.some((line) => line.includes("two servers have the same id")));
  assert(b.marks.some((mark) => mark.includes("another key than before")), b.marks.join());
});

Deno.test("another server at a server's address is no answer", async () => {
  await using world = new World(18);
  const [a, b, c] = await world.grown(3) as [Member, Member, Member];
  b.kill();
  await b.gossip.ended();
  // c answers at b's address now.
  const impostor = new Proxy(c, { get: (of, name) => name === "url" ? b.url : Reflect.get(of, name, of) });
  world.all.splice(world.all.indexOf(b), 1, impostor);
  await world.until("b is dead", () => a.sees(b.id) === "dead");
  assert(a.gossip.state(b.id).error.includes(`is ${c.id}, not ${b.id}`), a.gossip.state(b.id).error);
  assertEquals([a.sees(c.id), c.sees(a.id)], ["alive", "alive"]);
  world.all.splice(world.all.indexOf(impostor), 1);
});

Deno.test("the same seed gives the same run", async () => {
  const run = async () => {
    await using world = new World(19);
    const all = await world.grown(9);
    all[4]!.kill();
    await world.run(60 * pingMs);
    return JSON.stringify(world.beliefs);
  };
  const [first, second] = [await run(), await run()];
  assertEquals(first, second);
});
