import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { CdnError } from "../../proto/mod.ts";
import { Guard, hostOf, isLoopback, noSecrets } from "../../runtime/guard.ts";
import { randomNonce, signRequest } from "../../runtime/signature.ts";

const token = "a-token-of-some-length";
const clusterKey = new TextEncoder().encode("a-cluster-key-of-some-length");
const now = 1_700_000_000_000;

function request(url: string, headers: Record<string, string> = {}, method = "PUT"): Request {
  return new Request(url, { method, headers });
}

function signed(url: string, body: Uint8Array | null = null, at = now): Request {
  return request(url, signRequest({ method: "PUT", url, body }, { key: clusterKey, nowMs: at, nonce: randomNonce() }));
}

function status(act: () => void): number {
  try {
    act();
    return 200;
  } catch (error) {
    return (error as CdnError).status;
  }
}

Deno.test("loopback is what only this machine answers", () => {
  for (
    const host of [
      "localhost",
      "LOCALHOST",
      "localhost.",
      "a.localhost",
      "127.0.0.1",
      "127.9.9.9",
      "::1",
      "[::1]",
      "::ffff:127.0.0.1",
    ]
  ) assertEquals(isLoopback(host), true, host);
  for (
    const host of [
      "",
      "0.0.0.0",
      "::",
      "10.0.0.1",
      "127.0.0.1.evil.com",
      "localhost.evil.com",
      "128.0.0.1",
      "xlocalhost",
      "127.1",
    ]
  ) assertEquals(isLoopback(host), false, host);
  assertEquals(hostOf("[::1]:8080"), "[::1]");
  assertEquals(hostOf("a:80"), "a");
  assertEquals(hostOf("a"), "a");
});

Deno.test("without a token: writes from this machine's own pages and programs only", () => {
  const guard = new Guard(noSecrets);
  const table: [string, Record<string, string>, number][] = [
    ["http://127.0.0.1:8080/a", {}, 200],
    ["http://localhost:8080/a", { origin: "http://localhost:8080" }, 200],
    ["http://[::1]:8080/a", { origin: "http://[::1]:8080" }, 200],
    // another site's page
    ["http://127.0.0.1:8080/a", { origin: "https://evil.example" }, 403],
    ["http://127.0.0.1:8080/a", { origin: "null" }, 403],
    ["http://127.0.0.1:8080/a", { origin: "" }, 403],
    // another program's page on this machine
    ["http://127.0.0.1:8080/a", { origin: "http://127.0.0.1:9090" }, 403],
    ["http://127.0.0.1:8080/a", { origin: "http://localhost:8080" }, 403],
    ["http://127.0.0.1:8080/a", { origin: "https://127.0.0.1:8080" }, 403],
    // DNS rebinding: the browser believes that evil.example is here
    ["http://evil.example:8080/a", { origin: "http://evil.example:8080" }, 403],
    ["http://evil.example:8080/a", {}, 403],
    // a Host and an absolute-form target that disagree
    ["http://127.0.0.1:8080/a", { host: "evil.example" }, 403],
    ["http://evil.example/a", { host: "127.0.0.1:8080" }, 403],
    ["http://10.1.2.3:8080/a", {}, 403],
  ];
  for (const [url, headers, want] of table) {
    // A Request drops Host; a server's has it.
    const given = {
      method: "PUT",
      url,
      headers: { get: (name: string) => headers[name] ?? null },
    } as unknown as Request;
    assertEquals(status(() => guard.requireToken(given)), want, `${url} ${JSON.stringify(headers)}`);
    assertEquals(status(() => guard.requirePeer(given)), want);
    assertEquals(status(() => guard.requireTokenOrPeer(given)), want);
  }
});

Deno.test("with a token: it and only it opens, wherever the request comes from", () => {
  const guard = new Guard({ token, clusterKey: null });
  const table: [Record<string, string>, number][] = [
    [{ authorization: `Bearer ${token}` }, 200],
    [{ authorization: `bearer  ${token} ` }, 200],
    [{ authorization: `Bearer ${token}`, origin: "https://admin.example" }, 200],
    [{}, 401],
    [{ origin: "http://127.0.0.1:8080" }, 401],
    [{ authorization: "" }, 401],
    [{ authorization: "Bearer" }, 401],
    [{ authorization: token }, 401],
    [{ authorization: `Basic ${token}` }, 401],
    [{ authorization: `Bearer ${token}x` }, 401],
    [{ authorization: `Bearer ${token.slice(0, -1)}` }, 401],
    [{ authorization: `Bearer ${token.toUpperCase()}` }, 401],
    [{ authorization: `Bearer ${token}, Bearer ${token}` }, 401],
  ];
  for (const [headers, want] of table) {
    assertEquals(
      status(() => guard.requireToken(request("http://127.0.0.1:8080/a", headers))),
      want,
      JSON.stringify(headers),
    );
  }
  const none = assertThrows(() => guard.requireToken(request("http://a/")), CdnError);
  assertStringIncludes(none.message, "required");
  assertStringIncludes(none.headers["www-authenticate"]!, "Bearer");
  const wrong = assertThrows(() => guard.requireToken(request("http://a/", { authorization: "Bearer x" })), CdnError);
  assertEquals(wrong.message.includes(token) || wrong.message.includes("Bearer x"), false);
});

Deno.test("a browser may read with the token as its password, and never write with it", () => {
  const guard = new Guard({ token, clusterKey: null });
  const basic = (text: string) => ({ authorization: `Basic ${btoa(text)}` });
  const ask = (method: string, headers: Record<string, string>) =>
    guard.requireToken(request("http://a.example/", headers, method));
  for (const method of ["GET", "HEAD"]) {
    ask(method, basic(`anyone:${token}`));
    ask(method, basic(`:${token}`));
    for (const text of [token, `${token}:`, `anyone:${token}x`, "anyone:", `a:b:${token}`]) {
      assertEquals(assertThrows(() => ask(method, basic(text)), CdnError).status, 401, text);
    }
    assertEquals(assertThrows(() => ask(method, { authorization: "Basic %%%" }), CdnError).status, 401);
  }
  for (const method of ["PUT", "POST", "DELETE"]) {
    const error = assertThrows(() => ask(method, basic(`anyone:${token}`)), CdnError);
    assertEquals(error.headers["www-authenticate"]?.includes("Basic"), false);
  }
  const challenge = assertThrows(() => ask("GET", {}), CdnError).headers["www-authenticate"]!;
  assertStringIncludes(challenge, "Bearer");
  assertStringIncludes(challenge, "Basic");
});

Deno.test("peers need the cluster key, and the token does not stand in for it", () => {
  const url = "http://node:8080/-/v1/peer/offers";
  const guard = new Guard({ token, clusterKey }, { now: () => now });
  const withToken = () => request(url, { authorization: `Bearer ${token}` });
  assertEquals(status(() => guard.requirePeer(signed(url))), 200);
  assertEquals(status(() => guard.requirePeer(withToken())), 401);
  assertEquals(status(() => guard.requirePeer(request(url))), 401);
  assertEquals(status(() => guard.requirePeer(signed(url, null, now - 400_000))), 401);
  const again = signed(url);
  assertEquals([status(() => guard.requirePeer(again)), status(() => guard.requirePeer(again))], [
    200,
    401,
  ]);
  // the list of servers opens to both
  assertEquals(status(() => guard.requireTokenOrPeer(signed(url))), 200);
  assertEquals(status(() => guard.requireTokenOrPeer(withToken())), 200);
  assertEquals(status(() => guard.requireTokenOrPeer(request(url))), 401);
  // and a signature does not open what the token guards
  assertEquals(status(() => guard.requireToken(signed(url))), 401);
});

Deno.test("a body is read only once its head is known to be a peer's, and is what was signed", async () => {
  const url = "http://node:8080/-/v1/peer/offers";
  let time = now;
  const guard = new Guard({ token, clusterKey }, { now: () => time });
  const body = new TextEncoder().encode("a message");
  let reads = 0;
  const sent = (headers: Record<string, string>, bytes = body) => {
    const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull(controller) {
        reads++;
        controller.enqueue(bytes);
        controller.close();
      },
    }, { highWaterMark: 0 });
    return new Request(url, { method: "PUT", headers, body: stream });
  };
  const fields = (key = clusterKey) =>
    signRequest({ method: "PUT", url, body }, { key, nowMs: now, nonce: randomNonce() });
  const outcome = async (asked: Promise<Uint8Array>) => {
    reads = 0;
    try {
      return [new TextDecoder().decode(await asked), reads];
    } catch (error) {
      return [(error as CdnError).status, reads];
    }
  };
  const peer = (request: Request, limit = 100) => outcome(guard.readFromPeer(request, { limit }));
  const either = (request: Request, limit = 100) => outcome(guard.readFromTokenOrPeer(request, { limit }));
  const bearer = { authorization: `Bearer ${token}` };

  for (const ask of [peer, either]) {
    assertEquals(await ask(sent({})), [401, 0]);
    assertEquals(await ask(sent(fields(new TextEncoder().encode("another key")))), [401, 0]);
    assertEquals(await ask(sent({ ...fields(), "content-digest": "sha-256=:AAAA:" })), [401, 0]);
    const right = fields();
    assertEquals(await ask(sent(right, new TextEncoder().encode("another"))), [401, 1]);
    assertEquals(await ask(sent(right), 8), [413, 1]);
    assertEquals(await ask(sent(right)), ["a message", 1], "what was wrong did not use the signature up");
    assertEquals(await ask(sent(right)), [401, 0], "played again");
    const uncovered = signRequest({ method: "PUT", url }, { key: clusterKey, nowMs: now, nonce: randomNonce() });
    assertEquals(await ask(sent(uncovered)), [401, 1]);
    const late = fields();
    time = now + 400_000;
    assertEquals(await ask(sent(late)), [401, 0]);
    time = now;
  }
  assertEquals(await peer(sent(bearer)), [401, 0]);
  assertEquals(await either(sent(bearer)), ["a message", 1]);
  assertEquals(await either(sent(bearer), 8), [413, 1]);
  assertEquals(await either(sent({ authorization: "Bearer x" })), [401, 0]);
});

Deno.test("a token without a cluster key lets no peer in; a cluster key without a token asks peers even on loopback", () => {
  const url = "http://127.0.0.1:8080/-/v1/peer/offers";
  assertEquals(status(() => new Guard({ token, clusterKey: null }).requirePeer(request(url))), 401);
  const keyed = new Guard({ token: null, clusterKey }, { now: () => now });
  assertEquals(status(() => keyed.requirePeer(request(url))), 401);
  assertEquals(status(() => keyed.requirePeer(signed(url))), 200);
  assertEquals(status(() => keyed.requireToken(request(url))), 200);
});

Deno.test("what was signed for another server is refused, however its default port is written", () => {
  const guard = new Guard({ token: null, clusterKey }, {
    now: () => now,
    isOthers: (authority) => authority === "other.example",
  });
  for (
    const [url, want] of [
      ["http://other.example/-/v1/servers", 421],
      ["http://other.example:80/-/v1/servers", 421],
      ["http://OTHER.example:80/-/v1/servers", 421],
      ["http://other.example:8080/-/v1/servers", 200],
      ["http://ours.example/-/v1/servers", 200],
    ] as const
  ) {
    const fields = signRequest({ method: "GET", url }, { key: clusterKey, nowMs: now, nonce: randomNonce() });
    // Not `new Request`, which would drop the default port.
    const given = { method: "GET", url, headers: new Headers(fields) } as Request;
    assertEquals(status(() => guard.requirePeer(given)), want, url);
  }
});
