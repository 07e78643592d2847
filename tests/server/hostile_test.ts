/** A whole server with secrets, and one that has the cluster key and means ill: each try ends with a clear error. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { protobufCodec, wire } from "../../proto/mod.ts";
import { recordBytes } from "../../proto/record_signature.ts";
import { openIdentityKey } from "../../runtime/identity_key.ts";
import { randomNonce, signRequest } from "../../runtime/signature.ts";
import { drained, eventually, startTestServer, tempDir, type TestServer } from "../kit/mod.ts";
import { quick } from "./cluster/node.ts";

const secrets = { token: "a-token-for-tests-only", clusterKey: new TextEncoder().encode("a cluster key for tests") };

/** A server of no good: it has the cluster key and a key of its own. */
async function openEvil(folder: string, id = "evil") {
  const key = await openIdentityKey(folder);
  const identity = { id, key, certificate: null };
  return {
    /** Its signed record of itself. */
    record(change: Partial<wire.Server> = {}): wire.Server {
      const record = create(
        wire.ServerSchema,
        {
          id,
          url: "http://203.0.113.7:8080",
          provider: "aws",
          region: "us-east-1",
          role: "origin",
          publicKey: key.publicKey,
          updated: create(wire.VersionSchema, { wallMs: BigInt(Date.now()), counter: 0, server: id }),
          ...change,
        } as Partial<wire.Server> & { $typeName: never },
      );
      record.signature = key.sign(recordBytes(record));
      return record;
    },
    /** Sends a message, signed as it should be unless `meddle` changes it. */
    async send<Desc extends DescMessage>(
      server: TestServer,
      name: string,
      schema: Desc,
      message: MessageShape<Desc>,
      meddle: (request: { body: Uint8Array<ArrayBuffer>; headers: Record<string, string> }) => void = () => {},
    ): Promise<{ status: number; detail: string }> {
      const url = `${server.url}/-/v1/peer/${name}`;
      const body = protobufCodec.encode(schema, message);
      const signed = signRequest({ method: "POST", url, body }, {
        key: secrets.clusterKey,
        identity,
        introduce: true,
        nowMs: Date.now(),
        nonce: randomNonce(),
      });
      const request = { body, headers: { "content-type": protobufCodec.mediaType, ...signed } };
      meddle(request);
      const response = await fetch(url, { method: "POST", ...request });
      const text = await response.text();
      return { status: response.status, detail: response.ok ? "" : JSON.parse(text).detail };
    },
  };
}

/** The list as people and programs are shown it. */
async function listed(server: TestServer): Promise<wire.ServerList["servers"]> {
  const headers = { accept: protobufCodec.mediaType };
  const response = await server.fetch("/-/v1/servers", { headers });
  return protobufCodec.decode(wire.ServerListSchema, await response.bytes()).servers;
}

const list = (...servers: wire.Server[]) => create(wire.ServerListSchema, { servers });

Deno.test("whatever servers signed and sent is taken once: played again, each call is a 401", async () => {
  const sent: { url: string; init: RequestInit }[] = [];
  const recording = (async (url: string, init: RequestInit) => {
    const response = await fetch(url, init);
    if (response.ok) {
      const { method, headers, body } = init;
      sent.push({ url, init: { ...(method && { method }), headers: headers!, ...(body && { body }) } });
    }
    return response;
  }) as typeof fetch;
  await using a = await startTestServer({ id: "a", secrets, cluster: quick, fetch: recording });
  await using b = await startTestServer({ id: "b", secrets, cluster: quick, fetch: recording, peers: [a.url] });
  await eventually(async () => (await listed(a)).length === 2, { what: "a knows b" });
  for (const server of [a, b]) await drained(server.fetch(`/of-${server.id}`, { method: "PUT", body: server.id }));
  await drained(a.fetch("/-/v1/durability"));
  // A server that comes late, with something of its own, is compared with.
  await using c = await startTestServer({ id: "c", secrets, cluster: quick, fetch: recording });
  await drained(c.fetch("/of-c", { method: "PUT", body: "c" }));
  await drained(a.fetch("/-/v1/servers", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ url: c.url }),
  }));
  const names = ["ping", "servers", "offers", "tree", "manifests", "lacks", "bodies"];
  const namesOf = () => new Set(sent.map(({ url }) => new URL(url).pathname.split("/")[4]!));
  await eventually(async () => {
    await drained(c.fetch("/-/v1/durability"));
    return names.every((name) => namesOf().has(name));
  }, { what: "every call was made" });
  const before = await listed(a);
  for (const name of names) {
    const { url, init } = sent.find(({ url }) => url.includes(`/peer/${name}`))!;
    const again = await fetch(url, init);
    assertEquals(again.status, 401, name);
    assertStringIncludes((await again.json()).detail, "played already", name);
  }
  assertEquals((await listed(a)).map(({ id }) => id), before.map(({ id }) => id));
});

Deno.test("a call whose body, signature or key is not the right one is a 401, and nothing of it is taken", async () => {
  await using dir = await tempDir();
  await using a = await startTestServer({ id: "a", secrets, cluster: quick });
  const evil = await openEvil(dir.path);
  const message = list(evil.record());
  const send = (meddle: Parameters<typeof evil.send>[4]) =>
    evil.send(a, "servers", wire.ServerListSchema, message, meddle);
  const changes: Record<string, Parameters<typeof evil.send>[4]> = {
    "another body": (request) => request.body = protobufCodec.encode(wire.ServerListSchema, list()),
    "one byte more": (request) => request.body = new Uint8Array([...request.body, 0]),
    "another signature": ({ headers }) => headers["signature"] = headers["signature"]!.replace(/[A-Za-z]/g, "A"),
    "no signature": ({ headers }) => {
      delete headers["signature"];
      delete headers["signature-input"];
    },
  };
  for (const [what, change] of Object.entries(changes)) assertEquals((await send(change)).status, 401, what);
  assertEquals((await listed(a)).map(({ id }) => id), ["a"]);
  assertEquals((await send(() => {})).status, 200);
  assertEquals((await listed(a)).map(({ id }) => id), ["a", "evil"]);
  // Another one under the id that is taken now.
  await using other = await tempDir();
  const twin = await openEvil(other.path);
  const refused = await twin.send(a, "servers", wire.ServerListSchema, list(twin.record()));
  assertEquals(refused.status, 401);
});

Deno.test("messages of half a million entries are refused by their size, or by the count that is allowed", async () => {
  await using dir = await tempDir();
  await using a = await startTestServer({ id: "a", secrets, cluster: quick });
  const evil = await openEvil(dir.path);
  await evil.send(a, "servers", wire.ServerListSchema, list(evil.record()));
  const word = create(wire.LivenessSchema, { id: "a", state: wire.Liveness_State.DEAD, incarnation: 1n });
  const manifest = create(wire.ManifestSchema, { path: "/a/path/of/some/length" });
  const url = "http://203.0.113.7:8080";
  const tries: [what: string, status: number, Promise<{ status: number; detail: string }>][] = [];
  for (const count of [500_000, 4097]) {
    const status = count > 100_000 ? 413 : 400;
    const ping = create(wire.PingSchema, { from: "evil", target: "a", news: Array(count).fill(word) });
    tries.push([`${count} pieces of news`, status, evil.send(a, "ping", wire.PingSchema, ping)]);
    const tree = create(wire.TreeQuestionSchema, { from: "evil", nodes: Array(count).fill("0123456789ab") });
    tries.push([`${count} nodes`, status, evil.send(a, "tree", wire.TreeQuestionSchema, tree)]);
    const offer = create(wire.OfferSchema, { from: "evil", url, manifests: Array(count).fill(manifest) });
    tries.push([`${count} manifests`, status, evil.send(a, "offers", wire.OfferSchema, offer)]);
  }
  const members = list(...Array.from({ length: 20_000 }, () => evil.record()));
  tries.push(["20000 servers", 400, evil.send(a, "servers", wire.ServerListSchema, members)]);
  const one = create(wire.OfferSchema, { from: "evil", url, manifests: Array(1001).fill(manifest) });
  tries.push(["1001 manifests", 400, evil.send(a, "offers", wire.OfferSchema, one)]);
  for (const [what, status, answer] of tries) {
    const got = await answer;
    assertEquals(got.status, status, `${what}: ${got.detail}`);
    assert(got.detail.length > 10, what);
  }
  const fine = create(wire.PingSchema, { from: "evil", target: "a" });
  assertEquals((await evil.send(a, "ping", wire.PingSchema, fine)).status, 200);
});

Deno.test("a list with addresses of this machine, or of the cloud's metadata: refused, marked, and nobody is asked there", async () => {
  await using dir = await tempDir();
  const asked: string[] = [];
  await using a = await startTestServer({
    id: "a",
    secrets,
    cluster: quick,
    start: false,
    fetch: ((url: string) => {
      asked.push(new URL(url).host);
      return Promise.reject(new TypeError("nobody is there"));
    }) as typeof fetch,
  });
  // It is reached by this name; its own URL is no loopback address.
  a.server.start("http://cdn-a.example:8080", []);
  const evil = await openEvil(dir.path);
  const own = ["http://localhost:8080", "http://169.254.169.254", "http://[::1]:1", "http://cdn-a.example:8080"];
  for (const url of own) {
    const refused = await evil.send(a, "servers", wire.ServerListSchema, list(evil.record({ url })));
    assertEquals(refused.status, 403, url);
    assertStringIncludes(refused.detail, url);
  }
  assertEquals((await listed(a)).map(({ id }) => id), ["a"]);
  // In a list whose first record is right.
  await using others = await tempDir();
  const friend = await openEvil(others.path, "friend");
  const records = ["http://metadata.google.internal", "http://100.100.100.200", "http://127.1:80"]
    .map((url) => friend.record({ url }));
  for (const record of records) {
    const answer = await evil.send(a, "servers", wire.ServerListSchema, list(evil.record(), record));
    assertEquals(answer.status, 200, record.url);
    const marks = (await listed(a)).find(({ id }) => id === "evil")!.health!.marks;
    assertStringIncludes(marks[0]!.reason, `the record of friend has the URL ${record.url}`);
  }
  assertEquals((await listed(a)).map(({ id }) => id), ["a", "evil"]);
  await eventually(() => asked.length > 3, { what: "it asks whom it may" });
  assertEquals([...new Set(asked)], ["203.0.113.7:8080"]);
});
