/** A proxy in this process, in front of small servers. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { protobufCodec, wire } from "../../proto/mod.ts";
import { fakePricing, fakeServer, measured, raw, testProxy, until } from "./kit.ts";

async function get(url: string, init?: RequestInit) {
  const response = await fetch(url, init);
  const text = await response.text();
  return { response, text, status: response.status, server: response.headers.get("x-server") };
}

async function explained(url: string, query = "path=/x"): Promise<wire.Explanation> {
  const response = await fetch(`${url}/-/explain?${query}`, { headers: { accept: protobufCodec.mediaType } });
  return protobufCodec.decode(wire.ExplanationSchema, await response.bytes());
}

Deno.test("under the policy network the faster server answers, and another one when its link slows", async () => {
  await using a = fakeServer("a", { delayMs: 5 });
  await using b = fakeServer("b", { delayMs: 60 });
  await using proxy = await testProxy([a, b], { settings: { policy: "network" } });
  await measured(proxy, 2);
  const before = await get(`${proxy.url}/x`);
  assertEquals([before.status, before.server], [200, "a"]);
  assertEquals(before.response.headers.get("metacdn-route"), 'server="a", policy=network, prices=none');
  assertEquals((await explained(proxy.url)).chosen, "a");

  a.delayMs = 200;
  await until("explain says b", async () => (await explained(proxy.url)).chosen === "b");
  assertEquals((await get(`${proxy.url}/x`)).server, "b");
});

Deno.test("a link that loses rate loses the large objects", async () => {
  await using a = fakeServer("a", { size: 200_000, delayMs: 2 });
  await using b = fakeServer("b", { size: 200_000, delayMs: 30 });
  await using proxy = await testProxy([a, b], { settings: { policy: "network", sampleIntervalMs: 100 } });
  await measured(proxy, 2);
  await until("a is chosen", async () => (await get(`${proxy.url}/large`)).server === "a");
  a.bytesPerSecond = 400_000;
  await until("b is chosen", async () => (await get(`${proxy.url}/large`)).server === "b");
  assertEquals((await explained(proxy.url, "path=/large")).chosen, "b");
});

Deno.test("under the policy price a price that rises sends the request elsewhere", async () => {
  await using a = fakeServer("a");
  await using b = fakeServer("b");
  await using pricing = fakePricing({ a: 50_000_000, b: 90_000_000 });
  await using proxy = await testProxy([a, b], { settings: { policy: "price" } }, { pricing: [pricing] });
  await measured(proxy, 2, "fresh");
  const before = await get(`${proxy.url}/x`);
  assertEquals(before.server, "a");
  assertEquals(before.response.headers.get("metacdn-route"), 'server="a", policy=price, prices=fresh');
  pricing.prices.a = 120_000_000;
  await until("explain says b", async () => (await explained(proxy.url)).chosen === "b");
  assertEquals((await get(`${proxy.url}/x`)).server, "b");
});

Deno.test("under the policy combined both can turn the choice", async () => {
  await using a = fakeServer("a", { delayMs: 2 });
  await using b = fakeServer("b", { delayMs: 80 });
  await using pricing = fakePricing({ a: 80_000_000, b: 80_000_000 });
  await using proxy = await testProxy([a, b], { settings: { policy: "combined" } }, { pricing: [pricing] });
  await measured(proxy, 2, "fresh");
  const size = 1_000_000; // at 80 ms a second's tenth of a cent is worth 80,000 nano-dollars
  const chosen = async () => (await explained(proxy.url, `path=/x&size=${size}`)).chosen;
  await until("a is chosen, being faster", async () => await chosen() === "a");
  pricing.prices.a = 900_000_000;
  await until("b is chosen, being cheaper", async () => await chosen() === "b");
  pricing.prices.a = 80_000_000;
  a.delayMs = 300;
  await until("the price is back", () => proxy.view().servers[0]!.nanoPerGb === 80_000_000);
  await until("b is chosen, a being slow", async () => await chosen() === "b");
});

Deno.test("without a price a server comes last, and without any the network decides", async () => {
  await using a = fakeServer("a");
  await using b = fakeServer("b", { delayMs: 30 });
  await using pricing = fakePricing({ b: 90_000_000 });
  await using proxy = await testProxy([a, b], { settings: { policy: "price" } }, { pricing: [pricing] });
  await measured(proxy, 2, "fresh");
  const one = await explained(proxy.url);
  assertEquals(one.candidates.map(({ id, score }) => [id, score === Infinity]), [["b", false], ["a", true]]);
  assertStringIncludes(one.reason, "Without a price, and so after the others: a.");
  delete pricing.prices.b;
  await until("no price is known", () => proxy.view().prices === "none");
  const none = await explained(proxy.url);
  assertEquals([none.chosen, none.prices], ["a", "none"]);
  assertStringIncludes(none.reason, "No price is known, so the network decides");
});

Deno.test("with pricing away the last prices stand, and the answers say so", async () => {
  await using a = fakeServer("a");
  await using b = fakeServer("b");
  const pricing = fakePricing({ a: 90_000_000, b: 50_000_000 });
  await using proxy = await testProxy([a, b], { settings: { policy: "price" } }, { pricing: [pricing] });
  await measured(proxy, 2, "fresh");
  await pricing[Symbol.asyncDispose]();
  await until("prices are stale", () => proxy.view().prices === "stale");
  const { response } = await get(`${proxy.url}/x`);
  assertEquals(response.headers.get("metacdn-route"), 'server="b", policy=price, prices=stale');
  assertStringIncludes((await explained(proxy.url)).reason, "The pricing server is away");
});

Deno.test("a server that is gone is passed over, shown as down, and comes back", async () => {
  const a = fakeServer("a");
  await using b = fakeServer("b", { delayMs: 40 });
  await using proxy = await testProxy([b, a], { settings: { policy: "network" } });
  await measured(proxy, 2);
  assertEquals((await get(`${proxy.url}/x`)).server, "a");
  const port = Number(new URL(a.url).port);
  await a[Symbol.asyncDispose]();
  const { response, server } = await get(`${proxy.url}/x`);
  assertEquals([response.status, server], [200, "b"]);
  const { candidates } = await until("a is excluded", async () => {
    const explanation = await explained(proxy.url);
    return explanation.candidates.at(-1)!.excluded !== "" ? explanation : null;
  });
  assertEquals(candidates.map(({ id }) => id), ["b", "a"]);
  assertStringIncludes(candidates[1]!.excluded, "down: ");
  await using _again = fakeServer("a", { port });
  await until("a is back", () => proxy.view().servers[0]!.excluded === "");
  assertEquals((await get(`${proxy.url}/x`)).server, "a");
});

Deno.test("an error of the chosen server is not the viewer's: the next one answers, and the field tells", async () => {
  await using a = fakeServer("a");
  await using b = fakeServer("b", { delayMs: 40 });
  await using proxy = await testProxy([a, b], { settings: { policy: "network" } });
  await measured(proxy, 2);
  a.status = 500;
  const { response, server } = await get(`${proxy.url}/x`);
  assertEquals([response.status, server], [200, "b"]);
  assertEquals(
    response.headers.get("metacdn-route"),
    'server="b", policy=network, prices=none, failed=("a")',
  );
});

Deno.test("it starts without servers and pricing, says so, and works once they are there", async () => {
  const a = fakeServer("a");
  const port = Number(new URL(a.url).port);
  await a[Symbol.asyncDispose]();
  await using proxy = await testProxy([a]);
  const notReady = await get(`${proxy.url}/-/readyz`);
  assertEquals(notReady.status, 503);
  await until("it says why", async () => (await get(`${proxy.url}/-/readyz`)).text.includes("Cannot reach"));
  const { status, text, response } = await get(`${proxy.url}/x`);
  assertEquals(status, 503);
  assertStringIncludes(text, "No server is known");
  assertEquals(response.headers.get("metacdn-route"), "policy=combined, prices=none");
  await using _a = fakeServer("a", { port });
  await until("it is ready", async () => (await get(`${proxy.url}/-/readyz`)).status === 200);
  assertEquals((await get(`${proxy.url}/x`)).server, "a");
});

Deno.test("it keeps the last list when nobody tells it any more", async () => {
  const [a, b] = [fakeServer("a"), fakeServer("b")];
  b.others = [a];
  await using proxy = await testProxy([a, b], { settings: { avoidMs: 60 } });
  await measured(proxy, 2);
  const port = Number(new URL(b.url).port);
  await a[Symbol.asyncDispose]();
  await b[Symbol.asyncDispose]();
  await until("the list is away", () => proxy.view().trouble !== "");
  assertEquals(proxy.view().servers.map(({ id }) => id), ["a", "b"]);
  await using again = fakeServer("b", { port });
  again.others = [a];
  assertEquals((await get(`${proxy.url}/x`)).server, "b", "an attempt finds out before a probe does");
  await until("the list is told again, by a server that was not given", () => proxy.view().trouble === "");
});

Deno.test("it follows the list: new servers come, removed ones go", async () => {
  await using a = fakeServer("a");
  await using b = fakeServer("b");
  await using proxy = await testProxy([a]);
  await measured(proxy, 1);
  a.others = [b];
  await measured(proxy, 2);
  a.others = [];
  await until("b is gone", () => proxy.view().servers.length === 1);
});

Deno.test("it answers for its names, its servers and itself, and for no other host", async () => {
  await using a = fakeServer("a");
  await using proxy = await testProxy([a], { settings: { names: ["cdn.example.com"] } });
  await measured(proxy, 1);
  const ask = (line: string, host: string) =>
    raw(proxy.port, `${line} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  const server = new URL(a.url).host;
  assertMatch(await ask(`GET ${a.url}/x`, server), /^HTTP\/1.1 200 [\s\S]*metacdn-route: server="a"/);
  assertMatch(await ask("GET /x", server), /^HTTP\/1.1 200 /);
  assertMatch(await ask("GET /x", "cdn.example.com"), /^HTTP\/1.1 200 /);
  assertMatch(await ask("GET http://CDN.example.com:1234/x", "whatever"), /^HTTP\/1.1 200 /);
  assertMatch(await ask("GET /x", `localhost:${proxy.port}`), /^HTTP\/1.1 200 /);
  for (const [line, host] of [["GET /x", "evil.example"], ["GET http://evil.example/x", "evil.example"]] as const) {
    const refused = await ask(line, host);
    assertMatch(refused, /^HTTP\/1.1 403 /);
    assertMatch(refused, /metacdn-route: policy=combined, prices=none/);
    assertStringIncludes(refused, "does not answer for evil.example");
  }
  const before = a.seen.length;
  const connect = await ask(`CONNECT ${server}`, server);
  assertMatch(connect, /^HTTP\/1.1 405 /);
  assertStringIncludes(connect, "opens no tunnels");
  assertMatch(connect, /metacdn-route: /);
  assertMatch(await ask("PATCH /x", server), /^HTTP\/1.1 405 [\s\S]*allow: GET/);
  assertEquals(a.seen.length, before);
});

Deno.test("bad paths are refused at the door, and the root is passed on", async () => {
  await using a = fakeServer("a");
  await using proxy = await testProxy([a]);
  await measured(proxy, 1);
  const ask = (target: string) =>
    raw(proxy.port, `GET ${target} HTTP/1.1\r\nHost: 127.0.0.1:${proxy.port}\r\nConnection: close\r\n\r\n`);
  for (const target of ["/../x", "/a%2fb", "/a/%2e%2e/b", "/%00", "/%ff", "/a//b", "/%zz"]) {
    assertMatch(await ask(target), /^HTTP\/1.1 400 /, target);
  }
  assertMatch(await ask(`/${"a".repeat(5000)}`), /^HTTP\/1.1 414 /);
  assertEquals(a.seen, []);
  assertMatch(await ask("/?after=b"), /^HTTP\/1.1 200 /);
  assertEquals(a.seen, ["GET /?after=b"]);
});

Deno.test("UTF-8 that a client left unescaped reaches the server, and takes no server off", async () => {
  await using a = fakeServer("a");
  await using proxy = await testProxy([a]);
  await measured(proxy, 1);
  const target = "/\u65e5\u672c/caf\u00e9.jpg?q=\u00fc\u65e5"; // goes out as UTF-8
  for (let times = 0; times < 3; times++) {
    const text = `GET ${target} HTTP/1.1\r\nHost: 127.0.0.1:${proxy.port}\r\nConnection: close\r\n\r\n`;
    assertMatch(await raw(proxy.port, text), /^HTTP\/1.1 200 /);
  }
  assertEquals(new Set(a.seen), new Set(["GET /%E6%97%A5%E6%9C%AC/caf%C3%A9.jpg?q=%C3%BC%E6%97%A5"]));
  const { size, sizeFrom, candidates } = await explained(proxy.url, "path=/\u65e5\u672c/caf\u00e9.jpg");
  assertEquals([size, sizeFrom], [1000, "known"]);
  assertEquals(candidates.map(({ excluded }) => excluded), [""]);
});

Deno.test("a request that has been here is a loop", async () => {
  await using a = fakeServer("a");
  await using proxy = await testProxy([a], { id: "me" });
  await measured(proxy, 1);
  assertEquals((await get(`${proxy.url}/x`, { headers: { via: "1.1 other, 1.1 me" } })).status, 508);
  assertEquals((await get(`${proxy.url}/x`, { headers: { via: "1.1 other" } })).status, 200);
});

Deno.test("hop-by-hop fields stop here, and the server learns who asked", async () => {
  await using a = fakeServer("a");
  await using proxy = await testProxy([a], { id: "me" });
  await measured(proxy, 1);
  await raw(
    proxy.port,
    [
      "GET /x HTTP/1.1",
      `Host: 127.0.0.1:${proxy.port}`,
      "Connection: close, X-Hop",
      "X-Hop: 1",
      "Proxy-Authorization: Basic eA==",
      "Proxy-Connection: close",
      "TE: trailers",
      "Accept-Encoding: br",
      "X-End: 2",
      "Via: 1.0 first",
      "X-Forwarded-For: 192.0.2.1",
      "Authorization: Bearer abc",
      "\r\n",
    ].join("\r\n"),
  );
  const seen = a.headers[0]!;
  for (const name of ["x-hop", "proxy-authorization", "proxy-connection", "te"]) {
    assertEquals(seen.get(name), null, name);
  }
  assertEquals(seen.get("accept-encoding"), "br");
  assertEquals(seen.get("x-end"), "2");
  assertEquals(seen.get("authorization"), "Bearer abc");
  assertEquals(seen.get("via"), "1.0 first, 1.1 me");
  assertEquals(seen.get("x-forwarded-for"), "192.0.2.1, 127.0.0.1");
  assertEquals(seen.get("forwarded"), `for=127.0.0.1;host="127.0.0.1:${proxy.port}";proto=http`);
  assertEquals(seen.get("host"), new URL(a.url).host);
});

Deno.test("writes pass at loopback, not for other origins and names; with a token only by it", async () => {
  await using a = fakeServer("a");
  await using proxy = await testProxy([a], { settings: { names: ["cdn.example.com"] } });
  await measured(proxy, 1);
  const put = (url: string, headers: Record<string, string> = {}) =>
    get(`${url}/x`, { method: "PUT", body: "1", headers });
  assertEquals((await put(proxy.url)).status, 204);
  assertEquals((await put(proxy.url, { origin: proxy.url })).status, 204);
  assertEquals(a.headers.at(-1)!.get("origin"), null);
  assertEquals((await put(proxy.url, { origin: "http://evil.example" })).status, 403);
  const named = await raw(
    proxy.port,
    "PUT /x HTTP/1.1\r\nHost: cdn.example.com\r\nConnection: close\r\nContent-Length: 1\r\n\r\n1",
  );
  assertMatch(named, /^HTTP\/1.1 403 /);
  assertEquals(a.seen.length, 2);

  const token = "a-token-of-some-length";
  await using guarded = await testProxy([a], { secrets: { token, clusterKey: null } });
  await measured(guarded, 1);
  const right = { authorization: `Bearer ${token}` };
  assertEquals((await put(guarded.url)).status, 401);
  assertEquals((await put(guarded.url, right)).status, 204);
  assertEquals((await get(`${guarded.url}/x`)).status, 200);
  assertEquals((await get(`${guarded.url}/-/explain`)).status, 401);
  assertEquals((await get(`${guarded.url}/-/explain`, { headers: right })).status, 200);
});

Deno.test("below /-/ the proxy answers itself, in each form", async () => {
  await using a = fakeServer("a");
  await using proxy = await testProxy([a]);
  await measured(proxy, 1);
  assertEquals((await get(`${proxy.url}/-/healthz`)).status, 200);
  assertEquals((await get(`${proxy.url}/-/v1/objects`)).status, 404);
  assertEquals((await get(`${proxy.url}/-/healthz`, { method: "POST", body: "" })).status, 405);
  const absolute = await raw(proxy.port, `GET ${a.url}/-/v1/servers HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  assertMatch(absolute, /^HTTP\/1.1 404 [\s\S]*metacdn-route: policy/);
  const json = await (await fetch(`${proxy.url}/-/explain?path=/x&size=5`)).json();
  assertEquals([json.chosen, json.size, json.sizeFrom, json.candidates[0].id], ["a", 5, "given", "a"]);
  const page = await get(`${proxy.url}/-/explain?path=/${encodeURIComponent("<script>")}`, {
    headers: { accept: "text/html" },
  });
  assertStringIncludes(page.text, "goes to <b>a</b>");
  assert(!page.text.includes("<script>"));
  for (const bad of ["path=x", "path=/a/../b", "path=/x&size=-1", "path=/x&size=1e3"]) {
    assertEquals((await get(`${proxy.url}/-/explain?${bad}`)).status, 400, bad);
  }
  assertEquals(a.seen, []);
});

Deno.test("sizes are learned from GET and HEAD, and ranges counted", async () => {
  await using a = fakeServer("a", { size: 12_345 });
  await using proxy = await testProxy([a]);
  await measured(proxy, 1);
  assertEquals((await explained(proxy.url, "path=/head")).sizeFrom, "assumed");
  const head = await get(`${proxy.url}/head`, { method: "HEAD" });
  assertEquals(head.response.headers.get("content-length"), "12345");
  await get(`${proxy.url}/get`);
  for (const path of ["/head", "/get"]) {
    const { size, sizeFrom } = await explained(proxy.url, `path=${path}`);
    assertEquals([size, sizeFrom], [12_345, "known"], path);
  }
});

Deno.test("every answer says how long its parts took", async () => {
  await using a = fakeServer("a");
  await using proxy = await testProxy([a]);
  await measured(proxy, 1);
  const { response } = await get(`${proxy.url}/x`);
  assertMatch(response.headers.get("server-timing")!, /^decide;dur=[\d.]+, connect;dur=[\d.]+, head;dur=[\d.]+$/);
  assertEquals(response.headers.get("via"), "1.1 metacdn");
});

Deno.test("usage is reported as a growing total, the last of it at the end", async () => {
  await using a = fakeServer("a", { size: 5000 });
  await using pricing = fakePricing({ a: 1 });
  let total: number;
  {
    await using proxy = await testProxy([a], { id: "reporter-1", settings: { sampleBytes: 1000 } }, {
      pricing: [pricing],
    });
    await measured(proxy, 1, "fresh");
    await get(`${proxy.url}/x`);
    const bytes = () => Number(pricing.reports.at(-1)?.counts[0]?.bytes ?? 0);
    await until("a report comes", () => bytes() >= 5000);
    total = bytes();
    await get(`${proxy.url}/x`);
    await get(`${proxy.url}/x`);
  }
  const last = pricing.reports.at(-1)!;
  assertEquals(last.reporter, "reporter-1");
  assertEquals(last.counts.map(({ place }) => [place!.provider, place!.region, place!.server]), [["a", "test", "a"]]);
  const grown = Number(last.counts[0]!.bytes) - total;
  assert(grown >= 10_000 && grown % 1000 === 0, `${grown}`);
  const totals = pricing.reports.map(({ counts }) => counts[0]!.bytes);
  assertEquals(totals, totals.toSorted((x, y) => Number(x - y)));
});

Deno.test("passing a tier's end asks for prices at once, after the report", async () => {
  await using a = fakeServer("a", { size: 50_000 });
  await using pricing = fakePricing({ a: 1 });
  pricing.untilChange = 1_000_000_000n;
  const settings = { priceIntervalMs: 3_600_000, usageIntervalMs: 3_600_000, sampleBytes: 10 };
  await using proxy = await testProxy([a], { settings }, { pricing: [pricing] });
  await until("prices are known", () => proxy.view().prices === "fresh");
  await until("its rate was sampled", () => proxy.view().servers[0]!.confidence > 0.3);
  const asked = pricing.asked;
  await get(`${proxy.url}/x`);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assertEquals(pricing.asked, asked);
  pricing.untilChange = 10n;
  a.others = [fakeServerLike(a.url)];
  await until("the new server's price is asked", () => pricing.asked > asked);
  const before = pricing.asked;
  await get(`${proxy.url}/x`);
  await until("prices are asked again", () => pricing.asked > before);
  assert(pricing.reports.length > 0);
});

// deno-lint-ignore no-explicit-any
function fakeServerLike(url: string): any {
  return { id: "a2", url, provider: "a2" };
}
