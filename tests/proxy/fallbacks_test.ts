/** Any server and any pricing server may go: the list is still followed, prices still asked, usage still told. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { wire } from "../../proto/mod.ts";
import { Directory, members } from "../../proxy/directory.ts";
import { Fallbacks } from "../../proxy/fallbacks.ts";
import { decide, type ServerView, type View } from "../../proxy/view.ts";
import { fakePricing, fakeServer, measured, raw, testProxy, until } from "./kit.ts";

Deno.test("who failed lately comes last, the one tried longest ago first; then it has its place again", () => {
  const fallbacks = new Fallbacks(100);
  const order = (nowMs: number) => fallbacks.order(["a", "b", "c", "d"], nowMs).join("");
  assertEquals(order(0), "abcd");
  fallbacks.failed("c", 10);
  fallbacks.failed("a", 20);
  assertEquals(order(20), "bdca");
  assertEquals(order(110), "bcda");
  fallbacks.answered("a");
  assertEquals(order(111), "abcd");
});

Deno.test("whatever failed, everybody has a place in the order", () => {
  const step = fc.record({ url: fc.constantFrom("a", "b", "c"), ok: fc.boolean(), wait: fc.nat(50) });
  fc.assert(fc.property(fc.array(step), (steps) => {
    const fallbacks = new Fallbacks(60);
    let now = 0;
    for (const { url, ok, wait } of steps) {
      now += wait;
      ok ? fallbacks.answered(url) : fallbacks.failed(url, now);
      assertEquals(fallbacks.order(["a", "b", "c"], now).sort(), ["a", "b", "c"]);
      if (!ok) assert(fallbacks.isAvoided(url, now));
    }
  }));
});

Deno.test("the first that answers is enough; where none does, each says why, and where nobody waits, none is blamed", async () => {
  const fallbacks = new Fallbacks(100);
  const asked: string[] = [];
  const first = (alive: string, more: { most?: number; signal?: AbortSignal } = {}) =>
    fallbacks.first(["a", "b", "c"], (url) => {
      asked.push(url);
      return alive.includes(url) ? Promise.resolve(`${url} it is`) : Promise.reject(new Error(`${url} is away`));
    }, { now: () => asked.length, ...more });
  assertEquals(await first("bc"), "b it is");
  assertEquals(asked.splice(0), ["a", "b"]);
  await assertRejects(() => first("", { most: 2 }), Error, "b is away; c is away");
  assertEquals(asked.splice(0), ["b", "c"]);
  await assertRejects(() => first("", { signal: AbortSignal.abort() }), Error, "a is away");
  assertEquals(asked.splice(0), ["a"], "what was given up asks no other");
});

/** Lists by URL; one that is absent does not answer. */
function directory(given: string[], lists: Record<string, string[]>) {
  const clock = { now: 0 };
  const asked: string[] = [];
  const client = (name: string) => ({
    ask(url: string) {
      const origin = url.replace("/-/v1/servers", "");
      asked.push(`${name} ${origin}`);
      const ids = lists[origin];
      if (!ids) return Promise.reject(new Error(`${origin} is away`));
      const servers = ids.map((id) => ({ id, url: `http://${id}`, provider: "p", region: "r" }));
      return Promise.resolve(create(wire.ServerListSchema, { servers }) as never);
    },
  });
  const all = new Directory(given, {
    given: client("given"),
    learned: client("learned"),
    avoidMs: 1000,
    now: () => clock.now,
  });
  const ask = async (...reachable: string[]) => (await all.ask(reachable)).map(({ id }) => id).join();
  return { ask, asked, clock };
}

Deno.test("the list comes from the given servers, and from those on it where no given one answers", async () => {
  const lists: Record<string, string[]> = { "http://b": ["a", "b", "c"] };
  const { ask, asked, clock } = directory(["http://a", "http://b"], lists);
  assertEquals(await ask(), "a,b,c", "the first one is dead from the start");
  assertEquals(asked.splice(0), ["given http://a", "given http://b"]);
  delete lists["http://b"];
  lists["http://c"] = ["a", "b", "c", "d"];
  assertEquals(await ask("http://b", "http://c"), "a,b,c,d");
  // The token goes to those that were given alone. Those that failed lately come last.
  assertEquals(asked.splice(0), ["given http://b", "learned http://c"]);
  await ask("http://c", "http://d");
  assertEquals(asked.splice(0), ["learned http://c"]);
  // A given one is asked again when its time is over, and is believed at once.
  lists["http://a"] = ["a", "d"];
  clock.now = 1000;
  assertEquals(await ask("http://c", "http://d"), "a,d");
  assertEquals(asked.splice(0), ["given http://a"]);
  delete lists["http://a"];
  delete lists["http://c"];
  const error = await assertRejects(() => ask("http://c"), Error);
  for (const name of ["a", "b", "c"]) assertStringIncludes(error.message, `http://${name} is away`);
});

Deno.test("a server that was not given takes nobody off the list at once: it may have begun with an empty one", async () => {
  const lists: Record<string, string[]> = { "http://a": ["a", "b", "c"] };
  const { ask, clock } = directory(["http://a"], lists);
  await ask();
  delete lists["http://a"];
  lists["http://b"] = ["b"];
  assertEquals(await ask("http://b"), "a,b,c");
  clock.now = 999;
  assertEquals(await ask("http://b"), "a,b,c");
  clock.now = 1500;
  assertEquals(await ask("http://b"), "b", "what it has said for long is so");
  lists["http://b"] = ["b", "c"];
  assertEquals(await ask("http://b"), "b,c");
});

Deno.test("however many are dead, one round asks a few, and each has its turn", async () => {
  const many = Array.from({ length: 30 }, (_, at) => `http://s${at}`);
  const lists: Record<string, string[]> = { "http://s29": ["s29"] };
  const { ask, asked, clock } = directory(["http://a"], lists);
  let rounds = 0;
  for (; rounds < 10; rounds++) {
    clock.now++;
    if (await ask(...many).catch(() => "") === "s29") break;
  }
  assertEquals(rounds, 3);
  assertEquals(asked.length, new Set(asked).size);
});

Deno.test("suspect, dead and left servers are a last resort by the list; others are not", () => {
  const states = ["self", "alive", "reachable", "unreachable", "unknown", "", "suspect", "dead", "left"];
  const servers = states.map((state, at) => ({ id: `s${at}`, url: `http://s${at}`, health: { state } }));
  const list = create(wire.ServerListSchema, { servers: [...servers, { id: "without", url: "http://w" }] });
  assertEquals(
    members(list).filter(({ lastResort }) => lastResort !== "").map(({ lastResort }) => lastResort),
    ["suspect", "dead", "left"].map((state) => `the servers call it ${state}`),
  );
});

Deno.test("a last resort is tried after all others, before those that are down, and alone where it is alone", () => {
  const server = (id: string, rttMs: number, more: Partial<ServerView> = {}): ServerView => ({
    id,
    origin: `http://${id}`,
    provider: "p",
    region: "r",
    connectMs: 1,
    rttMs,
    bytesPerSecond: 1e6,
    confidence: 1,
    newestMs: 0,
    warmUntilMs: 0,
    egressNanoPerGb: 0,
    serverNanoPerGb: 0,
    nanoPerGb: NaN,
    priceConfidence: "none",
    excluded: "",
    lastResort: "",
    ...more,
  });
  const last = { lastResort: "it is draining" };
  const down = { excluded: "down: connecting failed" };
  const order = (servers: ServerView[], limit?: number) => {
    const view: View = { policy: "network", weight: 1, prices: "none", servers, trouble: "" };
    return decide(view, 1, 0, limit).map(({ id }) => id).join("");
  };
  assertEquals(order([server("a", 1, last), server("b", 9), server("c", 5)]), "cba");
  assertEquals(order([server("a", 1, last), server("b", 9), server("c", 5)], 2), "cb");
  assertEquals(order([server("a", 1, last), server("b", 9, down), server("c", 5, last)]), "ac");
  assertEquals(order([server("a", 2, { ...last, ...down }), server("b", 1, down)]), "ba", "all down: each is tried");
});

const get = async (url: string) => {
  const response = await fetch(url);
  await response.body?.cancel();
  return [response.status, response.headers.get("x-server")] as const;
};

Deno.test("the proxy starts with its first server and pricing server dead, and goes on without any it was given", async () => {
  const [deadServer, deadPricing] = [fakeServer("x"), fakePricing({})];
  await deadServer[Symbol.asyncDispose]();
  await deadPricing[Symbol.asyncDispose]();
  const a = fakeServer("a");
  await using b = fakeServer("b");
  await using c = fakeServer("c");
  const first = fakePricing({ a: 3, b: 2, c: 1 });
  await using second = fakePricing({ a: 3, b: 2, c: 1 });
  a.others = [b];
  b.others = [a];
  await using proxy = await testProxy([deadServer], {
    settings: {
      servers: [deadServer.url, a.url],
      pricing: [deadPricing.url, first.url, second.url],
      policy: "price",
      avoidMs: 200,
    },
  });
  await measured(proxy, 2, "fresh");
  assertEquals(await get(`${proxy.url}/x`), [200, "b"]);
  await first[Symbol.asyncDispose]();
  const asked = second.asked;
  await until("the other pricing server is asked", () => second.asked > asked + 2);
  assertEquals(proxy.view().prices, "fresh");
  // Both of --server are dead now; b alone is left of those that are known, and tells of c.
  await a[Symbol.asyncDispose]();
  b.others = [a, c];
  await until(
    "c is learned from b",
    () => proxy.view().servers.some(({ id, nanoPerGb }) => id === "c" && nanoPerGb === 1),
  );
  await until("c answers", async () => (await get(`${proxy.url}/x`))[1] === "c");
  // A host that is on no list is not forwarded to.
  const stranger = "GET http://stranger.example/x HTTP/1.1\r\nhost: stranger.example\r\nconnection: close\r\n\r\n";
  assertStringIncludes(await raw(proxy.port, stranger), "HTTP/1.1 403");
});

Deno.test("usage is told to each pricing server, and all of it to one that comes back", async () => {
  await using a = fakeServer("a", { size: 5000 });
  await using first = fakePricing({ a: 1 });
  const second = fakePricing({ a: 1 });
  await second[Symbol.asyncDispose]();
  const settings = { sampleBytes: 1000, avoidMs: 100, pricing: [second.url, first.url] };
  await using proxy = await testProxy([a], { id: "reporter-1", settings });
  await measured(proxy, 1, "fresh");
  await get(`${proxy.url}/x`);
  const told = (pricing: typeof first) => Number(pricing.reports.at(-1)?.counts[0]?.bytes ?? 0);
  await until("the one that is there has it", () => told(first) >= 5000);
  await using again = fakePricing({ a: 1 }, { port: Number(new URL(second.url).port) });
  await until("the other one has it too", () => told(again) >= told(first) && told(again) >= 5000);
  assertEquals(new Set([...first.reports, ...again.reports].map(({ reporter }) => reporter)).size, 1);
});
