/** Every message endpoint takes both encodings by Content-Type and answers in both by Accept. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { create, type DescMessage, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { type Codec, codecOf, formatDigestField, jsonCodec, protobufCodec, wire } from "../../proto/mod.ts";
import { sha256 } from "../../runtime/signature.ts";
import { drained, eventually, startTestServer, tempDir, type TestServer } from "../kit/mod.ts";
import { upload } from "../../upload/mod.ts";

const codecs = [jsonCodec, protobufCodec];

interface Question<Desc extends DescMessage> {
  method?: string;
  send?: [Desc, MessageInitShape<Desc>];
  /** The encoding that the question is in. */
  codec: Codec;
  /** The encoding that the answer must be in. */
  answer?: Codec;
}

/** Asks, and decodes the answer, which must be in the encoding that was asked for. */
async function ask<Answer extends DescMessage, Sent extends DescMessage>(
  server: TestServer,
  path: string,
  schema: Answer,
  { method, send, codec, answer = codec }: Question<Sent>,
): Promise<MessageShape<Answer>> {
  const response = await server.fetch(path, {
    method: method ?? (send ? "POST" : "GET"),
    headers: { accept: answer.mediaType, ...(send ? { "content-type": codec.mediaType } : {}) },
    ...(send ? { body: codec.encode(send[0], create(send[0], send[1])) } : {}),
  });
  const bytes = await response.bytes();
  assert(response.ok, `${path}: ${response.status} ${new TextDecoder().decode(bytes)}`);
  assertEquals(response.headers.get("content-type"), answer.mediaType, path);
  assertEquals(response.headers.get("vary"), "accept", path);
  return answer.decode(schema, bytes);
}

Deno.test("upload sessions, objects and servers speak both encodings, mixed as one likes", async () => {
  await using server = await startTestServer({ id: "a" });
  let round = 0;
  for (const codec of codecs) {
    for (const answer of codecs) {
      const path = `/both/${round++}.txt`;
      const data = new TextEncoder().encode(`${codec.encoding} in, ${answer.encoding} out`);
      const digest = sha256(data);
      const sheet = { codec, answer };
      const asked = { path, size: BigInt(data.length), meta: { a: "b" } };
      const opened = await ask(server, "/-/v1/uploads", wire.UploadSchema, {
        ...sheet,
        send: [wire.CreateUploadSchema, asked],
      });
      const session = `/-/v1/uploads/${opened.id}`;
      const sent = await ask(server, `${session}/chunks/0`, wire.UploadSchema, {
        ...sheet,
        method: "PUT",
        send: [wire.ChunkSchema, { data, sha256: digest }],
      });
      assertEquals(sent.received.map(({ start, end }) => [start, end]), [[0n, asked.size]]);
      assertEquals((await ask(server, session, wire.UploadSchema, sheet)).received, sent.received);
      const done = await ask(server, `${session}/commit`, wire.UploadSchema, {
        ...sheet,
        send: [wire.CommitUploadSchema, { sha256: digest, size: asked.size }],
      });
      assertEquals([done.state, done.object?.sha256], [wire.Upload_State.COMMITTED, digest]);

      const known = await ask(server, `/-/v1/objects${path}`, wire.ManifestSchema, sheet);
      assertEquals([known.path, known.sha256, known.size, known.meta], [path, digest, asked.size, { a: "b" }]);
      for (const listing of ["/-/v1/objects?prefix=/both/", "/?prefix=/both/"]) {
        const { objects } = await ask(server, listing, wire.ObjectListSchema, sheet);
        assertEquals(objects.length, round);
        assertEquals(objects.at(-1), known);
      }
      assertEquals((await ask(server, "/-/v1/servers", wire.ServerListSchema, sheet)).servers[0]!.id, "a");
      assertEquals((await ask(server, "/-/v1/servers/a", wire.ServerSchema, sheet)).url, server.url);
    }
  }
});

Deno.test("each endpoint that takes a message: 415 with the list, 413 past the limit, 400 that names the field", async () => {
  await using server = await startTestServer({ id: "a", limits: { peerMessage: 1 << 20 } });
  const opened = await ask(server, "/-/v1/uploads", wire.UploadSchema, {
    codec: jsonCodec,
    send: [wire.CreateUploadSchema, { path: "/x", size: 3n }],
  });
  const session = `/-/v1/uploads/${opened.id}`;
  const table: [method: string, path: string, wrong: string, field: string][] = [
    ["POST", "/-/v1/uploads", '{"path":"x"}', "path"],
    ["PUT", `${session}/chunks/0`, '{"data":"AAAA","sha256":"short"}', "sha256"],
    ["POST", `${session}/commit`, '{"sha256":"short"}', "sha256"],
    ["POST", "/-/v1/servers", '{"url":"ftp://x"}', "url"],
    ["POST", "/-/v1/peer/servers", '{"servers":[{"id":"a b"}]}', "servers[0].id"],
    ["POST", "/-/v1/peer/offers", '{"from":""}', "from"],
  ];
  for (const [method, path, wrong, field] of table) {
    const send = (type: string | null, body: BodyInit) =>
      server.fetch(path, { method, body, headers: type === null ? {} : { "content-type": type } });
    for (const type of ["text/plain", "application/xml", null]) {
      const refused = await send(type, new Uint8Array([123, 125]));
      const { detail } = await refused.json();
      assertEquals(refused.status, 415, `${path} ${type}`);
      const list = refused.headers.get("accept")!;
      for (const known of ["application/json", "application/protobuf"]) {
        assertStringIncludes(list, known);
        assertStringIncludes(detail, known);
      }
    }
    for (const codec of codecs) {
      const large = await drained(send(codec.mediaType, new Uint8Array(4 << 20)));
      assertEquals(large.status, 413, `${path} ${codec.encoding}`);
      const broken = await drained(send(codec.mediaType, new Uint8Array([0x0a, 0xff, 0xff])));
      assertEquals([broken.status, broken.headers.get("content-type")], [400, "application/problem+json"], path);
    }
    const named = await send("application/json", wrong);
    const problem = await named.json();
    assertEquals(named.status, 400, path);
    assertStringIncludes(problem.detail, field, path);
    assert(problem.errors.some((one: { field: string }) => one.field === field), JSON.stringify(problem));
  }
  // Whatever was refused changed nothing: the upload goes on.
  assertEquals((await ask(server, session, wire.UploadSchema, { codec: jsonCodec })).received, []);
});

for (const encoding of ["json", "protobuf"] as const) {
  Deno.test(`a server sends its messages to other servers in the chosen encoding (${encoding})`, async () => {
    const codec = codecOf(encoding);
    const sent: [path: string, type: string][] = [];
    const watching: typeof fetch = (input, init) => {
      const request = new Request(input, init);
      if (request.body) sent.push([new URL(request.url).pathname, request.headers.get("content-type") ?? ""]);
      return fetch(request);
    };
    await using a = await startTestServer({ id: "a", codec, fetch: watching, cluster: { pingMs: 50 } });
    await using b = await startTestServer({ id: "b", peers: [a.url], cluster: { pingMs: 50 } });
    await drained(a.fetch("/x", { method: "PUT", body: "everywhere" }));
    await eventually(async () => (await drained(b.fetch("/x"))).ok, { what: "replication" });
    await eventually(() => sent.some(([path]) => path === "/-/v1/peer/servers"), { what: "a heartbeat of its own" });
    assert(sent.some(([path]) => path === "/-/v1/peer/offers"), "manifests travel as messages");
    for (const [path, type] of sent) assertEquals(type, codec.mediaType, path);
  });

  Deno.test(`the upload client sends its messages in the chosen encoding (${encoding})`, async () => {
    await using dir = await tempDir();
    const file = `${dir.path}/file.bin`;
    await Deno.writeFile(file, Uint8Array.from({ length: 200_000 }, (_, at) => at * 31));
    await using server = await startTestServer({ limits: { chunkSize: 65536 } });
    const sent: [path: string, type: string][] = [];
    const watching: typeof fetch = (input, init) => {
      const request = new Request(input, init);
      if (request.body) sent.push([new URL(request.url).pathname, request.headers.get("content-type") ?? ""]);
      return fetch(request);
    };
    await upload({ file }, { server: server.url, path: "/file.bin", codec: codecOf(encoding), fetch: watching });
    for (const part of ["/-/v1/uploads", "/chunks/0", "/commit"]) {
      assert(sent.some(([path]) => path.endsWith(part)), part);
    }
    for (const [path, type] of sent) assertEquals(type, codecOf(encoding).mediaType, path);
  });
}

Deno.test("a chunk may come as bytes with their digest, too", async () => {
  await using server = await startTestServer();
  const { id } = await ask(server, "/-/v1/uploads", wire.UploadSchema, {
    codec: jsonCodec,
    send: [wire.CreateUploadSchema, { path: "/raw", size: 3n }],
  });
  const body = new Uint8Array([1, 2, 3]);
  const put = (digest: Record<string, string>) =>
    drained(server.fetch(`/-/v1/uploads/${id}/chunks/0`, {
      method: "PUT",
      body,
      headers: { "content-type": "application/octet-stream", ...digest },
    }));
  assertEquals((await put({})).status, 400);
  assertEquals((await put({ "content-digest": formatDigestField(sha256(new Uint8Array([9]))) })).status, 400);
  assertEquals((await put({ "content-digest": formatDigestField(sha256(body)) })).status, 200);
});
