/** The door of gossip: who may say what, and what is refused. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { clone, create } from "@bufbuild/protobuf";
import { CdnError, codecOf, wire } from "../../../proto/mod.ts";
import { recordBytes } from "../../../proto/record_signature.ts";
import { wordToWire } from "../../../server/cluster/swim.ts";
import { swimDefaults } from "../../../server/cluster/swim_settings.ts";
import { byTimer } from "../../../server/cluster/wake.ts";
import { fakeKeys } from "../../sim/keys.ts";
import { type Member, World } from "./gossip_world.ts";
import { until } from "./node.ts";

const { pingMs } = swimDefaults;

async function three(seed: number) {
  const world = new World(seed);
  const [a, b, c] = await world.grown(3) as [Member, Member, Member];
  return { world, a, b, c };
}

function ping(from: string, target: string, more: Partial<wire.Ping> = {}): wire.Ping {
  return create(wire.PingSchema, { from, target, ...more } as Partial<wire.Ping> & { $typeName: never });
}

function news(id: string, state: "alive" | "suspect" | "dead" | "left", incarnation: number): wire.Liveness {
  return create(wire.LivenessSchema, wordToWire({ id, state, incarnation }));
}

/** The status with which it is refused. */
async function refused(answer: () => Promise<unknown>, words: string): Promise<number> {
  return (await assertRejects(answer, CdnError, words)).status;
}

Deno.test("a ping is answered with who answers, its own word and its content", async () => {
  const { world, a, b } = await three(1);
  await using _ = world;
  const pong = await a.gossip.answerPing(ping(b.id, a.id), b.id);
  assertEquals([pong.from, pong.reached, pong.content?.objects], [a.id, true, 1000n]);
  assertEquals(pong.news[0], news(a.id, "alive", 1));
});

Deno.test("nobody speaks for another; without proof the message's own word counts", async () => {
  const { world, a, b, c } = await three(2);
  await using _ = world;
  assertEquals(await refused(() => a.gossip.answerPing(ping(b.id, a.id), c.id), "cannot speak for"), 403);
  const list = create(wire.ServerListSchema, { servers: b.members.records() });
  assertEquals(assertThrows(() => a.gossip.answerServers(list, c.id), CdnError, "cannot speak for").status, 403);
  assertEquals(a.gossip.answerServers(list, b.id).servers[0]!.id, a.id);
  assertEquals((await a.gossip.answerPing(ping(b.id, a.id), null)).reached, true);
});

Deno.test("whoever has our own id is refused, and so is a removed server", async () => {
  const { world, a, b } = await three(3);
  await using _ = world;
  assertEquals(await refused(() => a.gossip.answerPing(ping(a.id, a.id), a.id), "same id"), 409);
  a.members.remove(b.id);
  assertEquals(await refused(() => a.gossip.answerPing(ping(b.id, a.id), b.id), "taken off the list"), 403);
  const list = create(wire.ServerListSchema, { servers: b.members.records() });
  assertEquals(assertThrows(() => a.gossip.answerServers(list, b.id), CdnError, "taken off").status, 403);
});

Deno.test("who is not on the list is answered, and not believed", async () => {
  const { world, a, b } = await three(4);
  await using _ = world;
  const pong = await a.gossip.answerPing(
    ping("stranger", a.id, { news: [news(b.id, "dead", 1), news("stranger", "alive", 1)] }),
    "stranger",
  );
  assertEquals([pong.from, a.sees(b.id), a.sees("stranger")], [a.id, "alive", "unknown"]);
  let asked = 0;
  world.onSent = ({ to, question }) => question && to === b.id && asked++;
  assertEquals((await a.gossip.answerPing(ping("stranger", b.id), "stranger")).reached, false);
  assertEquals(asked, 0);
});

Deno.test("a server is pinged in the stead of others: once for all who ask at the same time", async () => {
  const { world, a, b, c } = await three(5);
  await using _ = world;
  await world.run(20 * pingMs);
  let asked = 0;
  world.onSent = ({ from, to, name, question, message }) => {
    if (question && from === a.id && to === c.id && name === "ping" && "target" in message) asked++;
  };
  const answers = [1, 2, 3].map(() => a.gossip.answerPing(ping(b.id, c.id), b.id));
  assertEquals(asked, 1);
  await world.run(200);
  assertEquals((await Promise.all(answers)).map(({ reached }) => reached), [true, true, true]);
  c.kill();
  const late = a.gossip.answerPing(ping(b.id, c.id), b.id);
  await world.run(200);
  assertEquals((await late).reached, false);
  assertEquals((await a.gossip.answerPing(ping(b.id, "nobody"), b.id)).reached, false);
});

Deno.test("whoever is told that it is suspected says so at once, with a higher incarnation", async () => {
  const { world, a, b } = await three(6);
  await using _ = world;
  const pong = await a.gossip.answerPing(ping(b.id, a.id, { news: [news(a.id, "dead", 1)] }), b.id);
  assertEquals(pong.news[0], news(a.id, "alive", 2));
  assertEquals(a.ledger.fact("incarnation"), "2");
});

Deno.test("whoever is believed dead hears it in the answer", async () => {
  const { world, a, b } = await three(7);
  await using _ = world;
  await world.run(60 * pingMs);
  b.kill();
  await world.until("it is dead", () => a.sees(b.id) === "dead");
  const pong = await a.gossip.answerPing(ping(b.id, a.id), b.id);
  assertEquals(pong.news.filter(({ id }) => id === b.id), [news(b.id, "dead", 1)]);
});

Deno.test("lies about incarnations and states nobody knows are passed over", async () => {
  const { world, a, b, c } = await three(8);
  await using _ = world;
  const lies = [
    create(wire.LivenessSchema, { id: c.id, state: 3, incarnation: 2n ** 64n - 1n }),
    create(wire.LivenessSchema, { id: c.id, state: 3, incarnation: 2n ** 52n }),
    create(wire.LivenessSchema, { id: c.id, state: 17 as wire.Liveness_State, incarnation: 2n }),
    create(wire.LivenessSchema, { id: a.id, state: 3, incarnation: 2n ** 52n }),
  ];
  await a.gossip.answerPing(ping(b.id, a.id, { news: lies }), b.id);
  assertEquals([a.sees(c.id), a.gossip.state(a.id).incarnation], ["alive", 1]);
});

Deno.test("a list of a million records is refused unread", async () => {
  const { world, a, b } = await three(9);
  await using _ = world;
  const servers = Array.from<wire.Server>({ length: 1_000_000 }).fill(b.members.self);
  const error = assertThrows(() => a.gossip.answerServers(create(wire.ServerListSchema, { servers }), b.id), CdnError);
  assertEquals(error.status, 400);
  const liveness = Array.from<wire.Liveness>({ length: 1001 }).fill(news(b.id, "alive", 1));
  assertThrows(() =>
    a.gossip.answerServers(create(wire.ServerListSchema, { servers: [b.members.self], liveness }), b.id)
  );
});

Deno.test("a speaker whose own record is forged or unsafe is turned away and marked", async () => {
  const { world, a } = await three(10);
  await using _ = world;
  const eve = world.member("eve").start();
  const tell = (change: Partial<wire.Server>, sign = true) => {
    const record = Object.assign(clone(wire.ServerSchema, eve.members.self), change);
    if (sign) record.signature = fakeKeys("eve").sign(recordBytes(record));
    return assertThrows(
      () => a.gossip.answerServers(create(wire.ServerListSchema, { servers: [record] }), "eve"),
      CdnError,
    );
  };
  const forged = tell({ region: "eu-west-1" }, false);
  assertEquals(forged.status, 403);
  assert(forged.message.includes("is not signed with its key"), forged.message);
  assert(tell({ url: "http://127.0.0.1:80" }).message.includes("loopback"));
  assert(tell({ url: "http://169.254.169.254" }).message.includes("metadata"));
  assert(tell({ url: a.url }).message.includes("this server's own"));
  assertEquals([a.members.get("eve"), a.marks.length], [null, 4]);
  assert(a.marks.every((mark) => mark.startsWith("eve: ")));
});

Deno.test("what rides on a ping is judged like a list: forged records mark who told them", async () => {
  const { world, a, b } = await three(11);
  await using _ = world;
  const forged = Object.assign(clone(wire.ServerSchema, world.member("d").start().members.self), { region: "x" });
  await a.gossip.answerPing(ping(b.id, a.id, { records: [forged] }), b.id);
  assertEquals([a.members.get("d"), a.marks], [null, [`${b.id}: the record of d is not signed with its key`]]);
});

Deno.test("a server that cannot be believed, or is nobody, cannot be exchanged with", async () => {
  const { world, a, b } = await three(12);
  await using _ = world;
  const outcome = async (url: string) => {
    let words = "";
    a.gossip.exchange(url).then(
      ({ id }) => words = id,
      (error: CdnError) => words = `${error.source} ${error.message}`,
    );
    await world.until("it answers", () => words !== "", 20_000);
    return words;
  };
  assertEquals(await outcome(b.url), b.id);
  assertEquals(await outcome(a.url), a.id);
  assert((await outcome("http://nobody:1")).startsWith("peer "));
  const local = world.member("local", { url: "http://127.0.0.1:1" }).start();
  assert((await outcome(local.url)).includes("loopback"));
});

Deno.test("what servers say to each other passes the door of both encodings", async () => {
  const { world } = await three(13);
  await using _ = world;
  let seen = 0;
  world.onSent = ({ name, question, message }) => {
    const schema = name === "servers" ? wire.ServerListSchema : question ? wire.PingSchema : wire.PongSchema;
    for (const encoding of ["json", "protobuf"] as const) {
      const codec = codecOf(encoding);
      const bytes = codec.encode(schema as typeof wire.PingSchema, message as wire.Ping);
      assertEquals(codec.decode(schema as typeof wire.PingSchema, bytes), message as wire.Ping);
    }
    seen++;
  };
  world.member("d").start([world.all[0]!.url]);
  await world.until("all see each other", () => world.isWhole());
  assert(seen > 10);
});

Deno.test("it runs on real timers as well, and leaves none behind", async () => {
  const world = new World(14, {
    pingMs: 20,
    pingTimeoutMs: 50,
    backoff: { leastMs: 10, mostMs: 50 },
    suspicionMult: 8,
  });
  let open = 0;
  world.schedule = (action, ms) => {
    open++;
    let isOpen = true;
    const close = () => {
      if (isOpen) open--;
      isOpen = false;
    };
    const cancel = byTimer(() => (close(), action()), ms);
    return () => (close(), cancel());
  };
  world.link = () => ({ delayMs: 1, loss: 0 });
  const begun = performance.now();
  Object.defineProperty(world, "nowMs", { get: () => performance.now() - begun });
  const all = ["a", "b", "c"].map((id) => world.member(id));
  all.forEach((member, at) => member.start(at === 0 ? [] : [all[0]!.url]));
  await until("all see each other", () => world.isWhole());
  all[1]!.kill();
  await until("b is dead", () => all[0]!.sees("b") === "dead" && all[2]!.sees("b") === "dead");
  await all[2]!.gossip.leave();
  await until("c left", () => all[0]!.sees("c") === "left");
  for (const member of all) member.kill();
  await Promise.all(all.map(({ gossip }) => gossip.ended()));
  await until("the last messages have arrived", () => open === 0);
});
