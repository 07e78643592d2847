/** A server that lies: what it offers is refused, it is marked for it, and people see the mark. */
import { delay } from "@std/async";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { clone, create } from "@bufbuild/protobuf";
import { CdnError, type Manifest, manifestToWire, wire } from "../../../proto/mod.ts";
import { signManifest } from "../../../proto/manifest_signature.ts";
import { recordBytes } from "../../../proto/record_signature.ts";
import { serversTable } from "../../../cli/servers_text.ts";
import { openIdentityKey } from "../../../runtime/identity_key.ts";
import { tempDir } from "../../kit/temp_dir.ts";
import { digest, type Node, noise, startNode, startPair, until, untilJoined } from "./node.ts";
import { offering, outcomes } from "./offering.ts";

/** What one server says that it caught another one at; the same stands in what people read. */
function caught(teller: Node, id: string): string[] {
  const marks = teller.health(id)?.marks ?? [];
  const table = serversTable(teller.cluster.servers(), Date.now()).join("\n");
  for (const { reason } of marks) assertStringIncludes(table, reason);
  return marks.map(({ reason }) => reason);
}

/** Signed with the key of another folder, as whoever has no right key would. */
async function signedBy(manifest: Manifest, folder: string): Promise<Manifest> {
  const key = await openIdentityKey(folder);
  return { ...manifest, signature: signManifest(manifest, (bytes) => key.sign(bytes)) };
}

Deno.test("a manifest of which any field was changed is refused, and who offers it is marked", async () => {
  await using nodes = await startPair();
  const { a, b } = nodes;
  const right = await a.put("/x", "one");
  await until("b has it", async () => await b.text("/x") === "one");
  const changes: Record<string, Partial<Manifest>> = {
    path: { path: "/other" },
    wallMs: { version: { ...right.version, wallMs: right.version.wallMs + 1 } },
    counter: { version: { ...right.version, counter: right.version.counter + 1 } },
    writer: { version: { ...right.version, server: "b" } },
    sha256: { sha256: digest("two") },
    size: { size: right.size + 1 },
    mediaType: { mediaType: "text/html" },
    name: { name: "invoice.exe" },
    modifiedMs: { modifiedMs: right.modifiedMs + 1 },
    meta: { meta: { ...right.meta, author: "Eve" } },
    "a tombstone": { deleted: true, sha256: "", size: 0 },
    "the signature": { signature: signManifest({ ...right, path: "/" }, () => noise(64)) },
  };
  for (const [what, change] of Object.entries(changes)) {
    // Newer, so that nothing but the signature speaks against it.
    const version = { ...right.version, wallMs: right.version.wallMs + 1 };
    const forged = { ...right, path: `/${what}`, version, ...change };
    const answer = await b.receiveOffer(offering(a).offer([manifestToWire(forged)]));
    assertEquals(outcomes(answer), ["FAILED"], what);
    assertStringIncludes(answer.results[0]!.reason, "is forged", what);
    assert(caught(b, "a").some((reason) => reason.startsWith(`${forged.path} is forged`)), what);
  }
  assertEquals(
    (await b.store.list({ by: "path", limit: 100, tombstones: true })).entries.map(({ manifest }) => manifest),
    [
      right,
    ],
  );
});

Deno.test("what an unknown server, or nobody, or another one signed spreads to none, whichever way it comes", async () => {
  await using nodes = await startPair();
  const { a, b } = nodes;
  await using dir = await tempDir();
  const stranger = dir.path;
  const right = await a.put("/right", "right");
  const version = { ...right.version, wallMs: right.version.wallMs + 1 };
  const lies: Record<string, Manifest> = {
    "/unknown-signer": await signedBy(
      { ...right, path: "/unknown-signer", version: { ...version, server: "z" } },
      stranger,
    ),
    "/not-signed": { ...right, path: "/not-signed", version, signature: undefined } as unknown as Manifest,
    // a writes in the name of b, which is how it would undo what b wrote.
    "/in-another-name": a.cluster.sign({ ...right, path: "/in-another-name", version: { ...version, server: "b" } }),
    "/by-a-stranger": await signedBy({ ...right, path: "/by-a-stranger", version }, stranger),
  };
  // a has them in its store, as one that was taken over would: it offers them, and b finds them when it compares.
  for (const lie of Object.values(lies)) await a.store.put(lie);
  for (const path of Object.keys(lies)) {
    await until(`a is marked for ${path}`, () => caught(b, "a").some((reason) => reason.includes(path)));
  }
  await a.put("/later", "later");
  await until("all else goes on", async () => await b.text("/later") === "later");
  // Asked for in a comparison.
  await b.cluster.durability();
  for (const path of Object.keys(lies)) assertEquals(await b.store.get(path), null, path);
  assertEquals(caught(a, "b"), [], "who refuses is not at fault");
});

for (const shows of ["an older version", "no version"] as const) {
  Deno.test(`a server that shows ${shows} of what it had confirmed went back: it is marked, and gets it again`, async () => {
    // b does not ask by itself, so that a is the one who finds out.
    await using nodes = await startPair({}, { settings: { repairAfterMs: 1e9 } });
    const { a, b } = nodes;
    const first = await a.put("/x", "one");
    await until("b has the first", async () => await b.text("/x") === "one");
    // A comparison that runs in the very moment proves nothing, and a marks nobody then: so a few times.
    for (let times = 0; times < 10 && caught(a, "b").length === 0; times++) {
      const second = await a.put("/x", "two");
      assertEquals(await a.cluster.secure(second), 2);
      await b.store.forget("/x", second.version);
      if (shows === "an older version") await b.store.put(first);
      for (let tries = 0; tries < 300 && caught(a, "b").length === 0; tries++) await delay(10);
    }
    assertEquals(caught(a, "b"), [`went back: shows ${shows} of /x than the one that it held`]);
    await until("b has it again", async () => await b.text("/x") === "two");
  });
}

Deno.test("a record of a server with another key, or signed by another one, is refused, and who told it is marked", async () => {
  await using nodes = await startPair();
  const { a, b } = nodes;
  const told = (node: Node) => {
    const record = clone(wire.ServerSchema, node.cluster.servers()[0]!);
    delete record.health;
    return record;
  };
  await using c = await startNode("c", { peers: [a.url] });
  await untilJoined(a, b, c);
  await using dir = await tempDir();
  const evil = await openIdentityKey(dir.path);
  const ahead = (record: wire.Server) => {
    record.updated = clone(wire.VersionSchema, record.updated!);
    record.updated.wallMs += 1000n;
    return record;
  };
  const otherKey = ahead(told(c));
  otherKey.publicKey = evil.publicKey;
  otherKey.signature = evil.sign(recordBytes(otherKey));
  const removal = (by: string) => {
    const { id, url, provider, region, role } = told(c);
    const updated = { wallMs: BigInt(Date.now() + 1000), counter: 0, server: by };
    const record = create(wire.ServerSchema, { id, url, provider, region, role, removed: true, updated });
    record.signature = evil.sign(recordBytes(record));
    return record;
  };
  const tell = (record: wire.Server) =>
    b.exchangeServers(create(wire.ServerListSchema, { servers: [told(a), record] }));
  await tell(otherKey);
  assertEquals(caught(b, "a"), ["the record of c has another key than before"]);
  await tell(removal("b"));
  assertEquals(caught(b, "a")[0], "the record of c is not signed with the key of b");
  await tell(removal("nobody-on-the-list"));
  assert(b.warnings.some((line) => line.includes("is by nobody-on-the-list, whose key is not known")));
  assertEquals(b.ids(), ["a", "b", "c"]);
});

Deno.test("a removed server is not listened to, whatever it says, and its body is not asked for", async () => {
  await using nodes = await startPair();
  const { a, b } = nodes;
  const manifest = await a.put("/x", "x");
  await until("b has it", async () => await b.text("/x") === "x");
  await b.cluster.removeServer("a");
  const refused = async (answer: Promise<unknown>) =>
    assertEquals((await assertRejects(() => answer, CdnError)).status, 403);
  const list = create(wire.ServerListSchema, { servers: [a.cluster.servers()[0]!] });
  delete list.servers[0]!.health;
  await refused(b.receiveOffer(offering(a).offer([manifestToWire(manifest)])));
  await refused(b.exchangeServers(list));
  await refused(b.cluster.answer("ping", create(wire.PingSchema, { from: "a", target: "b" }), "a"));
  await refused(b.cluster.answer("tree", create(wire.TreeQuestionSchema, { from: "a", nodes: [""] }), "a"));
  await refused(b.cluster.answer("manifests", create(wire.ManifestsQuestionSchema, { from: "a", node: "" }), "a"));
  await refused(b.cluster.answer("lacks", create(wire.LacksQuestionSchema, { from: "a" }), "a"));
  const before = a.requests.length;
  const late = await a.put("/late", "late");
  const other = b.cluster.fetchBody(late, { start: 0, end: late.size });
  assertEquals((await assertRejects(() => other, CdnError)).status, 503);
  assertEquals(a.requests.slice(before).filter((line) => line.startsWith("GET")), []);
});

Deno.test("whoever reads along with a body that has a wrong byte never gets all of it", async () => {
  const bytes = noise(600_000);
  let wrong = true;
  await using a = await startNode("a", {
    fault: async (request, answer) => {
      const response = await answer();
      if (!wrong || !request.url.includes("/peer/bodies/")) return response;
      const start = Number(/bytes=(\d+)-/.exec(request.headers.get("range") ?? "")?.[1] ?? 0);
      const body = new Uint8Array(await response.arrayBuffer());
      if (start <= 300_000) body[300_000 - start]! ^= 1;
      return new Response(body, response);
    },
  });
  const manifest = await a.put("/x", bytes);
  await using b = await startNode("b", { peers: [a.url], settings: { syncBytesPerSecond: 1 } });
  await until("b knows it", () => b.cluster.wanted("/x") !== null);
  for (const [start, end] of [[0, bytes.length], [100, bytes.length], [599_999, 600_000]] as const) {
    const read = async () => await new Response(await b.cluster.fetchBody(manifest, { start, end })).bytes();
    await assertRejects(read, Error, undefined, `${start}-${end}`);
  }
  assertEquals(await b.store.open(manifest.sha256), null);
  assert(caught(b, "a").some((reason) => reason.startsWith("sent a wrong body")));
  wrong = false;
  const whole = await new Response(await b.cluster.fetchBody(manifest, { start: 0, end: bytes.length })).bytes();
  assertEquals(digest(whole), digest(bytes));
});
