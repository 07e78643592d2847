import { assert, assertEquals } from "@std/assert";
import { compareVersions, type Encoding } from "../../../proto/mod.ts";
import { type Fault, noise, startNode, until, untilJoined } from "./node.ts";

const isOffer = (request: Request) => new URL(request.url).pathname === "/-/v1/peer/offers";
const isBody = (request: Request) => new URL(request.url).pathname.startsWith("/-/v1/peer/bodies/");

for (const encoding of ["json", "protobuf"] as Encoding[]) {
  Deno.test(`what is put, overwritten and deleted at one is so at all (${encoding})`, async () => {
    await using a = await startNode("a", { encoding });
    await using b = await startNode("b", { peers: [a.url], encoding });
    await using c = await startNode("c", { peers: [a.url], encoding });
    await untilJoined(a, b, c);
    const first = await a.put("/dir/photo – ü.jpg", "one");
    await a.put("/empty", "");
    for (const node of [b, c]) {
      await until(
        `${node.id} has it`,
        async () => await node.text(first.path) === "one" && await node.text("/empty") === "",
      );
      assertEquals(await node.store.get(first.path), first);
    }
    await until("a knows of three copies", () => a.cluster.copies(first) === 3);
    const second = await b.put(first.path, "two");
    for (const node of [a, c]) {
      await until(`${node.id} has the second`, async () => await node.text(first.path) === "two");
    }
    await until("b knows of three copies", () => b.cluster.copies(second) === 3);
    const last = await c.remove(first.path);
    for (const node of [a, b]) {
      await until(`${node.id} has the tombstone`, async () => (await node.store.get(first.path))?.deleted === true);
      assertEquals(await node.store.get(first.path), last);
    }
    for (const node of [a, b, c]) {
      await until(
        `${node.id} sees no lag`,
        () => node.cluster.servers().every(({ health }) => health!.lagObjects === 0n),
      );
      assertEquals(node.warnings, []);
    }
  });
}

Deno.test("of two writers at once the same one wins everywhere", async () => {
  await using a = await startNode("a");
  await using b = await startNode("b", { peers: [a.url] });
  await using c = await startNode("c", { peers: [a.url] });
  await untilJoined(a, b, c);
  const nodes = [a, b, c];
  const wallMs = Date.now();
  const paths = ["/0", "/1", "/2", "/3", "/4", "/5"];
  const written = await Promise.all(
    paths.map((path) =>
      Promise.all(nodes.map((node) => node.put(path, `${node.id} ${path}`, { wallMs, counter: 7, server: node.id })))
    ),
  );
  for (const [at, path] of paths.entries()) {
    const winner = written[at]!.toSorted((one, other) => compareVersions(one.version, other.version)).at(-1)!;
    for (const node of nodes) {
      await until(`${node.id} has the winner of ${path}`, async () => await node.text(path) === `c ${path}`);
      assertEquals((await node.store.get(path))?.version, winner.version);
    }
  }
});

Deno.test("a server that was away catches up, with what was overwritten meanwhile only once", async () => {
  await using a = await startNode("a");
  await using b = await startNode("b", { peers: [a.url] });
  await untilJoined(a, b);
  await b.stop();
  for (let at = 0; at < 150; at++) await a.put(`/many/${at}`, `body ${at}`);
  await a.put("/many/0", "newer");
  await a.remove("/many/1");
  await until("a counts all that b lacks", () => (a.health("b")?.lagObjects ?? 0n) >= 150n);
  await b.start([]);
  await until("b has the last", async () => await b.text("/many/149") === "body 149");
  await until("no lag", () => a.health("b")?.lagObjects === 0n);
  assertEquals([await b.text("/many/0"), await b.text("/many/1")], ["newer", null]);
  assertEquals((await b.store.get("/many/1"))?.deleted, true);
});

Deno.test("a sender that ends in the middle of its queue goes on there", async () => {
  await using a = await startNode("a", { settings: { batch: 10, offersAtOnce: 1 } });
  await using b = await startNode("b", { peers: [a.url] });
  await untilJoined(a, b);
  const settled = 100;
  for (let at = 0; at < settled; at++) await a.put(`/first/${at}`, `body ${at}`);
  await until("all are there", () => a.health("b")?.lagObjects === 0n);
  b.fault = (request, answer) => isOffer(request) ? new Response("no", { status: 503 }) : answer();
  for (let at = 0; at < 50; at++) await a.put(`/second/${at}`, `body ${at}`);
  await a.stop();
  const offered: string[] = [];
  b.fault = async (request, answer) => {
    if (isOffer(request)) {
      offered.push(...(await request.clone().json()).manifests.map(({ path }: { path: string }) => path));
    }
    return await answer();
  };
  await a.start([]);
  await until("b has the rest", async () => await b.text("/second/49") === "body 49");
  await until("no lag", () => a.health("b")?.lagObjects === 0n);
  assert(!offered.some((path) => path.startsWith("/first/")), "what was settled is not offered again");
  assertEquals(new Set(offered).size, 50);
});

Deno.test("one large body does not hold up the small ones behind it", async () => {
  await using a = await startNode("a");
  await using b = await startNode("b", { peers: [a.url] });
  await untilJoined(a, b);
  const bytes = noise(1 << 20);
  const release = Promise.withResolvers<void>();
  a.fault = async (request, answer) => {
    const response = await answer();
    if (!isBody(request) || Number(response.headers.get("content-length")) < bytes.length) return response;
    await release.promise;
    return response;
  };
  await using _ = { [Symbol.asyncDispose]: () => Promise.resolve(release.resolve()) };
  await a.put("/large", bytes);
  for (let at = 0; at < 200; at++) await a.put(`/small/${at}`, `${at}`);
  await until("all small ones are there", async () => {
    for (let at = 0; at < 200; at++) if (await b.store.get(`/small/${at}`) === null) return false;
    return true;
  });
  assertEquals(await b.store.get("/large"), null);
  release.resolve();
  await until("the large one too", async () => (await b.store.get("/large"))?.size === bytes.length);
});

Deno.test("one manifest that makes a whole offer fail does not stop the others", async () => {
  const refuse: Fault = async (request, answer) => {
    if (isOffer(request) && (await request.clone().text()).includes("/poison")) {
      return new Response("no", { status: 413 });
    }
    return await answer();
  };
  await using a = await startNode("a");
  await using b = await startNode("b", { fault: refuse });
  await a.cluster.addServer(b.url);
  await untilJoined(a, b);
  await a.put("/before", "1");
  await a.put("/poison", "2");
  for (let at = 0; at < 100; at++) await a.put(`/after/${at}`, `${at}`);
  await until(
    "the others are there",
    async () => await b.text("/before") === "1" && await b.text("/after/99") === "99",
  );
  await until("a says that one was not taken", () => a.warnings.some((line) => line.includes("413")));
  await until("that one comes by repair", async () => await b.text("/poison") === "2");
  await until("no lag", () => a.health("b")?.lagObjects === 0n);
});

Deno.test("offers are kept below the size of a message", async () => {
  const sizes: number[] = [];
  await using a = await startNode("a", { settings: { batchBytes: 4000, repairAfterMs: 60_000 } });
  await using b = await startNode("b", {
    settings: { repairAfterMs: 60_000 },
    fault: async (request, answer) => {
      if (isOffer(request)) sizes.push((await request.clone().arrayBuffer()).byteLength);
      return await answer();
    },
  });
  await a.cluster.addServer(b.url);
  await untilJoined(a, b);
  await Promise.all(Array.from({ length: 60 }, (_, at) => a.put(`/${"long".repeat(50)}/${at}`, `${at}`)));
  await until("they are there", () => sizes.length > 0 && a.health("b")?.lagObjects === 0n);
  assert(sizes.length >= 6);
  assert(Math.max(...sizes) < 6000, `${Math.max(...sizes)}`);
});

Deno.test("edges are not fed, and feed the origins", async () => {
  await using a = await startNode("a");
  await using edge = await startNode("edge", { peers: [a.url], role: "edge" });
  await untilJoined(a, edge);
  await a.put("/at-a", "1");
  await edge.put("/at-edge", "2");
  await until("a has what the edge took", async () => await a.text("/at-edge") === "2");
  assert(!edge.requests.includes("POST /-/v1/peer/offers"));
  assertEquals(await edge.text("/at-a"), null);
});

Deno.test("what came from a server is not offered back to it", async () => {
  await using a = await startNode("a");
  await using b = await startNode("b", { peers: [a.url] });
  await untilJoined(a, b);
  for (let at = 0; at < 20; at++) await a.put(`/${at}`, `${at}`);
  await until("b has all, and owes nothing", async () => {
    return await b.text("/19") === "19" && b.health("a")?.lagObjects === 0n && a.health("b")?.lagObjects === 0n;
  });
  assert(!a.requests.includes("POST /-/v1/peer/offers"));
});

Deno.test("a write reaches the third server although its writer cannot", async () => {
  await using a = await startNode("a");
  await using b = await startNode("b", { peers: [a.url] });
  await using c = await startNode("c", { peers: [b.url] });
  await untilJoined(a, b, c);
  c.fault = async (request, answer) => {
    const body = await request.clone().text();
    return body.includes('"from":"a"') ? new Response("cut", { status: 503 }) : await answer();
  };
  await a.put("/x", "1");
  await until("c has it by b", async () => await c.text("/x") === "1");
});
