import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { doctor, examine } from "../../cli/doctor.ts";
import { checkCertificates, checkClocks } from "../../cli/doctor/check_clocks.ts";
import type { Facts } from "../../cli/doctor/gather.ts";
import { type Probe, skewOf } from "../../cli/doctor/probe.ts";
import { wire } from "../../proto/mod.ts";
import { UsageError } from "../../runtime/flags.ts";
import { deadUrls, input, NOON, record, startFakeServer, startProgram } from "./fake_cluster.ts";

const DAY = 24 * 3600_000;

async function run(...argv: string[]) {
  const lines: string[] = [];
  const status = await doctor(argv, input, { print: (line) => lines.push(line), note() {} });
  return { status, lines, out: lines.join("\n") };
}

const proxyState = { status: "ready", servers: 2, measured: 2, down: [] as string[], prices: "fresh" };
/** A proxy whose /-/readyz says this. */
const startProxy = (ready: Record<string, unknown> = proxyState) =>
  startProgram(({ url }) =>
    url.endsWith("/-/healthz")
      ? Response.json({ status: "ok", version: "0.1.0" })
      : Response.json(ready, { status: ready.status === "ready" ? 200 : 503 })
  );
const startPricing = () => startProgram(() => new Response("ready\n"));
/** Two records as two servers have them that know of each other. */
const self = (id: string) => record(id, { health: { state: "self" } });

Deno.test("metacdn doctor asks servers, proxies and pricing servers side by side; where all is well it exits with 0", async () => {
  await using a = startFakeServer([self("a"), record("b")]);
  await using b = startFakeServer([record("a"), self("b")]);
  await using p = startProxy();
  await using q = startProxy();
  await using m = startPricing();
  await using n = startPricing();
  a.durability = [{ objects: 3n, bytes: 3000n, servers: 2, minCopies: 1 }];
  const flags = ["--server", `${a.url},${b.url}`, "--proxy", p.url, "--proxy", q.url, "--pricing", `${m.url},${n.url}`];
  const { status, lines } = await run(...flags);
  assertEquals(
    lines.map((line) => line.replaceAll(/127\.0\.0\.1:\d+/g, "…").replace(/heard of .* ago; /, "")),
    [
      "ok  a is alive  (p-a/r origin; lacks nothing)",
      "ok  b is alive  (p-b/r origin; lacks nothing)",
      "ok  all servers run version 0.1.0",
      "ok  clocks agree  (as far as a Date field tells)",
      "ok  2 origins",
      "ok  2 origins can take uploads  (an upload waits for 1 copy)",
      "ok  nothing would be lost if any one server, provider or region vanished  (3 objects, 3 kB)",
      "ok  proxy http://… is ready",
      "ok  proxy http://… is ready",
      "ok  pricing server http://… is ready",
      "ok  pricing server http://… is ready",
    ],
  );
  assertEquals(status, 0);
  const json = JSON.parse((await run(...flags, "--json")).out);
  assertEquals(json.findings.length, lines.length);
  assertEquals(json.findings[0].level, "ok");
});

Deno.test("metacdn doctor finds what is bad, puts it first, and exits with 1", async () => {
  await using listed = startProgram(({ headers }) => {
    assertEquals(headers.get("authorization"), null, "the token is for those that were named");
    return new Response("ok\n");
  });
  const [dead, gone] = deadUrls(2) as [string, string];
  await using a = startFakeServer([
    self("a"),
    record("b", { url: gone, health: { state: "dead", error: "connection refused" } }),
    record("c", {
      url: listed.url,
      software: "0.2.0",
      draining: true,
      health: {
        state: "alive",
        lagObjects: 4n,
        lagBytes: 4000n,
        marks: [{ reason: "a rollback", count: 2, atMs: BigInt(Date.now()) }],
      },
    }),
  ]);
  await using p = startProxy({ ...proxyState, down: ["b: connection refused"], prices: "stale" });
  await using m = startPricing();
  a.durability = [{
    objects: 9n,
    bytes: 9000n,
    servers: 3,
    minCopies: 2,
    unasked: ["b"],
    risks: [{ kind: "server", name: "a", lostObjects: 2n, lostBytes: 2000n, examples: ["/x"] }],
  }];
  const { status, lines } = await run("--server", `${a.url},${dead}`, "--proxy", p.url, "--pricing", m.url);
  assertEquals(status, 1);
  const found = (start: string) =>
    lines.find((line) => line.startsWith(start)) ?? `no "${start}" in\n${lines.join("\n")}`;
  for (
    const [start, words] of [
      [`bad   ${dead} does not answer`, "\\(tcp connect error: Connection refused .*; start it"],
      ["bad   b is dead", "connection refused; .*metacdn servers remove b"],
      ["bad   c caught 2 times", "a rollback"],
      ["bad   only 1 origin can take uploads", "waits for 2 copies"],
      ["bad   if a vanished", "2 objects \\(2 kB\\) are on no other server, such as /x"],
      ["warn  c drains", "undrain c"],
      ["warn  c lacks 4 objects (4 kB)", ""],
      ["warn  servers run different versions", "0.1.0: a, b; 0.2.0: c"],
      ["warn  b could not be asked", ""],
      ["warn  proxy", "sends nobody to 1 of its servers .*b: connection refused"],
      ["warn  there is a single proxy", "a machine whose loss stops viewers"],
      ["warn  there is a single pricing server", "a machine whose loss stops prices"],
      ["ok    a is alive", ""],
    ] as const
  ) assertMatch(found(start), new RegExp(words));
  const levels = lines.map((line) => line.split(" ")[0]);
  assertEquals(
    levels,
    levels.toSorted((x, y) => ["bad", "warn", "ok"].indexOf(x!) - ["bad", "warn", "ok"].indexOf(y!)),
  );
});

Deno.test("metacdn doctor says why a server cannot be asked, and asks the next what would be lost", async () => {
  await using a = startFakeServer([self("a"), record("b")]);
  await using b = startFakeServer([record("a"), self("b")]);
  a.intercept = ({ url }) =>
    url.endsWith("readyz") ? Response.json({ detail: "Not ready: starting" }, { status: 503 }) : undefined;
  a.durability = [Object.assign(new Error("broken"))];
  b.durability = [{ servers: 2, minCopies: 1, risks: [{ kind: "server", name: "b", unreachableObjects: 1n }] }];
  const { status, out } = await run("--server", `${a.url},${b.url}`);
  assertEquals(status, 1);
  assertMatch(out, /^bad +a \(http.*\) is not ready +\(Not ready: starting\)$/m);
  assertMatch(out, /^warn +if b vanished +\(1 object .* is on no other server that answers now/m);

  const stranger = await doctor(["--server", b.url, "--json"], { ...input, env: () => undefined }, {
    print: (line) => assertStringIncludes(line, "This needs the token"),
    note() {},
  });
  assertEquals(stranger, 1);
});

Deno.test("metacdn doctor names what it waits for", async () => {
  await using a = startFakeServer([self("a"), record("b")]);
  const told = Promise.withResolvers<void>();
  a.intercept = async ({ url }) => {
    if (url.endsWith("readyz")) await told.promise;
    return url.endsWith("readyz")
      ? new Response("ok\n")
      : new Response("{}", { headers: { "content-type": "application/json" } });
  };
  await doctor(["--server", a.url], input, {
    print() {},
    note: (line) => line === `waiting for ${a.url}/-/readyz` && told.resolve(),
    slowMs: 1,
  });
  await told.promise;
});

Deno.test("metacdn doctor refuses a wrong command line, and shows help", async () => {
  await assertRejects(() => run("--server", "a.example"), UsageError, "--server");
  await assertRejects(() => run("--timeout", "0"), UsageError, "--timeout");
  await assertRejects(() => run("word"), UsageError, "takes only flags");
  assertStringIncludes((await run("--help")).out, "Exit status: 0 nothing is bad");
});

// The checks alone, from facts.

const answer = (url: string, change: Partial<Probe> = {}): Probe => ({
  url,
  status: 200,
  text: "ok",
  rttMs: 1,
  skew: null,
  ...change,
});

/** Facts as each of these servers tells them, all of them named and answering. */
function factsOf(
  views: Record<string, wire.Server[]>,
  durability: MessageInitShape<typeof wire.DurabilitySchema> | string = {},
): Facts {
  const named = new Map(Object.keys(views).map((by) => [`http://${by}`, answer(`http://${by}`)]));
  return {
    views: Object.entries(views).map(([by, servers]) => ({ url: `http://${by}`, by, servers, edge: null, error: "" })),
    named,
    listed: new Map(Object.keys(views).map((by) => [by, named.get(`http://${by}`)!])),
    durability: typeof durability === "string" ? durability : create(wire.DurabilitySchema, durability),
    proxies: [],
    pricing: [],
  };
}
const said = (facts: Facts) => examine(facts, NOON).map(({ level, what, why }) => `${level} ${what} (${why})`);
const as = (id: string, state: string, change: MessageInitShape<typeof wire.ServerHealthSchema> = {}) =>
  record(id, { health: { lastHeardMs: BigInt(NOON), ...change as object, state } });
const at = (provider: string, region: string, id: string, labels: Record<string, string> = {}) =>
  record(id, { provider, region, labels });

const table: [what: string, facts: Facts, includes: (string | RegExp)[], excludes?: (string | RegExp)[]][] = [
  [
    "a server that some can reach and some cannot is cut off",
    factsOf({
      a: [self("a"), as("b", "alive"), as("c", "dead", { error: "no route" })],
      b: [as("a", "alive"), self("b"), as("c", "alive")],
    }),
    ["bad c is cut off from some (a cannot reach it; b can; no route; look at the network between them)"],
    [/c is dead/],
  ],
  [
    "so is one that we can reach",
    factsOf({ a: [self("a"), as("b", "dead")], b: [as("a", "alive"), self("b")] }),
    [/^bad b is cut off from some \(a cannot reach it; we can/],
  ],
  [
    "stopped, suspected, never heard of, alive with an error, stale",
    factsOf({
      a: [
        self("a"),
        as("l", "left"),
        as("s", "suspect"),
        as("u", "unknown"),
        as("e", "alive", { error: "no room (507)" }),
        as("t", "alive", { content: { stale: true } }),
      ],
    }),
    [
      "warn l was stopped (what",
      "warn s is suspected",
      "warn u has not been heard of",
      "warn e is alive, with an error (no room (507))",
      "warn t is stale",
    ],
  ],
  [
    "a new cluster, of which nobody can tell yet what was deleted",
    factsOf({
      a: [
        as("a", "self", { content: { stale: true } }),
        as("b", "alive", { content: { stale: true } }),
        as("c", "dead", { content: { stale: true } }),
      ],
    }),
    ["ok all servers were started a moment ago", "bad c is dead"],
    [/is stale/],
  ],
  ["our own word counts too", factsOf({ a: [as("a", "self", { lagObjects: 1n }), as("b", "alive")] }), [
    "warn a lacks 1 object (",
  ]],
  [
    "an old mark is history",
    factsOf({
      a: [
        self("a"),
        as("b", "alive", {
          marks: [create(wire.MarkSchema, { reason: "forged", count: 1, atMs: BigInt(NOON - 3 * DAY) })],
        }),
      ],
    }),
    ["warn b caught 1 time, 3 d ago: forged"],
  ],
  ["lists that differ", factsOf({ a: [self("a"), as("b", "alive")], b: [self("b")] }), ["warn b does not know of a ("]],
  [
    "two origins on one machine; an edge there is no matter",
    factsOf({
      a: [
        self("a"),
        record("b", { url: "http://a.example:9" }),
        record("c", { url: "http://d.example:1" }),
        record("d", { role: "edge" }),
      ],
    }),
    ["warn a, b are on one machine, a.example ("],
    [/are on one machine, d/],
  ],
  ["no origin", factsOf({ a: [record("a", { role: "edge", health: { state: "self" } })] }), [
    "bad there is no origin (",
  ]],
  ["one origin", factsOf({ a: [self("a"), record("b", { role: "edge" })] }), ["bad a is the only origin ("]],
  [
    "as many origins as an upload waits for",
    factsOf({ a: [self("a"), as("b", "alive"), as("c", "dead")] }, { minCopies: 2 }),
    ["warn each origin is a machine whose loss stops uploads (an upload waits for 2 copies"],
  ],
  [
    "one that drains takes no upload",
    factsOf({ a: [self("a"), record("b", { draining: true })] }, { minCopies: 2 }),
    ["bad only 1 origin can take uploads"],
  ],
  [
    "all at one provider: everything hangs on it; the region of one server is that server again",
    factsOf({ a: [at("aws", "x", "a"), at("aws", "y", "b"), at("aws", "y", "c")] }, {
      objects: 5n,
      bytes: 5000n,
      risks: [
        { kind: "provider", name: "aws", lostObjects: 5n, lostBytes: 5000n },
        { kind: "server", name: "a", lostObjects: 1n, lostBytes: 1n },
        { kind: "region", name: "aws/x", lostObjects: 1n, lostBytes: 1n },
      ],
    }),
    [
      "warn if provider aws (a, b, c) vanished (everything would be lost: 5 objects (5 kB) as all origins are of this provider; put an origin at another provider)",
      "bad if a vanished (1 object (1 B) is on no other server; let others",
    ],
    [/if region aws/, /nothing would be lost/],
  ],
  [
    "operators and jurisdictions are groups; who tells none is named",
    factsOf({
      a: [at("p", "x", "a", { operator: "us-co" }), at("q", "y", "b", { operator: "us-co" }), at("r", "z", "c")],
    }, {
      objects: 5n,
      risks: [{ kind: "operator", name: "us-co", lostObjects: 1n, lostBytes: 7n, examples: ["/a\u001b[2J"] }],
    }),
    [
      "warn if operator us-co (a, b) vanished (1 object (7 B) is on no server outside it, such as /a?[2J; put an origin at another operator)",
      "warn c tell no operator",
    ],
    [/tell no jurisdiction/],
  ],
  [
    "what a server wrote that is no longer on the list",
    factsOf({ a: [self("a"), as("b", "alive")] }, {
      objects: 5n,
      risks: [{ kind: "server", name: "gone", lostObjects: 1n }],
    }),
    [/^bad if gone vanished .*it is no origin on the list/],
  ],
  ["nobody can tell", factsOf({ a: [self("a"), as("b", "alive")] }, "a answered 404"), [
    "bad what would be lost cannot be told (a answered 404)",
  ]],
];

for (const [what, facts, includes, excludes = []] of table) {
  Deno.test(`doctor: ${what}`, () => {
    const lines = said(facts);
    const has = (part: string | RegExp) =>
      lines.some((line) => typeof part === "string" ? line.startsWith(part) : part.test(line));
    for (const part of includes) assert(has(part), `no ${part} in\n${lines.join("\n")}`);
    for (const part of excludes) assert(!has(part), `${part} in\n${lines.join("\n")}`);
  });
}

Deno.test("the clock of a Date field: half the round trip and half a second off at most", () => {
  const date = "Wed, 25 Nov 2026 12:00:00 GMT";
  assertEquals(skewOf(date, NOON, NOON + 400), { ms: 300, errorMs: 700 });
  assertEquals(skewOf(date, NOON + 60_000, NOON + 60_000), { ms: -59_500, errorMs: 500 });
  assertEquals([skewOf(null, 0, 0), skewOf("yesterday", 0, 0)], [null, null]);
});

Deno.test("clocks: what is sure counts; where all differ alike, it is ours", () => {
  const judge = (...skews: number[]) => {
    const facts = factsOf({ a: [self("a")] });
    facts.listed = new Map(skews.map((ms, at) => [`s${at}`, answer("", { skew: { ms, errorMs: 600 } })]));
    return checkClocks(facts).map(({ level, what }) => `${level} ${what}`);
  };
  assertEquals(judge(1500, -900, 0), ["ok clocks agree"]);
  assertEquals(judge(5000, 0), ["warn s0's clock is 5 s ahead"]);
  assertEquals(judge(0, -400_000), ["bad s1's clock is 6 min behind"]);
  assertEquals(judge(60_000, 60_200), ["warn this machine's clock is 60 s behind all servers"]);
  assertEquals(judge(-60_000, -60_200, -59_900), ["warn this machine's clock is 60 s ahead of all servers"]);
  assertEquals(judge(60_000), ["warn s0's clock is 60 s ahead"]);
  assertEquals(judge(), []);
});

Deno.test("metacdn doctor reads the clock of a server from its Date field", async () => {
  await using a = startFakeServer([self("a"), record("b")]);
  a.intercept = ({ url }) => {
    if (!url.endsWith("readyz")) return undefined;
    return new Response("ok\n", { headers: { date: new Date(Date.now() + 3600_000).toUTCString() } });
  };
  const { status, out } = await run("--server", a.url);
  assertEquals(status, 1);
  assertMatch(out, /^bad +a's clock is 60 min ahead/m);
});

Deno.test("certificates: expired, not valid yet, near the end, good, none of one", () => {
  const from = Date.UTC(2026, 10, 1), to = Date.UTC(2027, 0, 30); // as in the certificate below
  const secure = (certificate: Uint8Array<ArrayBuffer>, url = "https://a.example") =>
    factsOf({ a: [record("a", { url, certificate })] });
  const judge = (atMs: number) =>
    checkCertificates(secure(CERTIFICATE), atMs).map(({ level, what }) => `${level} ${what}`);
  assertEquals(judge(from - DAY), ["bad a's certificate is not valid yet"]);
  assertEquals(judge(from + DAY), ["ok a's certificate is valid"]);
  assertEquals(judge(to - 15 * DAY), ["ok a's certificate is valid"]);
  assertEquals(judge(to - 13 * DAY), ["warn a's certificate expires in 13 d"]);
  assertEquals(judge(to + 1), ["bad a's certificate has expired"]);
  assertEquals(checkCertificates(secure(new Uint8Array([1, 2, 3])), NOON).map(({ level }) => level), ["bad"]);
  assertEquals(checkCertificates(secure(new Uint8Array()), NOON), []);
  assertEquals(checkCertificates(secure(CERTIFICATE, "http://a.example"), to + DAY), []);
});

/** Ed25519, self-signed, CN=a, from 1 November 2026 to 30 January 2027; its key is thrown away. */
const CERTIFICATE = Uint8Array.fromBase64(
  "MIHSMIGFAhQfCIvcovnzSXS616fv3mbxu89p0DAFBgMrZXAwDDEKMAgGA1UEAwwBYTAeFw0yNjExMDEwMDAwMDBaFw0yNzAxMzAw" +
    "MDAwMDBaMAwxCjAIBgNVBAMMAWEwKjAFBgMrZXADIQB2HraUhoK7WYSgcmG+GbgMXG3oSnOP5TjCNrG+fdexsTAFBgMrZXADQQDB" +
    "rXuoYmVDj8NZpgRuMpu2HzrgB6KWKW+FzTpPtW/TyEkqmbAdt2lMGjaikUWM0RBWu9nBQ8QvAEqPx2GOb2QH",
);
