/** How pricing servers are kept equal, without a network: whatever happened apart, and in whatever order it is told. */
import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import { DatabaseSync } from "node:sqlite";
import fc from "fast-check";
import { HybridClock, jsonCodec, protobufCodec, wire } from "../../proto/mod.ts";
import { MESSAGE_LIMIT } from "../../runtime/message.ts";
import { Book } from "../../pricing/book.ts";
import { openDatabase } from "../../pricing/database.ts";
import { keepIdentity } from "../../pricing/identity.ts";
import { Replica } from "../../pricing/replica.ts";
import { Sequence } from "../../pricing/sequence.ts";
import { UsageBook } from "../../pricing/usage.ts";
import { NOON, sampleSheet, temporaryFolder } from "./kit.ts";

const MONTH = "2026-11";
let logs = 0;

/** One server's state; `close` is its end, and it comes back over the same path. */
function open(id: string, path = ":memory:", seed: wire.Sheet[] = []) {
  const database = openDatabase(path);
  const identity = keepIdentity(database, id, () => `log${(++logs).toString().padStart(9, "0")}`);
  const sequence = new Sequence(database);
  const book = new Book(database, { seed, clock: new HybridClock(id), sequence });
  const usage = new UsageBook(database, sequence);
  const replica = new Replica({ database, identity, sequence, book, usage });
  return {
    book,
    usage,
    replica,
    close: () => database.close(),
    put: (region: string, note: string, nowMs = NOON) =>
      book.put(sampleSheet({ region, note }), { by: `at-${id}`, nowMs }),
    served: (reporter: string, server: string, bytes: bigint) =>
      usage.report(
        create(wire.UsageReportSchema, {
          reporter,
          month: MONTH,
          counts: [{ place: { provider: "cloud", region: "here-1", server }, bytes }],
        }),
        NOON,
      ),
    state: () => [book.list(), usage.list(MONTH)],
  };
}

type Node = ReturnType<typeof open>;

/** Messages between two until both have all; resolves to how many it took. */
function exchange(a: Node, b: Node, nowMs = NOON, most = 200): number {
  let theyHave: number | null = null;
  for (let count = 1; count <= most; count++) {
    const question = roundTrip(a.replica.tell(theyHave === null ? null : b.replica.identity.log, theyHave, nowMs));
    b.replica.take(question, nowMs);
    const had = question.yourLog === "" ? null : Number(question.have);
    const answer = roundTrip(b.replica.tell(a.replica.identity.log, had, nowMs));
    a.replica.take(answer, nowMs);
    theyHave = Number(answer.have);
    const have = a.replica.position(b.replica.identity.log);
    if (have >= Number(answer.head) && theyHave >= a.replica.head) return count;
  }
  throw new Error("the exchange does not end");
}

function roundTrip(message: wire.PriceExchange): wire.PriceExchange {
  return protobufCodec.decode(wire.PriceExchangeSchema, protobufCodec.encode(wire.PriceExchangeSchema, message));
}

Deno.test("of two writers at once the same one wins on both, and the history tells of both where each was heard", () => {
  const [a, b] = [open("a"), open("b")];
  a.put("here-1", "by a");
  b.put("here-1", "by b");
  exchange(a, b);
  assertEquals(a.state(), b.state());
  assertEquals(a.book.get("cloud", "here-1")!.note, "by b", "the same time: the id decides");
  assertEquals(
    a.book.history("cloud", "here-1").map(({ by, server, sheet }) => [by, server, sheet?.note]),
    [["at-b", "b", "by b"], ["at-a", "a", "by a"]],
  );
  assertEquals(b.book.history("cloud", "here-1").map(({ by }) => by), ["at-b"], "what lost is not taken");
  a.put("here-1", "again by a", NOON - 60_000);
  exchange(b, a);
  assertEquals(b.book.get("cloud", "here-1")!.note, "again by a", "who has seen a write writes after it");
  for (const node of [a, b]) node.close();
});

Deno.test("a delete reaches the peer, a later write goes before it, and an older one does not", () => {
  const [a, b] = [open("a"), open("b")];
  a.put("here-1", "old");
  exchange(a, b);
  b.book.delete("cloud", "here-1", { by: "b", nowMs: NOON + 10 });
  a.put("here-1", "between", NOON + 5);
  exchange(a, b);
  assertEquals([a.book.list(), b.book.list()], [[], []]);
  b.put("here-1", "anew", NOON + 20);
  exchange(a, b);
  assertEquals(a.book.get("cloud", "here-1")!.note, "anew");
  for (const node of [a, b]) node.close();
});

Deno.test("the seed never goes before what somebody wrote, in whatever version of the program", () => {
  const a = open("a", ":memory:", [sampleSheet({ note: "list price" }), sampleSheet({ region: "gone" })]);
  const b = open("b", ":memory:", [sampleSheet({ note: "newer list price" }), sampleSheet({ region: "gone" })]);
  exchange(a, b);
  assertEquals(b.book.get("cloud", "here-1")!.note, "newer list price", "a seed is not told");
  assertEquals(a.replica.digest(NOON), b.replica.digest(NOON), "and makes no difference");
  a.put("here-1", "our contract", 1);
  a.book.delete("cloud", "gone", { by: "a", nowMs: 1 });
  exchange(b, a);
  assertEquals(b.state(), a.state());
  assertEquals(b.book.list().map(({ note, updatedBy }) => [note, updatedBy]), [["our contract", "at-a"]]);
  for (const node of [a, b]) node.close();
});

Deno.test("whatever is written, deleted and served at three servers, in the end all three hold the same", () => {
  const node = fc.nat(2);
  const step = fc.oneof(
    fc.record({
      kind: fc.constant("put" as const),
      node,
      region: fc.constantFrom("r1", "r2", "r3"),
      note: fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 3 }),
      ms: fc.integer({ min: -5, max: 5 }),
    }),
    fc.record({
      kind: fc.constant("delete" as const),
      node,
      region: fc.constantFrom("r1", "r2"),
      ms: fc.integer({ min: -5, max: 5 }),
    }),
    fc.record({
      kind: fc.constant("served" as const),
      node,
      reporter: fc.constantFrom("p1", "p2"),
      server: fc.constantFrom("x", "y"),
      bytes: fc.bigInt({ min: 0n, max: 2n ** 53n - 1n }),
    }),
    fc.record({ kind: fc.constant("exchange" as const), node, other: node }),
    // One way only: the answer is lost.
    fc.record({ kind: fc.constant("half" as const), node, other: node }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const nodes = ["a", "b", "c"].map((id) => open(id));
      for (const one of steps) {
        const at = nodes[one.node]!;
        if (one.kind === "put") at.put(one.region, one.note, NOON + one.ms);
        if (one.kind === "delete") at.book.delete("cloud", one.region, { by: "x", nowMs: NOON + one.ms });
        if (one.kind === "served") at.served(one.reporter, one.server, one.bytes);
        if (one.kind === "exchange" && one.node !== one.other) exchange(at, nodes[one.other]!);
        if (one.kind === "half" && one.node !== one.other) {
          const { replica } = nodes[one.other]!;
          replica.take(at.replica.tell(replica.identity.log, 0, NOON), NOON);
        }
      }
      // A chain, there and back: not everybody need know everybody.
      for (const [x, y] of [[0, 1], [1, 2], [0, 1]] as const) exchange(nodes[x]!, nodes[y]!);
      const [a, b, c] = nodes.map(({ state }) => state());
      assertEquals(b, a);
      assertEquals(c, a);
      assertEquals(new Set(nodes.map(({ replica }) => replica.digest(NOON).toHex())).size, 1);
      for (const one of nodes) one.close();
    }),
    { numRuns: 100 },
  );
});

Deno.test("the digest that is kept up to date is that of a database that is read anew", () => {
  using folder = temporaryFolder();
  const path = `${folder.path}/a.sqlite`;
  let a = open("a", path);
  const empty = a.replica.digest(NOON);
  a.put("here-1", "one");
  a.put("here-1", "two");
  a.put("there", "three");
  a.book.delete("cloud", "there", { by: "x", nowMs: NOON });
  a.served("p", "x", 5n);
  a.served("p", "x", 7n);
  a.served("p", "x", 6n);
  const digest = a.replica.digest(NOON);
  const head = a.replica.head;
  assertNotEquals(digest, empty);
  a.close();
  a = open("a", path);
  assertEquals([a.replica.digest(NOON), a.replica.head], [digest, head]);
  a.close();
});

Deno.test("equal servers say a few hundred bytes; after a restart too", () => {
  using folder = temporaryFolder();
  const [pathA, pathB] = [`${folder.path}/a.sqlite`, `${folder.path}/b.sqlite`];
  let [a, b] = [open("a", pathA), open("b", pathB)];
  for (let at = 0; at < 50; at++) a.put(`r${at}`, "x".repeat(500));
  for (let at = 0; at < 50; at++) b.served(`p${at}`, "x", BigInt(at + 1));
  assert(exchange(a, b) > 1);
  a.close();
  b.close();
  [a, b] = [open("a", pathA), open("b", pathB)];
  const theirs = b.replica.tell(a.replica.identity.log, a.replica.head, NOON);
  assertEquals([theirs.sheets, theirs.usage], [[], []]);
  assert(a.replica.equals(theirs, NOON));
  assert(jsonCodec.encode(wire.PriceExchangeSchema, theirs).length < 400);
  assertEquals(b.replica.position(a.replica.identity.log), a.replica.head, "what was taken in is not asked again");
  a.close();
  b.close();
});

Deno.test("pages are bounded however large the sheets and however many the counters, and all comes through", () => {
  const [a, b] = [open("a"), open("b")];
  const tiers = [
    ...Array.from({ length: 31 }, (_, at) => ({ upToBytes: BigInt(9e14 + at), nanoPerUnit: 10n ** 15n })),
    {
      nanoPerUnit: 10n ** 15n,
    },
  ];
  for (let at = 0; at < 150; at++) {
    const sheet = sampleSheet({ region: `r${at}`, tiers, note: "\u6f22".repeat(1024), source: "\u6f22".repeat(512) });
    a.book.put(sheet, { by: "x".repeat(64), nowMs: NOON });
  }
  const long = "n".repeat(60);
  const counts = (from: number) =>
    Array.from({ length: 1000 }, (_, at) => ({
      place: { provider: long, region: long, server: `${long}${from + at}`.slice(-64) },
      bytes: 2n ** 53n - 1n,
    }));
  for (let at = 0; at < 3; at++) {
    const report = { reporter: `${long}p${at}`, month: MONTH, counts: counts(1000 * at) };
    a.usage.report(create(wire.UsageReportSchema, report), NOON);
  }
  let after = 0;
  let pages = 0;
  while (after < a.replica.head) {
    const page = a.replica.tell(b.replica.identity.log, after, NOON);
    assert(jsonCodec.encode(wire.PriceExchangeSchema, page).length < MESSAGE_LIMIT);
    assert(Number(page.upTo) > after, "each page gets on");
    after = Number(page.upTo);
    pages++;
  }
  assert(pages >= 6, `${pages}`);
  exchange(a, b);
  assertEquals(a.state(), b.state());
  a.close();
  b.close();
});

Deno.test("an old backup that is put back is found out by the digest, and made equal again", () => {
  using folder = temporaryFolder();
  const path = `${folder.path}/a.sqlite`;
  let a = open("a", path);
  const b = open("b");
  a.put("r1", "one");
  a.close();
  Deno.copyFileSync(path, `${path}.backup`);
  a = open("a", path);
  a.put("r2", "two");
  a.put("r3", "three");
  exchange(a, b);
  a.close();
  for (const end of ["", "-wal", "-shm"]) {
    try {
      Deno.removeSync(path + end);
    } catch { /* none */ }
  }
  Deno.renameSync(`${path}.backup`, path);
  a = open("a", path);
  exchange(b, a);
  assertEquals(a.state(), b.state(), "its log is shorter than it was: it is told all of it again");

  // And what is written after it comes through as before.
  a.put("r4", "four");
  a.put("r5", "five");
  exchange(b, a);
  assertEquals(a.state(), b.state());
  a.close();
  b.close();
});

Deno.test("where all was told and the digests differ, all is told again, and not all the time", () => {
  const [a, b] = [open("a"), open("b")];
  a.put("r1", "one");
  a.put("r2", "two");
  // b takes it that this was all of a's log, and has nothing of it: the digest tells.
  const nothing = create(wire.PriceExchangeSchema, { ...a.replica.tell(b.replica.identity.log, 0, NOON), sheets: [] });
  assertEquals(b.replica.take(nothing, NOON), { changed: false, refused: [], again: true });
  assertEquals(b.replica.position(a.replica.identity.log), 0);
  assertEquals(b.replica.take(nothing, NOON).again, false, "and not again at once");
  assertEquals(b.replica.position(a.replica.identity.log), a.replica.head);
  assertEquals(b.book.list(), []);
  exchange(b, a, NOON + 60_000);
  exchange(b, a, NOON + 60_000);
  assertEquals(b.state(), a.state());

  // An entry that b refuses keeps them apart: it is asked for again after a minute, not at once.
  a.put("r3", "from the future", NOON + 3_600_000);
  exchange(a, b);
  exchange(a, b);
  assertEquals(b.replica.position(a.replica.identity.log), a.replica.head);
  assertEquals(b.book.get("cloud", "r3"), null);
  exchange(b, a, NOON + 3_599_000);
  exchange(b, a, NOON + 3_599_000);
  assertEquals(b.state(), a.state(), "its time has come");
  a.close();
  b.close();
});

Deno.test("entries that cannot be right are refused one by one, with the reason; the others count", () => {
  const b = open("b");
  const stamp = { wallMs: BigInt(NOON), counter: 0, server: "a" };
  const place = { provider: "cloud", region: "here-1", server: "x" };
  const sheet = (init: object) => ({ provider: "cloud", region: "r", sheet: sampleSheet(), stamp, by: "x", ...init });
  const usage = (init: object) => ({ reporter: "p", month: MONTH, place, bytes: 1n, ...init });
  const decade = 10n * 365n * 86_400_000n;
  const bad: [sheets: object[], usage: object[], words: string][] = [
    [[sheet({ stamp: { ...stamp, wallMs: stamp.wallMs + decade } })], [], "s ahead of the clock here"],
    [[sheet({ stamp: { ...stamp, wallMs: stamp.wallMs + 300_001n } })], [], "300 s ahead"],
    [[sheet({ stamp: undefined })], [], "stamp must be set"],
    [[sheet({ stamp: { ...stamp, server: "" } })], [], "stamp .server"],
    [[sheet({ stamp: { ...stamp, wallMs: -1n } })], [], "stamp .wallMs"],
    [[sheet({ region: "a/b" })], [], "region must be"],
    [[sheet({ provider: "" })], [], "provider must be"],
    [[sheet({ sheet: sampleSheet({ tiers: [] }) })], [], "sheet.tiers"],
    [[sheet({ by: "x\n" })], [], "by must be"],
    [[], [usage({ month: "2026-13" })], "month must be"],
    [[], [usage({ month: "2027-01" })], "month must not be after 2026-11"],
    [[], [usage({ month: "2024-10" })], "month must not be before 2024-11"],
    [[], [usage({ place: undefined })], "place must be set"],
    [[], [usage({ reporter: "" })], "reporter must be"],
    [[], [usage({ bytes: 2n ** 53n })], "bytes must be"],
    [[], [usage({ bytes: 2n ** 64n - 1n })], "bytes must be"],
  ];
  for (const [at, [sheets, counts, words]] of bad.entries()) {
    const region = `good${at}`;
    const message = create(wire.PriceExchangeSchema, {
      from: "a",
      log: "a",
      upTo: 1n,
      head: 1n,
      sheets: [...sheets, sheet({ region })],
      usage: [...counts, usage({ reporter: region })],
      digest: new Uint8Array(16),
    });
    const { refused, changed } = b.replica.take(message, NOON);
    assertEquals([refused.length, changed], [1, true], words);
    assertStringIncludes(refused[0]!, words);
    assertEquals(b.book.get("cloud", region)?.provider, "cloud");
  }
  assertEquals(b.book.list().length, bad.length);
  assertEquals(b.usage.list(MONTH)[0]!.bytes, BigInt(bad.length));
  // Long ago is no fault: it is older than anything else, and loses.
  const old = sheet({ region: "good0", stamp: { ...stamp, wallMs: stamp.wallMs - decade }, by: "old" });
  const message = { from: "a", log: "a", upTo: 1n, head: 1n, sheets: [old], digest: new Uint8Array(16) };
  const { refused, changed } = b.replica.take(create(wire.PriceExchangeSchema, message as never), NOON);
  assertEquals([refused, changed], [[], false]);
  b.close();
});

Deno.test("what a message says of the log's end moves nothing that was not told", () => {
  const b = open("b");
  const say = (after: number, upTo: number, head: number) => {
    const digest = new Uint8Array(16);
    const message = { from: "a", log: "a", after: BigInt(after), upTo: BigInt(upTo), head: BigInt(head), digest };
    b.replica.take(create(wire.PriceExchangeSchema, message), NOON);
    return b.replica.position("a");
  };
  assertEquals(say(5, 9, 9), 0, "a gap");
  assertEquals(say(0, 4, 9), 4);
  assertEquals(say(0, 2, 9), 4, "an old page that comes again");
  assertEquals(say(3, 8, 9), 8);
  assertEquals(say(8, 9, 9), 9);
  assertEquals(say(0, 1, 3), 1, "a log that ends before is taken from its beginning");
  b.close();
});

Deno.test("a copy of a folder under another id is a server of its own; the same id keeps its log", () => {
  using folder = temporaryFolder();
  const path = `${folder.path}/a.sqlite`;
  const a = open("a", path);
  const { log } = a.replica.identity;
  a.put("r1", "one");
  a.close();
  Deno.copyFileSync(path, `${folder.path}/b.sqlite`);
  const [again, b] = [open("a", path), open("b", `${folder.path}/b.sqlite`)];
  assertEquals(again.replica.identity, { id: "a", log });
  assertNotEquals(b.replica.identity.log, log);
  b.put("r1", "two", NOON + 1);
  exchange(again, b);
  assertEquals(again.state(), b.state());
  again.close();
  b.close();
});

Deno.test("a database of the version before is brought up to date: prices, history and usage stay, and reach a peer", () => {
  using folder = temporaryFolder();
  const path = `${folder.path}/old.sqlite`;
  const old = new DatabaseSync(path);
  old.exec(`
    CREATE TABLE changes (
      provider TEXT NOT NULL, region TEXT NOT NULL, at_ms INTEGER NOT NULL, by TEXT NOT NULL, sheet BLOB,
      PRIMARY KEY (provider, region, at_ms, by)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE counters (
      month TEXT NOT NULL, provider TEXT NOT NULL, region TEXT NOT NULL, server TEXT NOT NULL, reporter TEXT NOT NULL,
      bytes INTEGER NOT NULL,
      PRIMARY KEY (month, provider, region, server, reporter)
    ) STRICT, WITHOUT ROWID;
    PRAGMA user_version = 1;
  `);
  const insert = old.prepare("INSERT INTO changes VALUES ('cloud', ?, ?, 'x', ?)");
  const bytes = (region: string, note: string) =>
    protobufCodec.encode(wire.SheetSchema, sampleSheet({ region, note, updatedMs: 7n, updatedBy: "x" }));
  insert.run("r1", 5, bytes("r1", "first"));
  insert.run("r1", 7, bytes("r1", "second"));
  insert.run("r2", 6, null);
  old.exec(
    "INSERT INTO counters VALUES ('2026-11', 'cloud', 'r1', 's', 'p', 42), ('2026-11', 'cloud', 'r1', 's', 'q', 1)",
  );
  old.close();
  const [a, b] = [open("a", path), open("b", ":memory:", [sampleSheet({ region: "r2" })])];
  assertEquals(a.book.get("cloud", "r1")!.note, "second");
  assertEquals(a.book.history("cloud", "r1").map(({ server, sheet }) => [server, sheet!.note]), [
    ["a", "second"],
    ["a", "first"],
  ]);
  assertEquals(a.replica.head, 5);
  exchange(b, a);
  assertEquals(b.state(), a.state());
  assertEquals(b.usage.list(MONTH)[0]!.bytes, 43n);
  assertEquals(b.book.get("cloud", "r2"), null);
  a.close();
  b.close();
});
