import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import { CdnError, jsonCodec, protobufCodec, wire } from "../../proto/mod.ts";
import { type Handler, listen } from "../../runtime/listen.ts";
import { silentLogger } from "../../runtime/log.ts";
import { messageResponse, readMessage } from "../../runtime/message.ts";
import { parseRetryAfter, PeerClient } from "../../runtime/peer_client.ts";
import { SignatureVerifier } from "../../runtime/signature.ts";

const clusterKey = new TextEncoder().encode("a-cluster-key-of-some-length");
const question = create(wire.AddServerSchema, { url: "http://a:1" });

async function serving(handler: Handler, use: (url: string) => Promise<void>): Promise<void> {
  const server = listen({ hostname: "127.0.0.1", port: 0 }, handler, { log: silentLogger, token: null });
  try {
    await use(server.url);
  } finally {
    await server.close(100);
  }
}

function failure(act: () => Promise<unknown>): Promise<CdnError> {
  return assertRejects(act, CdnError);
}

Deno.test("a question goes out signed and in the chosen encoding, and the answer comes back", async () => {
  const verifier = new SignatureVerifier(clusterKey);
  const types: (string | null)[] = [];
  await serving(async (request) => {
    types.push(request.headers.get("content-type"), request.headers.get("authorization"));
    const body = new Uint8Array(await request.clone().arrayBuffer());
    verifier.verify({ method: request.method, url: request.url, headers: request.headers, body }, Date.now());
    return messageResponse(request, wire.AddServerSchema, await readMessage(request, wire.AddServerSchema));
  }, async (url) => {
    for (const codec of [jsonCodec, protobufCodec]) {
      const client = new PeerClient({ clusterKey, codec, token: "t" });
      const answer = await client.ask(`${url}/x?y=1`, wire.AddServerSchema, {
        question: [wire.AddServerSchema, question],
      });
      assertEquals(answer, question);
    }
  });
  assertEquals(types, ["application/json", "Bearer t", "application/protobuf", "Bearer t"]);
});

Deno.test("an error answer says who, what, and whether to try again", async () => {
  await serving((request) => {
    const status = Number(new URL(request.url).pathname.slice(1));
    return Response.json({ detail: `because ${status}` }, { status, headers: { "retry-after": "7" } });
  }, async (url) => {
    for (
      const [status, retry] of [[400, false], [401, false], [404, false], [408, true], [429, true], [500, true], [
        503,
        true,
      ]] as const
    ) {
      const error = await failure(() => new PeerClient().send({ url: `${url}/${status}` }));
      assertEquals([error.status, error.retry, error.source, error.retryAfterSeconds], [status, retry, "peer", 7]);
      assertStringIncludes(error.message, `${new URL(url).host} answered ${status}: because ${status}`);
    }
  });
});

Deno.test("an error without problem+json is told all the same", async () => {
  await serving(() => new Response("<html>".repeat(100_000), { status: 502 }), async (url) => {
    const error = await failure(() => new PeerClient({ source: "pricing" }).send({ url }));
    assertEquals([error.status, error.source], [502, "pricing"]);
    assert(error.message.length < 200);
  });
});

Deno.test("nobody there, no answer in time, and a redirect are errors", async () => {
  let gone = "";
  await serving(() => new Response(), (url) => {
    gone = url;
    return Promise.resolve();
  });
  const unreachable = await failure(() => new PeerClient().send({ url: gone }));
  assertEquals([unreachable.status, unreachable.retry], [502, true]);
  assertStringIncludes(unreachable.message, `Cannot reach ${gone}`);

  const gate = Promise.withResolvers<void>();
  await serving(async (request) => {
    if (request.url.endsWith("/redirect")) return Response.redirect("http://example.com/");
    await gate.promise;
    return new Response();
  }, async (url) => {
    const late = await failure(() => new PeerClient().send({ url, timeoutMs: 30 }));
    assertEquals(late.retry, true);
    assertStringIncludes(late.message, "no answer in time");
    const left = new AbortController();
    const waiting = failure(() => new PeerClient().send({ url, signal: left.signal }));
    left.abort(new Error("no longer wanted"));
    assertStringIncludes((await waiting).message, "no longer wanted");
    await failure(() => new PeerClient().send({ url: `${url}/redirect` }));
    gate.resolve();
  });
});

Deno.test("an answer that is none of ours, is too large, or breaks off is an error", async () => {
  await serving((request) => {
    switch (new URL(request.url).pathname) {
      case "/html":
        return new Response("<html>", { headers: { "content-type": "text/html" } });
      case "/bad":
        return new Response("{", { headers: { "content-type": "application/json" } });
      case "/large":
        return Response.json({ url: `http://${"a".repeat(5000)}` });
      default:
        return new Response(
          new ReadableStream({
            start: (controller) => controller.enqueue(new TextEncoder().encode('{"url"')),
            pull: (controller) => controller.error(new Error("broke")),
          }),
          { headers: { "content-type": "application/json" } },
        );
    }
  }, async (url) => {
    for (
      const [path, words, retry] of [["html", "text/html", false], ["bad", "Malformed", false], [
        "large",
        "at most 100",
        false,
      ], ["broken", "broke off", true]] as const
    ) {
      const error = await failure(() => new PeerClient().ask(`${url}/${path}`, wire.AddServerSchema, { limit: 100 }));
      assertEquals([error.status, error.retry], [502, retry], path);
      assertStringIncludes(error.message, words);
    }
  });
});

Deno.test("fields that a newer peer sends are passed over", async () => {
  await serving(() => Response.json({ url: "http://a:1", colour: "red" }), async (url) => {
    assertEquals(await new PeerClient().ask(url, wire.AddServerSchema), question);
  });
});

Deno.test("Retry-After is seconds or a date", () => {
  const now = Date.parse("2026-11-22T00:00:00Z");
  const table: [string | null, number | null][] = [
    [null, null],
    ["0", 0],
    ["120", 120],
    ["Sun, 22 Nov 2026 00:00:30 GMT", 30],
    ["Sat, 21 Nov 2026 00:00:30 GMT", 0],
    ["-1", null],
    ["1.5", null],
    ["soon", null],
    ["", null],
  ];
  for (const [field, seconds] of table) assertEquals(parseRetryAfter(field, now), seconds, `${field}`);
});
