/** Purging through whole servers: over HTTP, signed, from disk to disk. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { create } from "@bufbuild/protobuf";
import { codecOf, type Encoding, jsonCodec, wire } from "../../../proto/mod.ts";
import type { Secrets } from "../../../runtime/guard.ts";
import { drained, eventually, startTestServer, tempDir, type TestServer } from "../../kit/mod.ts";
import { quick } from "../cluster/node.ts";
import { FakeCache } from "./purge_world.ts";

const secrets: Secrets = {
  token: "a-token-for-tests-only",
  clusterKey: new TextEncoder().encode("a cluster key for tests only"),
};
const emptyCache = () => new FakeCache(() => Promise.resolve());
const fill = (cache: FakeCache, ...keys: string[]) => {
  for (const key of keys) cache.put(key, "old", ["t"]);
};

async function ask(server: TestServer, request: unknown, encoding: Encoding = "json"): Promise<wire.PurgeReport> {
  const codec = codecOf(encoding);
  const response = await server.fetch("/-/v1/purge", {
    method: "POST",
    headers: { "content-type": codec.mediaType, accept: codec.mediaType },
    body: codec.encode(wire.PurgeRequestSchema, create(wire.PurgeRequestSchema, request as never)),
  });
  assertEquals(response.status, 200);
  return codec.decode(wire.PurgeReportSchema, await response.bytes());
}

async function alive(server: TestServer, ...states: string[]): Promise<void> {
  await eventually(async () => {
    const { servers } = jsonCodec.decode(
      wire.ServerListSchema,
      await (await server.fetch("/-/v1/servers")).bytes(),
    );
    return servers.map(({ health }) => health!.state).sort().join() === states.sort().join();
  });
}

for (const encoding of ["json", "protobuf"] as const) {
  Deno.test(`servers purge together, and one that was away at its start (${encoding})`, async () => {
    await using folder = await tempDir();
    const common = { secrets, codec: codecOf(encoding), cluster: quick };
    const caches = [emptyCache(), emptyCache()];
    await using origin = await startTestServer({ ...common, id: "origin" });
    const peers = [origin.url];
    await using one = await startTestServer({ ...common, id: "one", role: "edge", peers, cache: caches[0]! });
    const data = join(folder.path, "two");
    const options = { ...common, id: "two", role: "edge", peers: [one.url], data, cache: caches[1]! } as const;
    {
      await using _two = await startTestServer(options);
      await alive(origin, "self", "alive", "alive");
      // A new log begins with an empty cache.
      await eventually(() => caches.every(({ purges }) => purges.length === 1));
      fill(caches[0]!, "/x", "/y");
      fill(caches[1]!, "/x", "/y", "/z");
      const report = await ask(origin, { urls: ["https://cdn.example/x"] }, encoding);
      assertEquals(
        report.members.map(({ id, acknowledged, removed, error }) => [id, acknowledged, Number(removed), error]),
        [["origin", true, 0, ""], ["one", true, 1, ""], ["two", true, 1, ""]],
      );
      assert(report.version?.server === "origin" && report.tookMs > 0);
    }
    await alive(origin, "self", "alive", "left");
    const report = await ask(one, { tags: ["t"], soft: true }, encoding);
    assertEquals(
      report.members.map(({ id, acknowledged, removed, state }) => [id, acknowledged, Number(removed), state]),
      [["one", true, 1, "self"], ["origin", true, 0, "alive"], ["two", false, 0, "left"]],
    );
    assertEquals([...caches[1]!.stored.keys()], ["/y", "/z"]);
    await using _two = await startTestServer(options);
    await eventually(() => caches[1]!.stored.size === 0);
    assertEquals(caches[1]!.purges.at(-1)!.soft, true);
  });
}

Deno.test("purging needs the token, and takes only what it understands", async () => {
  await using server = await startTestServer({ secrets, id: "a" });
  const post = (body: string, headers: Record<string, string> = {}) =>
    server.fetch("/-/v1/purge", { method: "POST", body, headers: { "content-type": "application/json", ...headers } });
  assertEquals((await drained(post('{"urls":["/x"]}', { authorization: "Bearer wrong" }))).status, 401);
  assertEquals((await drained(server.fetch("/-/v1/purge"))).status, 405);
  const many = (count: number, one: string) => JSON.stringify(Array.from({ length: count }, () => one));
  const table: [string, string][] = [
    ["{}", "must name something"],
    ['{"urls":["x"]}', "urls[0]"],
    ['{"urls":["ftp://h/x"]}', "urls[0]"],
    ['{"urls":["/a b"]}', "urls[0]"],
    ['{"urls":["/\u00e9"]}', "urls[0]"],
    ['{"prefixes":["x"]}', "prefixes[0]"],
    ['{"prefixes":[""]}', "prefixes[0]"],
    ['{"tags":["a,b"]}', "tags[0]"],
    ['{"tags":["a b"]}', "tags[0]"],
    ['{"tags":[""]}', "tags[0]"],
    [`{"urls":${many(10_001, "/x")}}`, "at most 10000"],
    [`{"tags":${many(1_001, "x")}}`, "at most 1000"],
    [`{"prefixes":${many(1_001, "/x")}}`, "at most 1000"],
    [`{"urls":${many(1, `/${"x".repeat(8192)}`)}}`, "urls[0]"],
    [`{"urls":${many(200, `/${"x".repeat(8000)}`)}}`, "1048576 characters"],
    ['{"url":["/x"]}', "url"],
  ];
  for (const [body, part] of table) {
    const response = await post(body);
    assertEquals(response.status, 400, body.slice(0, 100));
    assertStringIncludes(await response.text(), part);
  }
  assertEquals((await drained(post(`{"urls":${many(10_000, "/x")},"soft":true}`))).status, 200);
});
