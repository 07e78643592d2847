import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { checkEdges } from "../../cli/doctor/check_edges.ts";
import { doctor } from "../../cli/doctor.ts";
import { edge } from "../../cli/edge_status.ts";
import { badRequest, CdnError, wire } from "../../proto/mod.ts";
import { UsageError } from "../../runtime/flags.ts";
import { messageResponse } from "../../runtime/message.ts";
import { deadUrls, input, NOON, record, startFakeServer, startProgram, TOKEN } from "./fake_cluster.ts";

type Status = Exclude<MessageInitShape<typeof wire.EdgeStatusSchema>, wire.EdgeStatus>;

const cache = {
  entries: 1234n,
  diskBytes: 5_000_000_000n,
  diskLimit: 20_000_000_000n,
  memoryBytes: 64_000_000n,
  memoryLimit: 256_000_000n,
  hotBytes: 0n,
  hotLimit: 256_000_000n,
  evictions: 1n,
};
const origins = [
  { url: "https://a.example", healthy: true, active: 3, requests: 2000n, failures: 1n, bytes: 1_000_000n },
  { url: "https://b.example", reason: "it answered\u001b[1m 503", waiting: 2, requests: 5n, failures: 5n },
];
const busy: Status = {
  id: "e",
  sinceMs: BigInt(NOON - 3 * 3600_000),
  hits: 7500n,
  forwarded: { stale: 499n, "uri-miss": 2000n },
  collapsed: 30n,
  staleOnError: 1n,
  failed: 1n,
  bytesToViewers: 10_000_000n,
  bytesFromOrigins: 1_000_000n,
  cache,
  origins,
};
const statusOf = (change: Status = {}) => create(wire.EdgeStatusSchema, { ...busy, ...change } as Status);

/** An edge that says this of itself; null: it is none. */
function startEdge(status: Status | null) {
  return startProgram((request) => {
    assertEquals([request.method, new URL(request.url).pathname], ["GET", "/-/v1/edge"]);
    if (request.headers.get("authorization") !== `Bearer ${TOKEN}`) return new Response(null, { status: 401 });
    if (!status) throw badRequest("This server is no edge", { status: 404 });
    return messageResponse(request, wire.EdgeStatusSchema, statusOf(status));
  });
}

async function run(urls: string[], ...argv: string[]) {
  const lines: string[] = [], notes: string[] = [];
  const status = await edge(["--server", urls.join(), ...argv], input, {
    print: (line) => lines.push(line),
    note: (line) => notes.push(line),
    now: () => NOON,
  });
  return { status, notes, lines: lines.map((line) => line.replaceAll(/127\.0\.0\.1:\d+/g, "…")) };
}

Deno.test("metacdn edge shows requests, ratios, cache and origins", async () => {
  await using fake = startEdge({});
  const { status, lines } = await run([fake.url]);
  assertEquals(lines, [
    "e (http://…), up for 3 h, serves from its cache",
    "",
    "requests  10,000",
    "hit        7,500  75.0 %",
    "uri-miss   2,000  20.0 %",
    "stale        499   5.0 %",
    "failed         1   0.0 %",
    "30 requests shared another's answer from the origin",
    "1 request got what is stale, as no origin gave a good answer",
    "",
    "hit ratio       75.0 %",
    "byte hit ratio  90.0 %",
    "bytes           10 MB to viewers, 1 MB from origins",
    "",
    "1,234 stored responses, 1 eviction",
    "disk         5 GB   of 20 GB  25.0 %",
    "memory      64 MB  of 256 MB  25.0 %",
    "ready-made    0 B  of 256 MB   0.0 %",
    "",
    "origin             state    active  waiting  requests  failed  sent  notes",
    "https://a.example  healthy       3        0     2,000       1  1 MB",
    "https://b.example  OUT           0        2         5       5   0 B  it answered?[1m 503",
  ]);
  assertEquals(status, 0);
});

Deno.test("metacdn edge says what it cannot reckon, what other edges gave, and what is wrong", async () => {
  await using fresh = startEdge({ hits: 0n, forwarded: {}, failed: 0n, bytesToViewers: 0n, bytesFromOrigins: 0n });
  const { lines } = await run([fresh.url]);
  assertEquals(lines.slice(2, 5), ["requests  0", "hit       0  -", "failed    0  -"]);
  assertEquals(lines.filter((line) => line.includes("ratio")), ["hit ratio       -", "byte hit ratio  -"]);

  await using ill = startEdge({
    siblingRequests: 1000n,
    siblingFailures: 10n,
    bytesFromSiblings: 10_000_000n,
    staleBeforeMs: BigInt(NOON),
    cache: { ...cache, diskFails: true },
  });
  const told = (await run([ill.url])).lines;
  assertMatch(told[0]!, /takes what it stored before 2026-11-25T12:00:00.000Z for stale/);
  const text = told.join("\n");
  assertMatch(text, /^1,000 requests to other edges, of which 10 failed$/m);
  assertMatch(text, /^byte hit ratio +0\.0 %$/m, "more came than went");
  assertMatch(text, /^bytes +10 MB to viewers, 1 MB from origins, 10 MB from other edges$/m);
  assertMatch(text, /^disk .* FAILS: the cache does without it$/m);

  await using waiting = startEdge({ waitingForPurges: true });
  assertMatch((await run([waiting.url])).lines[0]!, /waits to hear what was purged/);
});

Deno.test("metacdn edge asks each that was named, and fails where one does not tell", async () => {
  await using one = startEdge({ id: "one" });
  await using two = startEdge({ id: "two" });
  await using none = startEdge(null);
  const [dead] = deadUrls(1) as [string];
  const all = await run([one.url, none.url, two.url, dead]);
  assertEquals(all.lines.filter((line) => line.includes("up for")).map((line) => line.slice(0, 3)), ["one", "two"]);
  assertEquals([all.status, all.notes.length], [1, 2]);
  assertMatch(all.notes[0]!, /^metacdn edge: .*This server is no edge/);
  const json = await run([one.url, two.url], "--json");
  assertEquals([json.status, json.notes], [0, []]);
  const told = JSON.parse(json.lines.join("\n")) as { id: string; forwarded: Record<string, string> }[];
  assertEquals(told.map(({ id, forwarded }) => [id, forwarded["uri-miss"]]), [["one", "2000"], ["two", "2000"]]);
  await assertRejects(() => run([dead]), CdnError, "Cannot reach");
  await assertRejects(() => run([none.url]), CdnError, "This server is no edge");
  await assertRejects(() => run([","]), UsageError, "--server must name an edge");
});

Deno.test("metacdn doctor looks at the edges that were named", async () => {
  await using a = startFakeServer([
    record("a", { role: "edge", health: { state: "self" } }),
    record("b", { role: "edge", url: deadUrls(1)[0]! }),
  ]);
  let asked = 0;
  a.intercept = (request) => {
    if (!request.url.endsWith("/-/v1/edge")) return undefined;
    asked++;
    return Promise.resolve(messageResponse(request, wire.EdgeStatusSchema, statusOf()));
  };
  const lines: string[] = [];
  const status = await doctor(["--server", a.url, "--json"], input, {
    print: (line) => lines.push(line),
    note() {},
  });
  const { findings } = JSON.parse(lines.join("\n")) as { findings: { level: string; what: string; why: string }[] };
  assertEquals(findings.filter(({ what }) => what.startsWith("a cannot")), [{
    level: "warn",
    what: "a cannot reach all of its origins",
    why: "https://b.example: it answered?[1m 503",
  }]);
  assertEquals(findings.filter(({ what }) => /there is no origin/.test(what)), [], "they pull what they serve");
  assertEquals([asked, status], [1, 0], "b was not named, and the token is not for it");
});

Deno.test("what doctor finds on an edge", () => {
  const well = { origins: [origins[0]!] };
  const table: [Status, string[]][] = [
    [well, ["ok e reaches its origins, and its cache works"]],
    [{ origins: [origins[1]!] }, ["bad e reaches no origin: it serves what it has stored, and no more"]],
    [{ ...well, cache: { diskFails: true } }, ["warn e's cache cannot use its disk"]],
    [{ ...well, waitingForPurges: true }, ["warn e waits to hear what was purged before it serves from its cache"]],
  ];
  for (const [change, findings] of table) {
    const views = [{ url: "http://e", by: "e", servers: [], edge: statusOf(change), error: "" }];
    assertEquals(checkEdges({ views } as never).map(({ level, what }) => `${level} ${what}`), findings);
  }
  const none = { views: [{ url: "http://e", by: "e", servers: [], edge: null, error: "" }] };
  assertEquals(checkEdges(none as never), []);
});
