import { assert } from "@std/assert";
import { create, type DescMessage } from "@bufbuild/protobuf";
import fc from "fast-check";
import { jsonCodec, protobufCodec, wire } from "../../proto/mod.ts";
import { drained, startTestServer } from "../kit/mod.ts";

/** Every endpoint that takes a message, with a message that it takes. */
const endpoints: [method: string, path: string, schema: DescMessage, sample: object][] = [
  ["POST", "/-/v1/uploads", wire.CreateUploadSchema, { path: "/fuzz", size: 3n, meta: { a: "b" } }],
  ["PUT", "/-/v1/uploads/none/chunks/0", wire.ChunkSchema, { data: new Uint8Array(9), sha256: "0".repeat(64) }],
  ["POST", "/-/v1/uploads/none/commit", wire.CommitUploadSchema, { sha256: "0".repeat(64), size: 3n }],
  ["POST", "/-/v1/servers", wire.AddServerSchema, { url: "http://127.0.0.1:1" }],
  ["POST", "/-/v1/peer/servers", wire.ServerListSchema, {
    servers: [{
      id: "a",
      url: "http://127.0.0.1:1",
      provider: "p",
      region: "r",
      role: "edge",
      updated: { wallMs: 1n, server: "a" },
    }],
  }],
  ["POST", "/-/v1/peer/offers", wire.OfferSchema, {
    from: "a",
    url: "http://127.0.0.1:1",
    manifests: [{ path: "/x", version: { wallMs: 1n, server: "a" }, deleted: true }],
  }],
  ["POST", "/-/v1/purge", wire.PurgeRequestSchema, { urls: ["/x"], prefixes: ["/y"], tags: ["t"], soft: true }],
  ["POST", "/-/v1/peer/purge", wire.PurgeOrderSchema, {
    from: "a",
    purge: { version: { wallMs: 1n, server: "a" }, keys: ["/x"] },
  }],
  ["POST", "/-/v1/peer/purges", wire.PurgesQuestionSchema, {
    from: "a",
    log: "l",
    after: 1n,
    ownLog: "m",
    ownHead: 2n,
  }],
];

/** Bytes near a right message: cut, flipped, doubled; or nothing like one. */
function spoiled(right: Uint8Array<ArrayBuffer>): fc.Arbitrary<Uint8Array<ArrayBuffer>> {
  const place = fc.nat(Math.max(0, right.length - 1));
  return fc.oneof(
    place.map((at) => right.slice(0, at)),
    fc.array(fc.tuple(place, fc.nat(255)), { minLength: 1, maxLength: 6 }).map((edits) => {
      const bytes = right.slice();
      for (const [at, value] of edits) bytes[at] = value;
      return bytes;
    }),
    fc.tuple(place, fc.uint8Array({ maxLength: 20 })).map(([at, extra]) =>
      Uint8Array.from([...right.slice(0, at), ...extra, ...right.slice(at)])
    ),
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Uint8Array.from(bytes)),
    fc.json({ maxDepth: 3 }).map((text) => new TextEncoder().encode(text)),
    fc.json({ maxDepth: 2 }).map((text) =>
      new TextEncoder().encode(new TextDecoder().decode(right).replace(/:[^,{}[\]]+/, `:${text}`))
    ),
  );
}

Deno.test("malformed messages of both encodings: an answer that names the fault, never a 500, never a crash", async () => {
  await using server = await startTestServer({ cluster: { waitMs: 1 } });
  for (const [method, path, schema, sample] of endpoints) {
    for (const codec of [jsonCodec, protobufCodec]) {
      const right = codec.encode(schema, create(schema, sample as never));
      await fc.assert(
        fc.asyncProperty(spoiled(right), async (body) => {
          const response = await fetch(server.url + path, {
            method,
            body,
            headers: { "content-type": codec.mediaType },
          });
          const answer = await response.text();
          // 502: what was sent happened to be right, and the server at its URL does not answer.
          assert(response.status < 500 || response.status === 502, `${response.status} ${answer}`);
          if (response.status >= 400) assert((JSON.parse(answer) as { detail: string }).detail.length > 0);
        }),
        { numRuns: 60 },
      );
    }
  }
  assert((await drained(server.fetch("/-/readyz"))).ok);
});

Deno.test("odd values of every field that is read: never a 500", async () => {
  await using server = await startTestServer();
  await drained(server.fetch("/x", { method: "PUT", body: "0123456789" }));
  const field = fc.constantFrom(
    "range",
    "if-range",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "accept",
    "content-type",
    "content-digest",
    "repr-digest",
    "content-range",
    "content-encoding",
    "last-modified",
    "metacdn-name",
    "metacdn-meta-a",
    "authorization",
    "origin",
    "signature",
    "signature-input",
  );
  const value = fc.oneof(
    fc.string({ maxLength: 40 }).map((text) => text.replaceAll(/[^\x20-\x7e]/g, "~")),
    fc.constantFrom(
      "*",
      '"',
      "bytes=0-",
      "bytes=-1,-2,-3",
      "a=1;b",
      "sha-256=:AA==:",
      "%",
      "W/",
      '""',
      ",",
      "text/*;q=x",
    ),
  );
  const request = fc.record({
    method: fc.constantFrom("GET", "HEAD", "PUT", "DELETE"),
    path: fc.constantFrom(
      "/x",
      "/",
      "/?limit=0",
      "/?limit=9999&after=%00",
      "/-/v1/objects",
      "/-/v1/servers",
      "/-/v1/objects/x",
      "/-/v1/peer/probe?bytes=-1",
    ),
    headers: fc.dictionary(field, value, { maxKeys: 4 }),
  });
  await fc.assert(
    fc.asyncProperty(request, async ({ method, path, headers }) => {
      const response = await drained(
        fetch(server.url + path, { method, headers, ...(method === "PUT" ? { body: "abc" } : {}) }),
      );
      assert(response.status < 500, `${response.status} for ${method} ${path} ${JSON.stringify(headers)}`);
    }),
    { numRuns: 400 },
  );
});
