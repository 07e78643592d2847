import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import { CdnError, wire } from "../../../proto/mod.ts";
import { Node, startNode, until, untilJoined } from "./node.ts";

Deno.test("servers that each know one other come to know all, in both encodings", async () => {
  await using a = await startNode("a");
  await using b = await startNode("b", { peers: [a.url], encoding: "protobuf" });
  await using c = await startNode("c", { peers: [b.url] });
  await untilJoined(a, b, c);
  const [self, first] = a.cluster.servers();
  assertEquals([self!.id, self!.health!.state, first!.id, first!.url], ["a", "self", "b", b.url]);
  assertEquals(first!.labels, { rack: "1" });
  assert(first!.health!.lastHeardMs > 0n);
});

Deno.test("a peer of the config that is away at the start is joined when it is there", async () => {
  await using b = new Node("b");
  await b.start();
  let open = false;
  b.fault = (_, answer) => open ? answer() : new Response("starting", { status: 503 });
  await using a = await startNode("a", { peers: [b.url] });
  await until("a asked more than once", () => b.requests.length > 2);
  assertEquals(a.ids(), ["a"]);
  open = true;
  await untilJoined(a, b);
});

Deno.test("the list outlives the process, and a new address is told to everybody", async () => {
  await using a = await startNode("a");
  await using b = await startNode("b", { peers: [a.url] });
  await untilJoined(a, b);
  const before = b.url;
  await b.stop();
  await until("a misses b", () => a.health("b")?.state === "left");
  await b.start([]); // no peers in its config any more: it remembers
  assert(b.url !== before);
  await untilJoined(a, b);
  assertEquals(a.cluster.servers()[1]!.url, b.url);
  await until("nothing is held against b", () => a.health("b")!.error === "");
});

Deno.test("an added server gets everything, and all others hear of it", async () => {
  await using a = await startNode("a");
  await using b = await startNode("b", { peers: [a.url] });
  await using c = await startNode("c");
  await a.put("/one", "1");
  await b.put("/two", "2");
  await untilJoined(a, b);
  const added = await a.cluster.addServer(c.url);
  assertEquals([added.id, added.url], ["c", c.url]);
  await untilJoined(a, b, c);
  await until("c has everything", async () => await c.text("/one") === "1" && await c.text("/two") === "2");
});

Deno.test("adding says what is wrong: nobody there, ourselves, not a server", async () => {
  await using a = await startNode("a");
  const gone = await assertRejects(() => a.cluster.addServer("http://127.0.0.1:1"), CdnError);
  assertEquals([gone.source, gone.retry], ["peer", true]);
  const same = await assertRejects(() => a.cluster.addServer(a.url), CdnError);
  assertEquals(same.status, 409);
  await using b = await startNode("b", {
    fault: () => new Response("hello", { headers: { "content-type": "text/html" } }),
  });
  await assertRejects(() => a.cluster.addServer(b.url), CdnError, "Cannot understand");
  b.fault = () => Response.json({ servers: [] });
  await assertRejects(() => a.cluster.addServer(b.url), CdnError, "does not begin with itself");
  assertEquals(a.ids(), ["a"]);
});

Deno.test("a removed server is off every list, stays off when it starts again, and is back when it is added", async () => {
  await using a = await startNode("a");
  await using b = await startNode("b", { peers: [a.url] });
  await using c = await startNode("c", { peers: [a.url] });
  await untilJoined(a, b, c);
  assertEquals(await a.cluster.removeServer("c"), true);
  assertEquals(await a.cluster.removeServer("c"), false);
  assertEquals(await a.cluster.removeServer("a"), false);
  assertEquals(await a.cluster.removeServer("nobody"), false);
  await until("b dropped c too", () => b.ids().join() === "a,b");
  await a.put("/after", "x");
  await until("b has it", async () => await b.text("/after") === "x");

  await c.stop();
  await c.start([a.url, b.url]);
  await until("both turned c away", () => (c.health("a")?.error ?? "").includes("taken off the list"));
  assertEquals([a.ids(), b.ids()], [["a", "b"], ["a", "b"]]);
  assertEquals(await c.text("/after"), null);

  await b.stop(); // the removal outlives a process as well
  await b.start([]);
  await untilJoined(a, b);

  await b.cluster.addServer(c.url);
  await untilJoined(a, b, c);
  await until("c is fed again", async () => await c.text("/after") === "x");
});

Deno.test("a server that was removed and comes back with an empty disk gets everything again", async () => {
  await using a = await startNode("a");
  await a.put("/one", "1");
  const c = await startNode("c", { peers: [a.url] });
  await until("c has it", async () => await c.text("/one") === "1");
  await until("a knows it", () => a.health("c")?.lagObjects === 0n);
  await a.cluster.removeServer("c");
  await c[Symbol.asyncDispose]();
  await using fresh = await startNode("c");
  await a.cluster.addServer(fresh.url);
  await until("it has it again", async () => await fresh.text("/one") === "1");
});

Deno.test("two servers with one id: neither takes the other's words, and a warning says so", async () => {
  await using a = await startNode("a");
  await using twin = await startNode("a", { peers: [a.url] });
  await until("somebody warns", () => [...a.warnings, ...twin.warnings].some((line) => line.includes("same id")));
  assertEquals(a.cluster.servers().map(({ url }) => url), [a.url]);
  assertEquals(twin.cluster.servers().map(({ url }) => url), [twin.url]);
});

Deno.test("our own words about ourselves are not taken from others", async () => {
  await using a = await startNode("a");
  await using b = await startNode("b", { peers: [a.url] });
  await untilJoined(a, b);
  const [bSelf] = b.cluster.servers();
  delete bSelf!.health;
  const forged = create(wire.ServerSchema, {
    ...a.cluster.servers()[0]!,
    url: "http://127.0.0.1:9",
    updated: create(wire.VersionSchema, { wallMs: BigInt(Date.now() + 60_000), counter: 0, server: "a" }),
  });
  delete forged.health;
  await a.exchangeServers(create(wire.ServerListSchema, { servers: [bSelf!, forged] }));
  assertEquals(a.cluster.servers()[0]!.url, a.url);
  const refused = await assertRejects(
    () => b.exchangeServers(create(wire.ServerListSchema, { servers: [forged] })),
    CdnError,
    "not signed with its key",
  );
  assertEquals(refused.status, 403);
  assertEquals(b.cluster.servers()[1]!.url, a.url);
  // Told by another server: that one is marked.
  const [cSelf] = await startNode("c", { peers: [b.url] }).then(async (c) => {
    await using _c = c;
    await untilJoined(a, b, c);
    return c.cluster.servers();
  });
  delete cSelf!.health;
  await b.exchangeServers(create(wire.ServerListSchema, { servers: [cSelf!, forged] }));
  assertEquals(b.cluster.servers().find(({ id }) => id === "a")!.url, a.url);
  assertStringIncludes(b.health("c")!.marks[0]!.reason, "the record of a");
});

Deno.test("a record from a clock that is too far ahead is passed over", async () => {
  await using a = await startNode("a");
  const record = create(wire.ServerSchema, {
    ...a.cluster.servers()[0]!,
    id: "z",
    updated: create(wire.VersionSchema, { wallMs: BigInt(Date.now() + 3.2e11), counter: 0, server: "z" }),
  });
  delete record.health;
  await a.exchangeServers(create(wire.ServerListSchema, { servers: [record] }));
  assertEquals(a.ids(), ["a"]);
});

Deno.test("a closed cluster answers 503 and asks nobody", async () => {
  await using a = await startNode("a");
  await using b = await startNode("b", { peers: [a.url] });
  await untilJoined(a, b);
  await b.cluster.close();
  const error = await assertRejects(() => b.cluster.addServer(a.url), CdnError);
  assertEquals(error.status, 503);
});
