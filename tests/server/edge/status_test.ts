/** What an operator sees of an edge: what is counted, and where it is told. */
import { assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { CdnError, codecOf, wire } from "../../../proto/mod.ts";
import { createOrigins, loopGuard } from "../../../server/edge/origins/mod.ts";
import { createMemoryCache } from "../../../server/edge/cache/mod.ts";
import { defaultEdgeLimits, Edge } from "../../../server/edge/edge.ts";
import { edgeMetrics } from "../../../server/edge/metrics.ts";
import { edgeStatus } from "../../../server/edge/status.ts";
import { silentLogger } from "../../../runtime/log.ts";
import { drained, eventually, freePorts, startTestServer, type TestServer } from "../../kit/mod.ts";
import type { TestServerOptions } from "../../kit/test_server.ts";
import { FakeServer } from "../../kit/fake_server.ts";
import { rawRequest } from "../../kit/raw_request.ts";
import { asking, got, ManualBody, world } from "./kit.ts";
import { startEdge as startAnyEdge } from "./start_edge.ts";

const token = "a-token-for-tests-only";
const secrets = { token, clusterKey: new TextEncoder().encode("a cluster key for tests only") };
const BODY = "0123456789";
const answerOf = (body: string, fields = 'Cache-Control: max-age=60\r\nETag: "a"\r\n') =>
  `HTTP/1.1 200 OK\r\n${fields}Content-Length: ${body.length}\r\n\r\n${body}`;

/** An edge that may be asked how it fares. */
function startEdge(origin: string, options: Partial<TestServerOptions> = {}): Promise<TestServer> {
  return startAnyEdge(origin, { id: "e", secrets, ...options });
}

async function statusOf(edge: TestServer, encoding: "json" | "protobuf" = "json"): Promise<wire.EdgeStatus> {
  const codec = codecOf(encoding);
  const response = await edge.fetch("/-/v1/edge", { headers: { accept: codec.mediaType } });
  assertEquals([response.status, response.headers.get("content-type")], [200, codec.mediaType]);
  return codec.decode(wire.EdgeStatusSchema, await response.bytes());
}

Deno.test("an edge counts how each request was answered, and the bytes that viewers took", async () => {
  let fails = false;
  await using here = world(({ target }) => {
    if (fails) return { status: 503 };
    const fields: [string, string][] = [["cache-control", "max-age=1, stale-if-error=60"], ["etag", '"a"']];
    return target === "/no-store" ? { fields: [["cache-control", "no-store"]], body: BODY } : { fields, body: BODY };
  });
  const { figures } = here.edge;
  await here.get("/a");
  assertEquals(figures, {
    hits: 0,
    forwarded: { "uri-miss": 1 },
    collapsed: 0,
    staleOnError: 0,
    failed: 0,
    bytesSent: 10,
  });
  await here.get("/a");
  assertEquals([figures.hits, figures.bytesSent], [1, 20]);
  await here.get("/a", [["range", "bytes=2-4"]]);
  assertEquals([figures.hits, figures.bytesSent], [2, 23]);
  await here.get("/a", [["if-none-match", '"a"']]);
  await got(await here.edge.answer(asking("/a", { method: "HEAD" })));
  assertEquals([figures.hits, figures.bytesSent], [4, 23], "neither a 304 nor the answer to HEAD has a body");
  await here.get("/no-store");
  assertEquals([figures.forwarded, figures.bytesSent], [{ "uri-miss": 2 }, 33]);
  await got(await here.edge.answer(asking("/a", { method: "POST" })));
  assertEquals([figures.forwarded, figures.bytesSent], [{ "uri-miss": 2, method: 1 }, 43]);

  await here.get("/a"); // the POST took it out
  here.clock.nowMs += 5000;
  fails = true;
  assertEquals((await here.get("/a")).text, BODY);
  assertEquals([figures.forwarded, figures.staleOnError], [{ "uri-miss": 3, method: 1, stale: 1 }, 1]);
  assertEquals([figures.hits, figures.collapsed, figures.failed], [4, 0, 0], "the origin's own 503 is an answer");
});

Deno.test("an edge counts what is sent ready-made when it is sent, and errors that are not the viewer's", async () => {
  let down = false;
  await using here = world(() => {
    if (down) throw new CdnError("cannot reach it", { source: "origin", status: 502 });
    return { fields: [["cache-control", "max-age=60"]], body: BODY };
  });
  const { figures } = here.edge;
  await here.get("/a");
  await here.get("/a");
  here.edge.hot("/a");
  assertEquals(figures.hits, 1, "it was looked at, and not sent");
  here.edge.sent(10);
  assertEquals([figures.hits, figures.bytesSent], [2, 30]);
  down = true;
  await assertRejects(() => here.get("/b"), CdnError);
  await assertRejects(() => here.get("/b", [["cache-control", "only-if-cached"]]), CdnError);
  await assertRejects(async () => await here.edge.answer(asking("/b", { method: "TRACE" })), CdnError);
  assertEquals([figures.failed, figures.forwarded], [1, { "uri-miss": 1 }]);
});

Deno.test("of a body that a viewer leaves, what he took is counted", async () => {
  const body = new ManualBody().push(BODY);
  await using here = world(() => ({ fields: [["content-length", "1000"], ["cache-control", "max-age=60"]], body }));
  const answered = await here.edge.answer(asking("/film"));
  const source = answered.body as ManualBody;
  assertEquals(await source.read(new Uint8Array(4)), 4);
  source.cancel();
  assertEquals(here.edge.figures.bytesSent, 4);
  body.fail();
});

for (const front of [true, false]) {
  Deno.test(`GET /-/v1/edge tells what an edge did, ${front ? "by the front" : "by Deno.serve"}`, async () => {
    await using origin = FakeServer.answering(answerOf(BODY));
    await using edge = await startEdge(origin.url, { front });
    // Not `fetch`, which adds Cache-Control to a condition of ours.
    const ask = async (method: string, field = "") => {
      const { status, body } = await rawRequest(
        edge.port,
        `${method} /a HTTP/1.1\r\nHost: x\r\n${field}Connection: close\r\n\r\n`,
      );
      return `${status} ${body}`;
    };
    // From the origin, from the cache, and then ready-made.
    for (let times = 0; times < 4; times++) assertEquals(await ask("GET"), `200 ${BODY}`);
    assertEquals(await ask("GET", 'If-None-Match: "a"\r\n'), "304 ");
    assertEquals(await ask("GET", 'If-None-Match: "b"\r\n'), `200 ${BODY}`);
    assertEquals(await ask("HEAD"), "200 ");
    const status = await statusOf(edge);
    const { $typeName: _, origins, cache, sinceMs, ...rest } = status;
    assertEquals(rest, {
      id: "e",
      hits: 6n,
      forwarded: { "uri-miss": 1n },
      collapsed: 0n,
      staleOnError: 0n,
      failed: 0n,
      bytesToViewers: 50n,
      bytesFromOrigins: 10n,
      bytesFromSiblings: 0n,
      siblingRequests: 0n,
      siblingFailures: 0n,
      waitingForPurges: false,
      staleBeforeMs: 0n,
    });
    assertEquals(sinceMs > 0n, true);
    assertEquals(origins.map(({ url, healthy, requests, bytes }) => [url, healthy, requests, bytes]), [
      [origin.url, true, 1n, 10n],
    ]);
    assertEquals([cache!.entries, cache!.diskLimit, cache!.memoryLimit, cache!.hotLimit, cache!.diskFails], [
      1n,
      BigInt(64 << 20),
      BigInt(8 << 20),
      BigInt(8 << 20),
      false,
    ]);
    assertEquals(cache!.hotBytes > 10n, true, "the finished answer");
    assertEquals((await statusOf(edge, "protobuf")).hits, 6n);
  });
}

Deno.test("requests that come together are counted each, once", async () => {
  await using origin = FakeServer.answering(answerOf(BODY));
  await using edge = await startEdge(origin.url);
  for (let times = 0; times < 2; times++) await drained(fetch(`${edge.url}/a`));
  const line = (method: string, fields = "") => `${method} /a HTTP/1.1\r\nHost: x\r\n${fields}\r\n`;
  using conn = await Deno.connect({ hostname: "127.0.0.1", port: edge.port });
  const all = line("GET") + line("HEAD") + line("GET", 'If-None-Match: "a"\r\n') + line("GET") +
    line("GET", "Connection: close\r\n");
  await conn.write(new TextEncoder().encode(all));
  const text = await new Response(conn.readable).text();
  assertEquals(text.match(/HTTP\/1.1 (200|304)/g)?.length, 5);
  const { hits, bytesToViewers } = await statusOf(edge);
  assertEquals([hits, bytesToViewers], [6n, 50n]);
});

Deno.test("GET /-/metrics tells the same to Prometheus; both need the token, and an edge", async () => {
  await using origin = FakeServer.answering(answerOf(BODY));
  await using edge = await startEdge(origin.url);
  await using other = await startTestServer({ secrets });
  await drained(fetch(`${edge.url}/a`));
  const response = await edge.fetch("/-/metrics");
  assertEquals(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  const text = await response.text();
  assertStringIncludes(text, 'metacdn_edge_requests_total{result="uri-miss"} 1\n');
  assertStringIncludes(text, `metacdn_edge_origin_bytes_total{origin="${origin.url}"} 10\n`);
  assertEquals(await (await edge.fetch("/-/metrics", { method: "HEAD" })).text(), "");
  for (const path of ["/-/v1/edge", "/-/metrics"]) {
    assertEquals((await drained(edge.fetch(path, { headers: { authorization: "Bearer no" } }))).status, 401, path);
    assertEquals((await drained(edge.fetch(path, { method: "POST" }))).status, 405, path);
    const none = await other.fetch(path);
    assertEquals(none.status, 404, path);
    assertStringIncludes((await none.json()).detail, "This server is no edge");
  }
});

Deno.test("metrics: each family once, with help and type, its samples behind it, and labels escaped", async () => {
  await using cache = createMemoryCache({ memoryBytes: 8 << 20 });
  const origins = createOrigins({ urls: ["http://a.example", "https://b.example"] });
  const edge = new Edge({
    cache,
    origins,
    signature: { name: "e", pseudonym: "e" },
    loopGuard: loopGuard("e"),
    rules: { heuristicShare: 0.1, heuristicMostMs: 1, staleOnErrorMs: 0 },
    limits: defaultEdgeLimits,
    now: () => 0,
    log: silentLogger,
  });
  const figures = { ...edge.figures, hits: 7, forwarded: { stale: 2, "uri-miss": 3 }, bytesSent: 2 ** 40 };
  const status = edgeStatus({
    id: "e",
    sinceMs: 1500,
    figures,
    cache: cache.figures(),
    hot: { bytes: 5, limit: 10 },
    origins: origins.states(),
    siblings: { requests: 3, failures: 1, bytes: 9 },
    gate: { waiting: null, staleBeforeMs: 2500 },
  });
  origins.close();
  status.origins[1]!.url = 'x"\\\n';
  const text = edgeMetrics(status);
  assertEquals(text.endsWith("\n"), true);
  let family = "";
  const seen = new Set<string>();
  for (const line of text.trimEnd().split("\n")) {
    const [, kind, name, rest] = /^# (HELP|TYPE) (\w+) (.+)$/.exec(line) ?? [];
    if (kind === "HELP") {
      assertEquals(seen.has(name!), false, name);
      seen.add(family = name!);
    } else if (kind === "TYPE") {
      assertEquals([name, rest === "counter"], [family, family.endsWith("_total")]);
    } else {
      assertMatch(line, /^[a-z_]+(\{[a-z]+="([^"\\\n]|\\["\\n])*"\})? \d+(\.\d+)?$/);
      assertEquals(line.startsWith(`${family}{`) || line.startsWith(`${family} `), true, line);
    }
  }
  for (
    const line of [
      'metacdn_edge_requests_total{result="hit"} 7',
      'metacdn_edge_requests_total{result="stale"} 2',
      'metacdn_edge_requests_total{result="failed"} 0',
      "metacdn_edge_viewer_bytes_total 1099511627776",
      'metacdn_edge_origin_up{origin="http://a.example"} 1',
      'metacdn_edge_origin_up{origin="x\\"\\\\\\n"} 1',
      "metacdn_edge_cache_disk_up 1",
      'metacdn_edge_cache_bytes{tier="hot"} 5',
      "metacdn_edge_sibling_failures_total 1",
      "metacdn_edge_stale_before_timestamp_seconds 2.5",
      "metacdn_edge_start_time_seconds 1.5",
    ]
  ) assertStringIncludes(text, `${line}\n`);
});

Deno.test("with all origins out an edge stays ready, says so, and serves what it has", async () => {
  await using origin = FakeServer.answering(answerOf(BODY));
  await using edge = await startEdge(origin.url);
  await eventually(async () => (await drained(edge.fetch("/-/readyz"))).status === 200);
  assertEquals(await (await edge.fetch("/-/readyz")).text(), "ok\n");
  await drained(fetch(`${edge.url}/a`));
  origin.kill();
  await eventually(async () => {
    await drained(fetch(`${edge.url}/b`));
    return !(await statusOf(edge)).origins[0]!.healthy;
  });
  const ready = await edge.fetch("/-/readyz");
  assertEquals([ready.status, await ready.text()], [200, "ok\nevery origin is out: what is stored is served\n"]);
  assertEquals((await drained(fetch(`${edge.url}/a`))).status, 200);
  const { origins, failed } = await statusOf(edge);
  assertEquals(failed > 0n, true);
  assertMatch(origins[0]!.reason, /./);
  assertMatch(await (await edge.fetch("/-/metrics")).text(), /^metacdn_edge_origin_up\{.*\} 0$/m);
});

Deno.test("an edge is ready once it knows what was purged, or nobody tells", async () => {
  await using origin = FakeServer.answering(answerOf(BODY));
  // It has another to ask, which is not there: until it gives up it is not ready.
  const peers = deadPeer();
  await using patient = await startEdge(origin.url, { peers, purges: { startMs: 3_600_000 } });
  await using hasty = await startEdge(origin.url, { peers, purges: { startMs: 1 } });
  await eventually(async () => (await drained(hasty.fetch("/-/readyz"))).status === 200);
  const { waitingForPurges, staleBeforeMs } = await statusOf(hasty);
  assertEquals([waitingForPurges, staleBeforeMs > 0n], [false, true]);
  const refused = await patient.fetch("/-/readyz");
  assertEquals(refused.status, 503);
  assertStringIncludes((await refused.json()).detail, "Not ready: starting");
  assertEquals((await statusOf(patient)).waitingForPurges, true);
});

function deadPeer(): string[] {
  const [port] = freePorts(1);
  return [`http://127.0.0.1:${port}`];
}
