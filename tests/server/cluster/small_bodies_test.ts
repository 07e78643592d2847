import { assertEquals, assertThrows } from "@std/assert";
import { CdnError } from "../../../proto/mod.ts";
import { sha256 } from "../../../runtime/signature.ts";
import {
  decodeBodies,
  decodeDigests,
  encodeBodies,
  encodeDigests,
  MOST_BODIES,
  SMALL_BYTES,
} from "../../../server/cluster/small_bodies.ts";
import { drained, eventually, startTestServer } from "../../kit/mod.ts";
import { chunksOf, manifestOf, read } from "../../suite/store_suite.ts";
import { startNode, until, untilJoined } from "./node.ts";
import { offering } from "./offering.ts";

const digest = (at: number) => at.toString(16).padStart(64, "0");
const bytesOf = (size: number, seed = 0) => Uint8Array.from({ length: size }, (_, at) => at * 31 + seed);

Deno.test("what is written is what is read, with gaps", () => {
  const bodies = [bytesOf(0), bytesOf(1), null, bytesOf(1000), null];
  assertEquals(decodeBodies(encodeBodies(bodies), [0, 1, 7, 1000, 0]), bodies);
  const digests = [digest(1), digest(2)];
  assertEquals(decodeDigests(encodeDigests(digests)), digests);
});

Deno.test("an answer that is not the one to the question is none", () => {
  const answer = encodeBodies([bytesOf(3), bytesOf(5)]);
  const wrong = { "another size": [3, 4], "one more": [3, 5, 1], "one less": [3], "none": [] };
  for (const [what, sizes] of Object.entries(wrong)) {
    assertThrows(() => decodeBodies(answer, sizes), CdnError, "", what);
  }
  for (let length = 0; length < answer.length; length++) {
    assertThrows(() => decodeBodies(answer.slice(0, length), [3, 5]), CdnError);
  }
});

Deno.test("a question is digests alone, and not too many", () => {
  const many = (count: number) => Array.from({ length: count }, (_, at) => digest(at));
  assertEquals(decodeDigests(encodeDigests(many(MOST_BODIES))).length, MOST_BODIES);
  for (
    const lines of [many(MOST_BODIES + 1), [], [digest(1), ""], ["../../server.key"], [digest(1).toUpperCase() + "A"]]
  ) {
    assertThrows(() => decodeDigests(encodeDigests(lines)), CdnError);
  }
});

Deno.test("a server gives small bodies together, and nothing for those that it lacks or that are long", async () => {
  await using server = await startTestServer();
  const bodies = [bytesOf(10), bytesOf(SMALL_BYTES, 1), bytesOf(SMALL_BYTES + 1, 2)];
  for (const [at, body] of bodies.entries()) await drained(server.fetch(`/${at}`, { method: "PUT", body }));
  const ask = (body: BodyInit) => server.fetch("/-/v1/peer/bodies", { method: "POST", body });
  const asked = [...bodies.map((body) => sha256(body)), digest(7)];
  const answer = await ask(encodeDigests(asked));
  assertEquals(answer.status, 200);
  const sizes = [...bodies.map(({ length }) => length), 7];
  assertEquals(decodeBodies(await answer.bytes(), sizes), [bodies[0]!, bodies[1]!, null, null]);
  assertEquals((await drained(ask("x"))).status, 400);
});

Deno.test("an empty server brings small bodies together, few requests for many", async () => {
  await using full = await startTestServer({ id: "full" });
  for (let at = 0; at < 40; at++) {
    await drained(full.fetch(`/${at}`, { method: "PUT", body: bytesOf(100 + at, at) }));
  }
  const asked: string[] = [];
  const counting: typeof fetch = (input, init) => {
    const { pathname } = new URL(String(input));
    if (pathname.startsWith("/-/v1/peer/bodies")) asked.push(pathname);
    return fetch(input, init);
  };
  await using empty = await startTestServer({ id: "empty", peers: [full.url], fetch: counting });
  await eventually(async () => {
    const ready = await empty.fetch("/-/readyz");
    const text = await ready.text();
    return ready.ok && text === "ok\n" && (await drained(empty.fetch("/39"))).ok;
  });
  for (let at = 0; at < 40; at++) {
    assertEquals(await (await empty.fetch(`/${at}`)).bytes(), bytesOf(100 + at, at));
  }
  assertEquals(new Set(asked), new Set(["/-/v1/peer/bodies"]));
});

Deno.test("a small body goes along with its offer: nobody need ask for it", async () => {
  const asked: string[] = [];
  const counting: typeof fetch = (input, init) => {
    const { pathname } = new URL(String(input));
    if (pathname.startsWith("/-/v1/peer/bodies")) asked.push(pathname);
    return fetch(input, init);
  };
  await using a = await startNode("a", { fetch: counting });
  await using b = await startNode("b", { peers: [a.url], fetch: counting });
  await untilJoined(a, b);
  const written = await a.put("/x", bytesOf(10_000, 1));
  await until("a knows of two copies", () => a.cluster.copies(written) === 2);
  assertEquals((await b.store.get("/x"))?.sha256, written.sha256);
  assertEquals(asked, []);
  await a.put("/large", bytesOf(100_000, 2));
  await until("b has the large one", async () => (await b.store.get("/large")) !== null);
  assertEquals(asked.length, 1);
});

Deno.test("what goes along with an offer and is not a body that it names is of no use, and does no harm", async () => {
  await using a = await startNode("a");
  await using b = await startNode("b", { peers: [a.url] });
  await untilJoined(a, b);
  const bytes = bytesOf(5000, 3);
  await a.store.stage(chunksOf(bytes));
  const written = manifestOf("/x", { wallMs: Date.now(), counter: 0, server: "a" }, bytes);
  const { offer, lie } = offering(a);
  const other = bytesOf(5000, 4);
  await b.receiveOffer({ ...offer([lie(written)]), bodies: [other, bytes.slice(0, 4999), new Uint8Array()] });
  await until("b has it", async () => (await b.store.get("/x")) !== null);
  assertEquals(await read(b.store, written.sha256), bytes);
  assertEquals(await b.store.open(sha256(other)), null);
});
