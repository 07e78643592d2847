import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { CdnError, type Manifest, manifestToWire, wire } from "../../../proto/mod.ts";
import { keyName, rangeOf } from "../../../server/cluster/digest_tree.ts";
import { MemoryLedger } from "../../../server/cluster/memory_ledger.ts";
import { limits } from "../../../server/cluster/tree_answers.ts";
import { pathKey } from "../../../server/store/path_key.ts";
import { chunksOf, pattern } from "../../suite/store_suite.ts";
import { HOUR, live, Net, openSite, Site, stampOf, START, tombstone } from "./catalog_kit.ts";

const never = new AbortController().signal;
/** Two paths with the same key: found by Pollard's rho in 48 bits. */
const twins = ["/740bf681b6e7", "/926e212bccc2"] as const;

/** Two servers that know the same. */
async function pair(known: Manifest[] = []): Promise<{ net: Net; a: Site; b: Site }> {
  const net = new Net();
  const [a, b] = await Promise.all(["a", "b"].map((id) => {
    const ledger = new MemoryLedger();
    ledger.wanted.setAll(known);
    return openSite({ net, id, ledger });
  })) as [Site, Site];
  a.peers.set("b", b);
  b.peers.set("a", a);
  return { net, a, b };
}

const digestOf = (site: Site) => site.catalog.summary().digest.toHex();
const written = (path: string, at: number) =>
  at % 3 === 0 ? tombstone(path, stampOf(START + at)) : live(path, stampOf(START + at));

const someDifference = fc.array(
  fc.record({
    path: fc.oneof(fc.nat(400).map((n) => `/p/${n}`), fc.constantFrom(...twins)),
    a: fc.option(fc.nat(6)),
    b: fc.option(fc.nat(6)),
  }),
  { maxLength: 200 },
);

Deno.test("whatever two servers know, after one comparison both know the newest of all", () =>
  fc.assert(
    fc.asyncProperty(someDifference, fc.nat(100), async (rows, common) => {
      const { a, b } = await pair();
      const expected = new Map<string, number>();
      const same = Array.from({ length: common }, (_, n) => ({ path: `/common/${n}`, a: 1, b: 1 }));
      for (const [site, of] of [[a, "a"], [b, "b"]] as const) {
        await site.learn([...same, ...rows].flatMap((row) => row[of] === null ? [] : written(row.path, row[of])));
      }
      for (const { path, a, b } of [...same, ...rows]) {
        if (a !== null || b !== null) {
          expected.set(path, Math.max(a ?? 0, b ?? 0, expected.get(path) ?? 0));
        }
      }
      await a.repair.reconcile(b, never);
      assertEquals(digestOf(a), digestOf(b));
      assertEquals(await a.all(), await b.all());
      assertEquals(
        new Map((await a.all()).map(({ manifest: { path, version } }) => [path, version.wallMs - START])),
        new Map([...expected].sort(([p], [q]) => pathKey(p) - pathKey(q) || (p < q ? -1 : 1))),
      );
      assertEquals((await a.repair.reconcile(b, never)).messages, 1);
    }),
    { numRuns: 60 },
  ));

Deno.test("two paths of one key are told apart, in both directions", async () => {
  assertEquals(pathKey(twins[0]), pathKey(twins[1]));
  const others = Array.from({ length: 100 }, (_, n) => written(`/${n}`, 1));
  for (const [mine, theirs] of [[[0], [1]], [[0, 1], []], [[], [0, 1]], [[0, 1], [0]]] as const) {
    const { a, b } = await pair();
    await a.learn([...others, ...mine.map((n) => written(twins[n], 1))]);
    await b.learn([...others, ...theirs.map((n) => written(twins[n], 2))]);
    await a.repair.reconcile(b, never);
    assertEquals(digestOf(a), digestOf(b));
    assertEquals((await a.all()).length, 102 - (mine.length + theirs.length < 2 ? 1 : 0));
  }
});

Deno.test("an empty server takes the index page by page, and sends nothing", async () => {
  const { net, a, b } = await pair();
  await b.learn(Array.from({ length: 5000 }, (_, n) => written(`/${n}`, n % 7)));
  const tally = await a.repair.reconcile(b, never);
  assertEquals(tally, { messages: 5, learned: 5000, offered: 0, refused: 0, aside: 0 });
  assertEquals(digestOf(a), digestOf(b));
  assertEquals(net.traffic.messages, 5);
});

Deno.test("a server with little offers it, and takes what it lacks in pages of subtrees", async () => {
  const { a, b } = await pair();
  await b.learn(Array.from({ length: 5000 }, (_, n) => written(`/${n}`, n % 7)));
  await a.learn([written("/x", 1), written("/y", 2)]);
  const tally = await a.repair.reconcile(b, never);
  assertEquals([tally.learned, tally.offered], [5000, 2]);
  assert(tally.messages < 80, `${tally.messages}`);
  assertEquals(digestOf(a), digestOf(b));
});

Deno.test("what broke off in the middle is not asked for again", async () => {
  const { net, a, b } = await pair();
  await b.learn(Array.from({ length: 5000 }, (_, n) => written(`/${n}`, 1)));
  net.meddle = (name, _question, answer) => {
    if (name === "manifests" && net.traffic.messages > 3) throw new CdnError("cut", { source: "peer", retry: true });
    return answer();
  };
  await assertRejects(() => a.repair.reconcile(b, never), CdnError, "cut");
  assertEquals(a.catalog.tree.node("").count, 3000);
  await a.close();
  // A restart of the process: the ledger is what it was.
  const again = await openSite({ net, id: "a", store: a.store, ledger: a.ledger });
  assertEquals(again.catalog.tree.node("").count, 3000);
  net.meddle = (_name, _question, answer) => answer();
  const before = { ...net.traffic };
  const tally = await again.repair.reconcile(b, never);
  assertEquals(tally.learned, 2000);
  assertEquals(digestOf(again), digestOf(b));
  // Whole manifests of JSON are about 350 bytes; 3000 of them were not sent again.
  assert(net.traffic.json - before.json < 2600 * 400, `${net.traffic.json - before.json}`);
});

Deno.test("who knows the same and lacks only bodies has nothing to compare", async () => {
  const { a, b } = await pair();
  const manifests = Array.from({ length: 40 }, (_, n) => written(`/${n}`, 1));
  await a.learn(manifests);
  await b.learn(manifests);
  const [first] = manifests;
  await b.catalog.store.stage(chunksOf(pattern(10, first!.version.wallMs % 1000)));
  assertEquals((await b.catalog.settle(first!.sha256)).length, 40);
  assertEquals(digestOf(a), digestOf(b));
  assertEquals(a.catalog.summary().wantedObjects, 40n);
  assertEquals(b.catalog.summary().wantedObjects, 0n);
});

Deno.test("messages stay within their bounds, however large manifests are", async () => {
  const { net, a, b } = await pair();
  const meta = Object.fromEntries(Array.from({ length: 64 }, (_, n) => [`key${n}`, "\u{1f4f7}".repeat(500)]));
  const large = (n: number): Manifest => ({ ...live(`/large/${n}`, stampOf(START)), meta });
  await a.learn([0, 1, 2, 3, 4, 5, 6, 7].map(large));
  await b.learn([10, 11, 12, 13, 14, 15, 16, 17].map(large));
  await a.repair.reconcile(b, never);
  assertEquals(digestOf(a), digestOf(b));
  assert(net.largest > 200_000 && net.largest <= limits.bytes + 10_000, `${net.largest}`);
});

Deno.test("what is not believed is not learned; the rest is", async () => {
  const net = new Net();
  const check = ({ path }: Manifest) => path === "/forged" ? "its signature is wrong" : null;
  const a = await openSite({ net, id: "a", check });
  const b = await openSite({ net, id: "b" });
  await a.learn([written("/mine", 1)]);
  await b.learn([written("/forged", 1), written("/right", 1)]);
  const tally = await a.repair.reconcile(b, never);
  assertEquals([tally.learned, tally.refused], [1, 1]);
  assertEquals(await a.catalog.get("/forged"), null);
});

type Nodes = Partial<Pick<wire.TreeAnswer_Node, "count" | "children" | "entries">>[];

/** What a server that means ill may answer, in place of what is right. */
interface Evil {
  tree?: (names: string[]) => Nodes;
  manifests?: (page: wire.ManifestPage) => { manifests?: wire.Manifest[]; next?: string };
}

let state = 1;
function noise(length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) >>> 24);
}
const entry = (key: number) => new Uint8Array([...Uint8Array.fromHex(keyName(key)), ...noise(8)]);
const endless = (names: string[]): Nodes => names.map(() => ({ count: 2n ** 50n, children: noise(128) }));
const wired = (...paths: string[]) => paths.map((path) => manifestToWire(written(path, 2)));

let place = 0;
const evil: Record<string, Evil> = {
  "endless pages of nothing": {
    tree: endless,
    manifests: () => ({ manifests: [], next: `${keyName(place++)}/` }),
  },
  "endless pages without getting on": { tree: endless, manifests: () => ({ manifests: [], next: "000000000000/" }) },
  "a next that lies behind": { tree: endless, manifests: () => ({ next: "000000000000/" }) },
  "a next that is no place": { tree: endless, manifests: () => ({ next: "x".repeat(10_000) }) },
  "manifests that were not asked for": {
    tree: (names) => names.map(() => ({ count: 1n, entries: entry(7) })),
    manifests: () => ({ manifests: wired("/evil"), next: "" }),
  },
  "too many manifests": { tree: endless, manifests: () => ({ manifests: wired(...Array(1001).fill("/evil")) }) },
  "manifests out of order": { manifests: ({ manifests }) => ({ manifests: manifests.reverse() }) },
  "manifests twice": { manifests: ({ manifests }) => ({ manifests: [...manifests, ...manifests] }) },
  "no node": { tree: () => [] },
  "too many nodes": { tree: (names) => [...names, ""].map(() => ({})) },
  "a count without anything": { tree: (names) => names.map(() => ({ count: 5n })) },
  "children without a count": { tree: (names) => names.map(() => ({ children: noise(128) })) },
  "half its children": { tree: (names) => names.map(() => ({ count: 99n, children: noise(64) })) },
  "an entry outside the node": {
    tree: (names) =>
      names.map((name) =>
        name === "" ? { count: 99n, children: noise(128) } : { count: 1n, entries: entry(rangeOf(name)[1] % 2 ** 48) }
      ),
  },
  "entries out of order": { tree: () => [{ count: 2n, entries: new Uint8Array([...entry(7), ...entry(6)]) }] },
  "half an entry": { tree: () => [{ count: 1n, entries: new Uint8Array(13) }] },
  "children and entries": { tree: () => [{ count: 1n, entries: entry(1), children: noise(128) }] },
  "a million entries": { tree: () => [{ count: 1_000_000n, entries: new Uint8Array(14_000_000) }] },
  "nodes without end": { tree: endless, manifests: () => ({ manifests: [], next: "" }) },
};

for (const [what, { tree, manifests }] of Object.entries(evil)) {
  Deno.test(`a server that answers with ${what} is left, and nothing is changed by it`, async () => {
    const { net, a, b } = await pair();
    await b.learn(Array.from({ length: 60 }, (_, n) => written(`/b/${n}`, 1)));
    await a.learn([written("/a", 1)]);
    place = 0;
    net.meddle = async (name, question, answer) => {
      const right = await answer();
      if (name === "tree" && tree) {
        const nodes = tree((question as wire.TreeQuestion).nodes);
        return create(wire.TreeAnswerSchema, { nodes: nodes as wire.TreeAnswer_Node[] }) as typeof right;
      }
      if (name === "manifests" && manifests) Object.assign(right, manifests(right as wire.ManifestPage));
      return right;
    };
    const error = await assertRejects(() => a.repair.reconcile(b, never), CdnError);
    assertMatch(error.message, /Cannot compare with b|Malformed/); // by us, or at the door already
    assert(net.traffic.messages < 1200, `${net.traffic.messages}`);
    assertEquals(await a.catalog.get("/evil"), null);
    net.meddle = (_name, _question, answer) => answer();
    await a.repair.reconcile(b, never);
    assertEquals(digestOf(a), digestOf(b));
    assertEquals(a.catalog.tree.node("").count, 61);
  });
}

Deno.test("entries that do not exist cost their questions, and no more", async () => {
  const { net, a, b } = await pair();
  await a.learn(Array.from({ length: 300 }, (_, n) => written(`/a/${n}`, 1)));
  net.meddle = async (name, question, answer) => {
    const right = await answer();
    if (name !== "tree") return Object.assign(right, name === "manifests" ? { manifests: [], next: "" } : {});
    const nodes: Nodes = (question as wire.TreeQuestion).nodes.map((node) =>
      node.length < 5 ? { count: 2n ** 40n, children: noise(128) } : { count: 1n, entries: entry(rangeOf(node)[0] + 1) }
    );
    return create(wire.TreeAnswerSchema, { nodes: nodes as wire.TreeAnswer_Node[] }) as typeof right;
  };
  await a.repair.reconcile(b, never).catch((error) => assert(error instanceof CdnError));
  assert(net.traffic.messages <= 1_300, `${net.traffic.messages}`);
  assertEquals(a.catalog.tree.node("").count, 300);
});

Deno.test("wrong questions are refused, and while the catalog is read all are told to come again", async () => {
  const { a } = await pair();
  await a.learn([written("/x", 1)]);
  const ask = (question: Partial<wire.ManifestsQuestion>) =>
    a.repair.answerManifests(create(wire.ManifestsQuestionSchema, question as never));
  const status = (work: () => Promise<unknown>) => assertRejects(work, CdnError).then((error) => error.status);
  const nodes = (nodes: string[]) => () => a.repair.answerTree(create(wire.TreeQuestionSchema, { nodes }));
  assertEquals(await status(nodes(["xyz"])), 400);
  assertEquals(await status(nodes(Array(257).fill(""))), 400);
  assertEquals(await status(() => ask({ node: "0123456789abc" })), 400);
  assertEquals(await status(() => ask({ keys: new Uint8Array(7) })), 400);
  assertEquals(await status(() => ask({ keys: new Uint8Array(6006) })), 400);
  assertEquals(await status(() => ask({ node: "", after: "nonsense" })), 400);
  assertEquals((await ask({ keys: new Uint8Array() })).manifests, []);
  const unread = new Site({ net: new Net(), id: "u" });
  const question = create(wire.TreeQuestionSchema, { nodes: [""] });
  const error = await assertRejects(() => unread.repair.answerTree(question), CdnError);
  assertEquals([error.status, error.retry], [503, true]);
  assertEquals(await status(() => unread.repair.reconcile(a, never)), 503);
});

Deno.test("what is lacked is told by path, page by page", async () => {
  const { a } = await pair();
  await a.learn(Array.from({ length: 25 }, (_, n) => live(`/${n}`, stampOf(START))));
  const paths: string[] = [];
  for (let after = "";;) {
    const { lacks, next } = a.repair.answerLacks(create(wire.LacksQuestionSchema, { after, limit: 10 }));
    paths.push(...lacks.map(({ path }) => path));
    if (next === "") break;
    after = next;
  }
  assertEquals(paths, Array.from({ length: 25 }, (_, n) => `/${n}`).sort());
});

/** Ten objects of `size` differ: what it costs. */
async function costOf(size: number): Promise<Net["traffic"]> {
  const common = Array.from({ length: size }, (_, n) => live(`/c/${n}`, stampOf(START)));
  const { net, a, b } = await pair(common);
  await a.learn(common.slice(0, 5).map(({ path }) => live(path, stampOf(START + HOUR))));
  await b.learn(common.slice(5, 10).map(({ path }) => live(path, stampOf(START + HOUR))));
  const { learned, offered, messages } = await a.repair.reconcile(b, never);
  assertEquals([learned, offered], [5, 5]);
  assertEquals(digestOf(a), digestOf(b));
  assertEquals(messages, net.traffic.messages);
  return net.traffic;
}

Deno.test("ten differing objects cost at most twice as much among 100,000 as among 1,000", async () => {
  const [few, , many] = [await costOf(1_000), await costOf(10_000), await costOf(100_000)];
  for (const measure of ["messages", "json", "protobuf"] as const) {
    assert(many[measure] <= 2 * few[measure], `${measure}: ${few[measure]} and ${many[measure]}`);
  }
});
