import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import { CdnError, jsonCodec, protobufCodec, wire } from "../../proto/mod.ts";
import { Guard } from "../../runtime/guard.ts";
import { openIdentityKey } from "../../runtime/identity_key.ts";
import { type Handler, listen } from "../../runtime/listen.ts";
import { silentLogger } from "../../runtime/log.ts";
import { problemResponse } from "../../runtime/problem.ts";
import { messageResponse, readMessage } from "../../runtime/message.ts";
import { parseRetryAfter, PeerClient } from "../../runtime/peer_client.ts";
import { SignatureVerifier } from "../../runtime/signature.ts";
import { MemoryKeyring } from "../kit/memory_keyring.ts";
import { tempDir } from "../kit/mod.ts";

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

Deno.test("a server brings its key along until a peer has taken a request, and again where one has forgotten it", async () => {
  await using dir = await tempDir();
  const key = await openIdentityKey(dir.path);
  const verifyCertificate = (der: Uint8Array) => {
    assertEquals(der, new Uint8Array([1, 2, 3]));
    return { id: "a", publicKey: key.publicKey };
  };
  const freshGuard = (certified: boolean) =>
    new Guard({ token: null, clusterKey }, { keyring: new MemoryKeyring(), ...(certified && { verifyCertificate }) });
  let guard = freshGuard(false);
  let broken = false;
  const heard: string[] = [];
  await serving(async (request) => {
    const { headers } = request;
    heard.push(["metacdn-key", "client-cert"].filter((name) => headers.has(name)).join("+"));
    if (broken) return new Response(null, { status: 500 });
    try {
      const { from } = await guard.readFromServer(request, { limit: 100 });
      return new Response(from);
    } catch (error) {
      return problemResponse(error, silentLogger);
    }
  }, async (url) => {
    const identity = { id: "a", key, certificate: null as Uint8Array | null };
    const client = new PeerClient({ clusterKey, identity });
    const send = async (to = url) => {
      heard.length = 0;
      const body = new TextEncoder().encode("a body");
      const said = await client.send({ method: "POST", url: to, body }).then((response) => response.text())
        .catch((error: CdnError) => error.status);
      return [said, ...heard];
    };
    broken = true;
    assertEquals(await send(), [500, "metacdn-key"]);
    broken = false;
    assertEquals(await send(), ["a", "metacdn-key"], "a failure is no acquaintance");
    assertEquals(await send(), ["a", ""]);
    assertEquals(await send(`${url}/another/path`), ["a", ""], "it is the authority that knows us");
    assertEquals(await send(url.replace("127.0.0.1", "localhost")), ["a", "metacdn-key"]);
    broken = true;
    assertEquals(await send(), [500, ""]);
    broken = false;
    assertEquals(await send(), ["a", ""], "nor is a failure its end");

    guard = freshGuard(false); // the peer was started anew, and has forgotten us
    assertEquals(await send(), ["a", "", "metacdn-key"]);
    assertEquals(await send(), ["a", ""]);

    guard = freshGuard(true); // now it wants a certificate
    assertEquals(await send(), [401, "", "metacdn-key"]);
    assertEquals(await send(), [401, "metacdn-key"], "asked once more only where it might help");
    identity.certificate = new Uint8Array([1, 2, 3]); // which may come later
    assertEquals(await send(), ["a", "metacdn-key+client-cert"]);
    assertEquals(await send(), ["a", ""]);
  });
});

Deno.test("a program that is no server brings no key along, and is not asked twice", async () => {
  let requests = 0;
  await serving((request) => {
    requests++;
    assertEquals(request.headers.has("metacdn-key"), false);
    assertEquals(request.headers.get("signature-input")?.includes("metacdn-server"), false);
    return new Response(null, { status: 401 });
  }, async (url) => {
    const client = new PeerClient({ clusterKey });
    for (let i = 0; i < 2; i++) assertEquals((await failure(() => client.send({ url }))).status, 401);
  });
  assertEquals(requests, 2);
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
