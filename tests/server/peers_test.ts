import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import { formatEntityTag, jsonCodec, protobufCodec, wire } from "../../proto/mod.ts";
import { sha256 } from "../../runtime/signature.ts";
import { memoryStore } from "../../server/store/mod.ts";
import { drained, eventually, startTestServer } from "../kit/mod.ts";

Deno.test("a body by its digest: whole, from anywhere on, and never another one", async () => {
  await using server = await startTestServer();
  for (const size of [0, 1, 2, 1000, 70_001]) {
    const bytes = Uint8Array.from({ length: size }, (_, at) => at * 31);
    await drained(server.fetch(`/${size}`, { method: "PUT", body: bytes }));
    const digest = sha256(bytes);
    const get = (headers: Record<string, string> = {}, method = "GET") =>
      server.fetch(`/-/v1/peer/bodies/${digest}`, { headers, method });
    const whole = await get();
    assertEquals([whole.status, whole.headers.get("content-length")], [200, String(size)]);
    assertEquals(whole.headers.get("etag"), formatEntityTag(digest));
    assertEquals(await whole.bytes(), bytes);
    const head = await get({}, "HEAD");
    assertEquals([head.status, head.headers.get("content-length")], [200, String(size)]);
    const beyond = await drained(get({ range: `bytes=${size}-` }));
    assertEquals([beyond.status, beyond.headers.get("content-range")], [416, `bytes */${size}`]);
    if (size < 2) continue;
    const rest = await get({ range: "bytes=1-", "if-range": formatEntityTag(digest) });
    assertEquals([rest.status, rest.headers.get("content-range")], [206, `bytes 1-${size - 1}/${size}`]);
    assertEquals(await rest.bytes(), bytes.subarray(1));
    const other = await get({ range: "bytes=1-", "if-range": '"other"' });
    assertEquals([other.status, (await other.bytes()).length], [200, size]);
  }
  for (
    const [name, status] of [["0".repeat(64), 404], ["x", 400], ["..", 404], ["%2e%2e%2fserver.json", 400]] as const
  ) {
    const response = await drained(server.fetch(`/-/v1/peer/bodies/${name}`));
    assertEquals(response.status, status, name);
  }
});

Deno.test("a probe sends as many bytes as were asked for, and they do not compress", async () => {
  await using server = await startTestServer();
  for (const bytes of [0, 1, 100_000, 4 << 20]) {
    const response = await server.fetch(`/-/v1/peer/probe?bytes=${bytes}`);
    assertEquals([response.status, response.headers.get("cache-control")], [200, "no-store"]);
    const body = await response.bytes();
    assertEquals(body.length, bytes);
    if (bytes < 1000) continue;
    const packed = new Response(new Blob([body]).stream().pipeThrough(new CompressionStream("gzip")));
    assert((await packed.bytes()).length > bytes * 0.99);
  }
  for (const bytes of ["", "-1", "1e3", String((4 << 20) + 1), "99999999999"]) {
    const response = await drained(server.fetch(`/-/v1/peer/probe?bytes=${bytes}`));
    assertEquals(response.status, 400, bytes);
  }
});

Deno.test("servers are added, told of, and taken off, in both encodings", async () => {
  await using a = await startTestServer({ id: "a", provider: "aws", region: "us-east-1", labels: { tier: "1" } });
  await using b = await startTestServer({ id: "b" });
  for (const codec of [jsonCodec, protobufCodec]) {
    const body = codec.encode(wire.AddServerSchema, create(wire.AddServerSchema, { url: b.url }));
    const headers = { "content-type": codec.mediaType, accept: codec.mediaType };
    const added = await a.fetch("/-/v1/servers", { method: "POST", body, headers });
    assertEquals([added.status, added.headers.get("location")], [201, "/-/v1/servers/b"]);
    assertEquals(codec.decode(wire.ServerSchema, await added.bytes()).url, b.url);
    const list = codec.decode(wire.ServerListSchema, await (await a.fetch("/-/v1/servers", { headers })).bytes());
    assertEquals(list.servers.map(({ id }) => id), ["a", "b"]);
    const { provider, region, labels, health } = list.servers[0]!;
    assertEquals([provider, region, labels, health?.state], ["aws", "us-east-1", { tier: "1" }, "self"]);
  }
  await eventually(async () => (await (await b.fetch("/-/v1/servers/a")).json()).url === a.url, {
    what: "b to know a",
  });
  const itself = await drained(a.fetch("/-/v1/servers/a", { method: "DELETE" }));
  assertEquals(itself.status, 409);
  assertEquals((await drained(a.fetch("/-/v1/servers/b", { method: "DELETE" }))).status, 204);
  for (const method of ["GET", "DELETE"]) {
    const response = await drained(a.fetch("/-/v1/servers/b", { method }));
    assertEquals(response.status, 404);
  }
  const nobody = await drained(a.fetch("/-/v1/servers", {
    method: "POST",
    body: JSON.stringify({ url: "http://127.0.0.1:1" }),
    headers: { "content-type": "application/json" },
  }));
  assertEquals(nobody.status, 502);
});

Deno.test("a server without a cluster says so: 501 to what only a cluster can do, and it is alone on its list", async () => {
  await using server = await startTestServer({ id: "alone", store: memoryStore() });
  const headers = { "content-type": "application/json" };
  for (
    const [path, body] of [["/-/v1/servers", { url: server.url }], ["/-/v1/peer/offers", {
      from: "a",
      url: server.url,
    }]] as const
  ) {
    const response = await server.fetch(path, { method: "POST", body: JSON.stringify(body), headers });
    const { detail, retry } = await response.json();
    assertEquals([response.status, retry ?? false], [501, false], path);
    assertStringIncludes(detail, "without one");
  }
  assertEquals((await drained(server.fetch("/-/v1/servers/other", { method: "DELETE" }))).status, 404);
  const { servers } = await (await server.fetch("/-/v1/servers")).json();
  assertEquals(servers.map(({ id }: { id: string }) => id), ["alone"]);
});

Deno.test("a message endpoint says which types it takes, and which size", async () => {
  await using server = await startTestServer({ limits: { peerMessage: 1000 } });
  const post = async (path: string, type: string, body: string) => {
    const response = await drained(server.fetch(path, { method: "POST", body, headers: { "content-type": type } }));
    return [response.status, response.headers.get("accept")];
  };
  const types = "application/json, application/protobuf";
  for (const path of ["/-/v1/uploads", "/-/v1/servers", "/-/v1/peer/servers", "/-/v1/peer/offers"]) {
    assertEquals(await post(path, "text/plain", "{}"), [415, types], path);
    assertEquals((await post(path, "application/json", " ".repeat(2 << 20)))[0], 413, path);
  }
  const chunk = await drained(server.fetch("/-/v1/uploads/x/chunks/0", {
    method: "PUT",
    body: "abc",
    headers: { "content-type": "image/png" },
  }));
  assertEquals([chunk.status, chunk.headers.get("accept")], [415, `${types}, application/octet-stream`]);
});

Deno.test("ready only between start and retirement", async () => {
  await using server = await startTestServer({ start: false });
  const ready = async () => {
    const response = await drained(server.fetch("/-/readyz"));
    return response.status;
  };
  assertEquals(await ready(), 503);
  server.server.start(server.url);
  assertEquals(await ready(), 200);
  await server.server.retire();
  assertEquals(await ready(), 503);
  assertEquals(await (await server.fetch("/-/healthz")).text(), "ok\n");
});
