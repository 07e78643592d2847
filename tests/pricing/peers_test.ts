/** Pricing servers as peers, over loopback: they find each other again, and what strangers send changes nothing. */
import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import { jsonCodec, protobufCodec, wire } from "../../proto/mod.ts";
import { createPricing, type PricingOptions } from "../../pricing/mod.ts";
import type { Secrets } from "../../runtime/guard.ts";
import { listen } from "../../runtime/listen.ts";
import { createLogger, type Logger, silentLogger } from "../../runtime/log.ts";
import { PeerClient } from "../../runtime/peer_client.ts";
import { randomNonce, signRequest } from "../../runtime/signature.ts";
import { eventually, freePorts } from "../kit/mod.ts";
import { NOON, sampleSheet, temporaryFolder } from "./kit.ts";

const EXCHANGE = "/-/v1/peer/prices";
const token = "0123456789abcdef-token";
const clusterKey = new TextEncoder().encode("0123456789abcdef-cluster");
const secrets: Secrets = { token, clusterKey };
const codecs = [jsonCodec, protobufCodec];

/** A pricing server that listens; `await using` ends it. */
function start(port: number, options: PricingOptions = {}) {
  const pricing = createPricing({ now: () => NOON, seed: [], peerIntervalMs: 30, ...options });
  const given = options.secrets ?? { token: null, clusterKey: null };
  const listening = listen({ hostname: "127.0.0.1", port }, pricing.handler, { log: silentLogger, token: given.token });
  pricing.start();
  const client = new PeerClient({ ...given, clusterKey: null });
  return {
    url: listening.url,
    id: pricing.id,
    sheets: async () => (await client.ask(`${listening.url}/-/v1/prices`, wire.SheetListSchema)).sheets,
    usage: async () => (await client.ask(`${listening.url}/-/v1/usage`, wire.UsageListSchema)).counts,
    peers: async () => (await client.ask(`${listening.url}/-/v1/peers`, wire.PricePeerListSchema)).peers,
    async put(region: string, note: string, headers: Record<string, string> = {}): Promise<Response> {
      const authorization: Record<string, string> = given.token ? { authorization: `Bearer ${given.token}` } : {};
      const response = await fetch(`${listening.url}/-/v1/prices/cloud/${region}`, {
        method: "PUT",
        headers: { "content-type": "application/json", ...authorization, ...headers },
        body: jsonCodec.encode(wire.SheetSchema, sampleSheet({ region, note })),
      });
      await response.body?.cancel();
      return response;
    },
    report: (reporter: string, bytes: bigint) =>
      client.ask(`${listening.url}/-/v1/usage`, wire.UsageListSchema, {
        question: [
          wire.UsageReportSchema,
          create(wire.UsageReportSchema, {
            reporter,
            month: "2026-11",
            counts: [{ place: { provider: "cloud", region: "here-1", server: "x" }, bytes }],
          }),
        ],
      }),
    async [Symbol.asyncDispose]() {
      await listening.close(1000);
      await pricing.close();
    },
  };
}

type Running = ReturnType<typeof start>;

const equal = (...all: Running[]) =>
  eventually(async () => {
    for (const one of all) if ((await one.peers()).some(({ state }) => state !== "equal")) return false;
    const states = await Promise.all(
      all.map(async (one) => JSON.stringify([await one.sheets(), await one.usage()], big)),
    );
    return new Set(states).size === 1;
  }, { what: "the pricing servers being equal" });

const big = (_: string, value: unknown) => typeof value === "bigint" ? value.toString() : value;

for (const codec of codecs) {
  Deno.test(`a price set at one is at its peers, and so is what was served; each may be told (${codec.encoding})`, async () => {
    const ports = freePorts(3);
    const urls = ports.map((port) => `http://127.0.0.1:${port}`);
    await using stack = new AsyncDisposableStack();
    // The same list for each: its own URL is among them. The last one is told of by nobody.
    const [a, b] = ["a", "b"].map((id, at) =>
      stack.use(start(ports[at]!, { id, peers: urls.slice(0, 2), secrets, codec }))
    ) as [Running, Running];
    const c = stack.use(start(ports[2]!, { id: "c", peers: [urls[1]!], secrets, codec }));
    await a.put("here-1", "by a");
    await b.put("there", "by b");
    await a.report("p", 10n);
    await b.report("p", 7n);
    await c.report("q", 5n);
    await eventually(async () => (await a.peers()).some(({ state }) => state === "self"), { what: "a knowing itself" });
    await eventually(async () => {
      const states = await Promise.all(
        [a, b, c].map(async (one) => [(await one.sheets()).map(({ note }) => note), (await one.usage())[0]?.bytes]),
      );
      return states.every((state) => JSON.stringify(state, big) === '[["by a","by b"],"15"]');
    }, { what: "all three having all" });
    const peers = await a.peers();
    assertEquals(peers.map(({ url, id, state, error }) => [url, id, state, error]), [
      [urls[0], "a", "self", ""],
      [urls[1], "b", "equal", ""],
    ]);
    // The tag of a sheet is the same at each, so who read it at one may write it at another.
    const read = await fetch(`${b.url}/-/v1/prices/cloud/here-1`, { headers: { authorization: `Bearer ${token}` } });
    await read.body?.cancel();
    const etag = read.headers.get("etag")!;
    assertEquals((await a.put("here-1", "changed", { "if-match": etag })).status, 200);
    await eventually(async () => (await c.sheets())[0]!.note === "changed", { what: "the change at c" });
    assertEquals((await b.put("here-1", "too late", { "if-match": etag })).status, 412);
  });
}

Deno.test("a peer that was away has what was set meanwhile once it is back, and the other way round; logs say so", async () => {
  using folder = temporaryFolder();
  const lines: string[] = [];
  const log: Logger = createLogger({ program: "p", write: (line) => lines.push(line.split(" p: ")[1]!) });
  const [portA, portB] = freePorts(2) as [number, number];
  await using a = start(portA, { id: "a", peers: [`http://127.0.0.1:${portB}`], log, folder: `${folder.path}/a` });
  const startB = () =>
    start(portB, { id: "b", peers: [`http://127.0.0.1:${portA}`], folder: `${folder.path}/b`, random: () => 0 });
  {
    await using b = startB();
    await b.put("here-1", "first");
    await equal(a, b);
    lines.length = 0;
  }
  const away = await eventually(async () => (await a.peers()).find(({ state }) => state === "away"), {
    what: "a noticing",
  });
  assertStringIncludes(away.error, "Cannot reach");
  await a.put("here-1", "while b was away");
  await a.report("p", 42n);
  {
    await using b = startB();
    await equal(a, b);
    assertEquals((await b.sheets())[0]!.note, "while b was away");
    assertEquals((await b.usage())[0]!.bytes, 42n);
    await eventually(() => lines.some((line) => line.startsWith("a pricing peer is back")), { what: "a saying so" });
    assertEquals(lines.filter((line) => line.startsWith("a pricing peer is away")).length, 1, "once, not each time");
  }
  // With its folder lost it is a new one, and gets everything.
  Deno.removeSync(`${folder.path}/b`, { recursive: true });
  await using b = startB();
  await equal(a, b);
  assertEquals((await b.sheets())[0]!.note, "while b was away");
});

Deno.test("a write is answered when a peer has it too, so that it outlives the machine that took it", async () => {
  await using b = start(0, { id: "b" });
  {
    // Long intervals: nothing but the write itself makes them exchange.
    await using a = start(0, { id: "a", peers: [b.url], peerIntervalMs: 3_600_000 });
    await eventually(async () => (await a.peers())[0]!.state === "equal", { what: "both being equal" });
    for (let at = 0; at < 5; at++) {
      assertEquals((await a.put("here-1", `${at}`)).ok, true);
      assertEquals((await b.sheets())[0]!.note, `${at}`);
    }
    const gone = await fetch(`${a.url}/-/v1/prices/cloud/here-1`, { method: "DELETE" });
    assertEquals([gone.status, await b.sheets()], [204, []]);
  }
  assertEquals(await b.sheets(), []);
});

Deno.test("a write does not wait for a peer that is away", async () => {
  await using a = start(0, { id: "a", peers: [`http://127.0.0.1:${freePorts(1)}`], peerIntervalMs: 3_600_000 });
  await eventually(async () => (await a.peers())[0]!.state === "away", { what: "a noticing" });
  assertEquals((await a.put("here-1", "alone")).status, 201);
  assertEquals((await a.sheets())[0]!.note, "alone");
});

Deno.test("equal peers exchange a few hundred bytes at a time", async () => {
  const sizes: number[] = [];
  const measured: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    const body = await response.bytes();
    sizes.push((init!.body as Uint8Array).length + body.length);
    return new Response(body, { status: response.status, headers: response.headers });
  };
  await using b = start(0);
  for (let at = 0; at < 30; at++) await b.put(`r${at}`, "x".repeat(1000));
  await using a = start(0, { peers: [b.url], fetch: measured });
  await eventually(async () => (await a.sheets()).length === 30, { what: "a having all" });
  await eventually(() => sizes.at(-1)! < 1000 && sizes.at(-2)! < 1000, { what: "nothing left to tell" });
  sizes.length = 0;
  await eventually(() => sizes.length >= 5, { what: "five more exchanges" });
  assert(sizes.every((size) => size < 800), sizes.join());
});

Deno.test("two servers with one id are told apart and refused, and a stamp from the future is refused and reported", async () => {
  const lines: string[] = [];
  const log: Logger = createLogger({ program: "p", write: (line) => lines.push(line) });
  await using b = start(0, { id: "twin" });
  await using a = start(0, { id: "twin", peers: [b.url] });
  await a.put("here-1", "mine");
  const peer = await eventually(async () => (await a.peers()).find(({ state }) => state === "away"), {
    what: "refusal",
  });
  assertStringIncludes(peer.error, "the same id");
  assertEquals(await b.sheets(), []);

  await using fast = start(0, { id: "fast", now: () => NOON + 86_400_000 });
  await fast.put("here-1", "tomorrow's");
  await fast.put("there", "tomorrow's too");
  await using c = start(0, { id: "c", peers: [fast.url], log });
  await c.put("mine", "today's");
  await eventually(() => lines.some((line) => line.includes("sent what is not taken")), { what: "a warning" });
  const [report] = await c.peers();
  assertEquals(report!.state, "differs");
  assertStringIncludes(report!.error, "2 of its entries were refused: cloud/here-1 was stamped by fast 86400 s ahead");
  assertEquals((await c.sheets()).map(({ note }) => note), ["today's"]);
  await eventually(async () => (await fast.sheets()).length === 3, {
    what: "the other direction working all the same",
  });
});

Deno.test("without the cluster key nobody exchanges: unsigned, badly signed, played again, meant for another", async () => {
  await using other = start(0, { id: "other", secrets });
  await using pricing = start(0, { id: "here", secrets, peers: [other.url] });
  await pricing.put("here-1", "mine");
  await eventually(async () => (await pricing.peers())[0]!.state === "equal", { what: "both being equal" });
  const entry = {
    provider: "cloud",
    region: "planted",
    sheet: sampleSheet({ region: "planted" }),
    stamp: { wallMs: BigInt(NOON), counter: 0, server: "x" },
    by: "x",
  };
  const message = create(wire.PriceExchangeSchema, {
    from: "x",
    log: "x",
    upTo: 1n,
    head: 1n,
    sheets: [entry],
    digest: new Uint8Array(16),
  });
  const body = jsonCodec.encode(wire.PriceExchangeSchema, message);
  const type = { "content-type": "application/json" };
  const url = `${pricing.url}${EXCHANGE}`;
  const sign = (of: { url?: string; body?: Uint8Array; key?: Uint8Array; nowMs?: number } = {}) =>
    signRequest({ method: "POST", url: of.url ?? url, body: of.body ?? body }, {
      key: of.key ?? clusterKey,
      nowMs: of.nowMs ?? NOON,
      nonce: randomNonce(),
    });
  const post = async (headers: Record<string, string>, sent = body) => {
    const response = await fetch(url, { method: "POST", headers: { ...type, ...headers }, body: sent });
    return [response.status, await response.text()] as const;
  };
  const spoilt = body.slice();
  spoilt[20]! ^= 1;
  const table: [what: string, status: number, headers: Record<string, string>, sent?: typeof body][] = [
    ["unsigned", 401, {}],
    ["with the token alone", 401, { authorization: `Bearer ${token}` }],
    ["signed with another key", 401, sign({ key: new TextEncoder().encode("another-key-another") })],
    ["with another body", 401, sign(), spoilt],
    ["signed for another path", 401, sign({ url: `${pricing.url}/-/v1/usage` })],
    ["signed long ago", 401, sign({ nowMs: NOON - 600_000 })],
    ["signed ten years ahead", 401, sign({ nowMs: NOON + 315_360_000_000 })],
  ];
  for (const [what, status, headers, sent] of table) assertEquals((await post(headers, sent))[0], status, what);
  assertEquals((await pricing.sheets()).map(({ region }) => region), ["here-1"]);

  const headers = sign();
  assertEquals((await post(headers))[0], 200);
  assertEquals((await pricing.sheets()).map(({ region }) => region), ["here-1", "planted"]);
  const [status, text] = await post(headers);
  assertEquals(status, 401);
  assertStringIncludes(text, "played already");
  // What was signed for a peer that is known is not taken here: it was recorded and is played to us.
  using connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(new URL(pricing.url).port) });
  const theirs = sign({ url: `${other.url}${EXCHANGE}` });
  const lines = Object.entries({
    host: new URL(other.url).host,
    ...type,
    ...theirs,
    "content-length": `${body.length}`,
    connection: "close",
  }).map(([name, value]) => `${name}: ${value}\r\n`).join("");
  await connection.write(new TextEncoder().encode(`POST ${EXCHANGE} HTTP/1.1\r\n${lines}\r\n`));
  await connection.write(body);
  assertStringIncludes(await new Response(connection.readable).text(), "HTTP/1.1 421");
});

Deno.test("malformed exchanges name the fault, a million entries are too many, and nothing changes", async () => {
  await using pricing = start(0, { id: "here" });
  await pricing.put("here-1", "mine");
  const before = await pricing.sheets();
  const good = { from: "x", log: "x", digest: "AAAAAAAAAAAAAAAAAAAAAA==" };
  const post = async (body: BodyInit, type = "application/json") => {
    const response = await fetch(`${pricing.url}${EXCHANGE}`, {
      method: "POST",
      headers: { "content-type": type },
      body,
    });
    return [response.status, await response.text()] as const;
  };
  const table: [body: string, words: string][] = [
    ["", "Malformed PriceExchange"],
    ["[]", "PriceExchange"],
    ["{", "PriceExchange"],
    [JSON.stringify({ ...good, from: "" }), "from must be"],
    [JSON.stringify({ ...good, from: "a b" }), "from must be"],
    [JSON.stringify({ ...good, log: "" }), "log must be"],
    [JSON.stringify({ ...good, log: "x".repeat(65) }), "log must be"],
    [JSON.stringify({ ...good, digest: "AAAA" }), "digest must be 16 bytes"],
    [JSON.stringify({ ...good, after: "5", upTo: "4", head: "9" }), "upTo must lie between"],
    [JSON.stringify({ ...good, upTo: "10", head: "9" }), "upTo must lie between"],
    [JSON.stringify({ ...good, head: "9007199254740992" }), "head must be"],
    [JSON.stringify({ ...good, have: "18446744073709551615" }), "have must be"],
    [JSON.stringify({ ...good, sheets: Array(101).fill({}) }), "sheets must have at most 100"],
    [JSON.stringify({ ...good, usage: Array(1001).fill({}) }), "usage must have at most 1000"],
    [JSON.stringify({ ...good, sheets: [null] }), "sheets"],
  ];
  for (const [body, words] of table) {
    const [status, text] = await post(body);
    assertEquals(status, 400, body.slice(0, 100));
    assertStringIncludes(text, words);
  }
  assertEquals((await post("{}", "text/plain"))[0], 415);
  // A million entries: too long as JSON, and as a few bytes each in Protobuf too; half a million fit, and are refused.
  assertEquals((await post(JSON.stringify({ ...good, usage: Array(1_000_000).fill({}) })))[0], 413);
  const head = protobufCodec.encode(
    wire.PriceExchangeSchema,
    create(wire.PriceExchangeSchema, { from: "x", log: "x", digest: new Uint8Array(16) }),
  );
  const empties = (count: number) => {
    const bytes = new Uint8Array(head.length + 2 * count);
    bytes.set(head);
    for (let at = head.length; at < bytes.length; at += 2) bytes[at] = (7 << 3) | 2; // usage, of length 0
    return bytes;
  };
  assertEquals((await post(empties(1_000_000), protobufCodec.mediaType))[0], 413);
  const [status, text] = await post(empties(500_000), protobufCodec.mediaType);
  assertEquals(status, 400);
  assertStringIncludes(text, "at most 1000");
  const got = await fetch(`${pricing.url}${EXCHANGE}`);
  assertEquals([got.status, got.headers.get("allow")], [405, "POST"]);
  await got.body?.cancel();
  assertEquals(await pricing.sheets(), before);
  assertEquals(await pricing.usage(), []);
  // A field that only a newer program knows is no fault where a peer signs; here nobody does.
  assertNotEquals((await post(JSON.stringify({ ...good, upTo: "1", head: "1" })))[0], 400);
});
