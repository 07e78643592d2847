import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { CdnError, jsonCodec, manifestToWire, protobufCodec, wire } from "../../../proto/mod.ts";
import { digest, startNode, startPair, until } from "./node.ts";
import { offering, outcomes } from "./offering.ts";

Deno.test("an offer that is played again, and one of an older version, change nothing", async () => {
  await using nodes = await startPair();
  const { a, b } = nodes;
  const { offer } = offering(a);
  const first = await a.put("/x", "one");
  await until("b has the first", async () => await b.text("/x") === "one");
  const second = await a.put("/x", "two");
  await until("b has the second", async () => await b.text("/x") === "two");
  const before = (await b.store.list({ by: "change", after: 0, limit: 10 })).entries;
  for (const again of [first, second, first]) {
    assertEquals(outcomes(await b.receiveOffer(offer([manifestToWire(again)]))), ["HELD"]);
  }
  assertEquals((await b.store.list({ by: "change", after: 0, limit: 10 })).entries, before);
  assertEquals(await b.text("/x"), "two");
});

Deno.test("a malformed manifest is refused for itself, with the field; the others of its offer are taken", async () => {
  await using nodes = await startPair();
  const { a, b } = nodes;
  const { offer } = offering(a);
  const written = await a.put("/good", "good");
  const wrong: Record<string, (manifest: wire.Manifest) => void> = {
    path: (manifest) => manifest.path = "/../etc/passwd",
    "version must be set": (manifest) => delete manifest.version,
    "version .server": (manifest) => manifest.version!.server = "no name!",
    "version .wallMs": (manifest) => manifest.version!.wallMs = -1n,
    sha256: (manifest) => manifest.sha256 = "../../x",
    size: (manifest) => manifest.size = 1n << 60n,
    mediaType: (manifest) => manifest.mediaType = "text/html\r\nx: y",
    name: (manifest) => manifest.name = "\u0000",
    meta: (manifest) => manifest.meta = { "bad key": "x" },
    signature: (manifest) => manifest.signature = new Uint8Array(63),
  };
  const manifests = Object.values(wrong).map((change) => {
    const manifest = manifestToWire({ ...written, path: "/bad", version: { wallMs: 1, counter: 0, server: "a" } });
    change(manifest);
    return manifest;
  });
  await until("b has the good one", async () => await b.text("/good") === "good");
  const other = offering(a).lie({ ...written, path: "/other" }); // its body is there already
  const answer = await b.receiveOffer(offer([...manifests, other]));
  assertEquals(outcomes(answer), [...manifests.map(() => "REFUSED"), "HELD"]);
  for (const [at, field] of Object.keys(wrong).entries()) assertStringIncludes(answer.results[at]!.reason, field);
  assertEquals(await b.text("/other"), "good");
  assertEquals((await b.store.list({ by: "path", limit: 10, tombstones: true })).entries.length, 2);
});

Deno.test("a manifest from ten years ahead is not taken, and the clock here stays as it is", async () => {
  await using nodes = await startPair();
  const { a, b } = nodes;
  const { offer } = offering(a);
  const good = await a.put("/good", "good");
  const ahead = { ...good, path: "/ahead", version: { ...good.version, wallMs: Date.now() + 3.15e11 } };
  const answer = await b.receiveOffer(offer([offering(a).lie(ahead)]));
  assertEquals(outcomes(answer), ["AHEAD"]);
  assertStringIncludes(answer.results[0]!.reason, "ahead of the clock here");
  assertEquals(await b.store.get("/ahead"), null);
  assert((await b.put("/mine", "x")).version.wallMs < Date.now() + 10_000);
});

Deno.test("for a server whose clock is an hour behind, objects are kept and offered until the clocks agree", async () => {
  await using nodes = await startPair();
  const { a, b } = nodes;
  b.skewMs = -3_600_000;
  await a.put("/ahead", "x");
  await until("a hears of it", () => a.warnings.some((line) => line.includes("could not take an object")));
  assertEquals(await b.store.get("/ahead"), null);
  b.skewMs = 0;
  await until("b has what it did not take", async () => await b.text("/ahead") === "x");
  await until("nothing is left to do or to tell", () => {
    const { lagObjects, error } = a.health("b")!;
    return lagObjects === 0n && error === "";
  });
});

Deno.test("what only a wrong clock of ours can have stamped is set aside once another server agrees", async () => {
  await using nodes = await startPair();
  const { a, b } = nodes;
  await a.put("/ahead", "x", { wallMs: Date.now() + 3_600_000, counter: 0, server: "a" });
  await a.put("/right", "y");
  await until("b has the next one", async () => await b.text("/right") === "y");
  await until("a has set it aside", () => a.aside.length === 1);
  assertEquals([a.aside[0]!.path, await a.store.get("/ahead"), await b.store.get("/ahead")], ["/ahead", null, null]);
  await until("nothing is left to do", () => a.health("b")!.lagObjects === 0n);
});

Deno.test("a malformed object is refused once, is told of, and does not hold up the queue", async () => {
  await using nodes = await startPair();
  const { a, b } = nodes;
  await a.put("/right", "x", { wallMs: Date.now(), counter: 0, server: "no name!" });
  await until("a hears that it is refused", () => a.warnings.some((line) => line.includes("refuses an object")));
  assertStringIncludes(a.health("b")!.error, "refused /right");
  await a.put("/next", "y");
  await until("b has the next one", async () => await b.text("/next") === "y");
  assertEquals(await b.store.get("/right"), null);
  assertEquals(a.warnings.filter((line) => line.includes("refuses an object")).length, 1);
});

Deno.test("a server whose clock is years ahead is not let in", async () => {
  await using a = await startNode("a", { skewMs: 3.15e11 });
  await using b = await startNode("b");
  await assertRejects(() => b.cluster.addServer(a.url), CdnError, "clock");
  assertEquals(b.ids(), ["b"]);
});

Deno.test("an offer from a server that is not on the list is turned away", async () => {
  await using nodes = await startPair();
  const { a, b } = nodes;
  const stranger = offering({ id: "stranger", url: a.url });
  const error = await assertRejects(() => b.receiveOffer(stranger.offer([])), CdnError);
  assertEquals(error.status, 403);
  await b.cluster.removeServer("a");
  await assertRejects(() => b.receiveOffer(offering(a).offer([])), CdnError, "not on the list");
});

Deno.test("bodies are asked for at the address of the list, never at the one in the offer", async () => {
  await using nodes = await startPair();
  const { a, b } = nodes;
  const { offer } = offering({ id: "a", url: "http://127.0.0.1:9" });
  const manifest = await a.put("/x", "body");
  const asked = offer([manifestToWire(manifest)]);
  await until("b has it", async () => outcomes(await b.receiveOffer(asked))[0] === "HELD");
  assertEquals(await b.text("/x"), "body");
});

Deno.test("a tombstone with the fields of a body is refused", async () => {
  await using nodes = await startPair();
  const { a, b } = nodes;
  const manifest = await a.put("/x", "body");
  const { lie, offer } = offering(a);
  const strange = lie({ ...manifest, path: "/y", deleted: true, sha256: digest("?"), size: 9 });
  const answer = await b.receiveOffer(offer([strange]));
  assertEquals(outcomes(answer), ["REFUSED"]);
  assertStringIncludes(answer.results[0]!.reason, "a tombstone with a body");
  assertEquals(await b.store.get("/y"), null);
});

Deno.test("whatever comes as an offer or a list: an answer or a 4xx, and the list stays", async () => {
  await using nodes = await startPair();
  const { a, b } = nodes;
  const seen: number[] = [];
  const send = async (path: string, body: Uint8Array<ArrayBuffer>, type: string) => {
    const response = await fetch(`${b.url}${path}`, { method: "POST", body, headers: { "content-type": type } });
    await response.body?.cancel();
    seen.push(response.status);
    assert(response.status < 500, `${response.status}`);
  };
  const offer = offering(a).offer([manifestToWire(await a.put("/x", "1"))]);
  const list = create(wire.ServerListSchema, { servers: b.cluster.servers() });
  const valid = [
    ["/-/v1/peer/offers", protobufCodec.encode(wire.OfferSchema, offer), protobufCodec.mediaType],
    ["/-/v1/peer/offers", jsonCodec.encode(wire.OfferSchema, offer), jsonCodec.mediaType],
    ["/-/v1/peer/servers", protobufCodec.encode(wire.ServerListSchema, list), protobufCodec.mediaType],
    ["/-/v1/peer/servers", jsonCodec.encode(wire.ServerListSchema, list), jsonCodec.mediaType],
  ] as const;
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...valid),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 6 }),
      async ([path, bytes, type], changes) => {
        const broken = bytes.slice();
        for (const [at, value] of changes) broken[at % broken.length] = value;
        await send(path, broken, type);
      },
    ),
    { numRuns: 150 },
  );
  assert(seen.includes(400));
  assert(b.ids().includes("a") && b.ids().includes("b"));
});
