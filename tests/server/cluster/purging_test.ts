import { assert, assertEquals, assertRejects } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import { CdnError, wire } from "../../../proto/mod.ts";
import type { Purging } from "../../../server/cluster/mod.ts";
import { Node, startNode, until, untilJoined } from "./node.ts";

const purge = { version: { wallMs: 1n, counter: 0, server: "a" }, keys: ["/x"] };
const order = (from: string) => create(wire.PurgeOrderSchema, { from, purge });
const question = (from: string) => create(wire.PurgesQuestionSchema, { from });
const asking = { timeoutMs: 5000, signal: new AbortController().signal };

/** Notes what it is told. */
class Noted implements Purging {
  readonly taken: string[] = [];
  readonly metIds: string[] = [];
  backs = 0;

  take({ from }: wire.PurgeOrder): Promise<wire.PurgeTaken> {
    this.taken.push(from);
    return Promise.resolve(create(wire.PurgeTakenSchema, { removed: 3n }));
  }
  list(): wire.PurgesPage {
    return create(wire.PurgesPageSchema, { log: "l", head: 7n });
  }
  met(id: string): void {
    this.metIds.push(id);
  }
  back(): void {
    this.backs++;
  }
}

for (const encoding of ["json", "protobuf"] as const) {
  Deno.test(`a cluster hands on purges between servers of the list, and to nobody else (${encoding})`, async () => {
    const noted = new Noted();
    await using a = await startNode("a", { encoding });
    await using b = await startNode("b", { encoding, peers: [a.url], role: "edge", purging: noted });
    await untilJoined(a, b);
    assertEquals((await a.cluster.ask(b.url, "purge", order("a"), asking)).removed, 3n);
    assertEquals((await a.cluster.ask(b.url, "purges", question("a"), asking)).head, 7n);
    for (const from of ["stranger", "b2"]) {
      const error = await assertRejects(() => a.cluster.ask(b.url, "purge", order(from), asking), CdnError);
      assertEquals(error.status, 403);
      await assertRejects(() => a.cluster.ask(b.url, "purges", question(from), asking), CdnError, "list of servers");
    }
    // In the name of another than the one that signed it.
    await assertRejects(() => b.cluster.answer("purge", order("a"), "b"), CdnError, "signed by b");
    assertEquals(noted.taken, ["a"]);
    // One that was made without purges has none.
    const error = await assertRejects(() => b.cluster.ask(a.url, "purge", order("b"), asking), CdnError);
    assertEquals(error.status, 501);
  });
}

Deno.test("a cluster tells when others are met, and when one hears again after it was cut off", async () => {
  const noted = new Noted();
  await using a = await startNode("a");
  let isCut = false;
  const refuse = () => Promise.reject(new TypeError("cut"));
  const b = new Node("b", {
    purging: noted,
    fetch: (...args) => isCut ? refuse() : fetch(...args),
    fault: (_, answer) => isCut ? new Response(null, { status: 503 }) : answer(),
  });
  await using _b = await b.start([a.url]);
  await untilJoined(a, b);
  await until("b has met a", () => noted.metIds.includes("a"));
  assertEquals(noted.backs, 0);
  const mets = noted.metIds.length;
  isCut = true;
  await until("b knows that it is cut off", () => b.warnings.some((line) => line.startsWith("nobody answers")));
  isCut = false;
  await until("b hears again", () => noted.backs === 1 && noted.metIds.length > mets);
  assert(noted.metIds.every((id) => id === "a"));
});
