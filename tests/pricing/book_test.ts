import { assert, assertEquals, assertThrows } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { CdnError, wire } from "../../proto/mod.ts";
import { MOST_SHEETS } from "../../pricing/book.ts";
import { openDatabase, transaction } from "../../pricing/database.ts";
import { create } from "@bufbuild/protobuf";
import { NOON, openBook, openUsage, sampleSheet, temporaryFolder } from "./kit.ts";

const seed = [sampleSheet({ region: "seeded" }), sampleSheet({ region: "other" })];
const write = { by: "local@127.0.0.1", nowMs: NOON };

Deno.test("what was written and deleted outlives the process; a deleted seed sheet does not come back", () => {
  using folder = temporaryFolder();
  const path = `${folder.path}/deep/pricing.sqlite`;
  let database = openDatabase(path);
  let book = openBook(database, seed);
  book.put(sampleSheet({ region: "new" }), write);
  book.put(sampleSheet({ region: "other", note: "mine" }), write);
  assert(book.delete("cloud", "seeded", write));
  const before = book.list();
  database.close();

  database = openDatabase(path);
  book = openBook(database, seed);
  assertEquals(book.list(), before);
  assertEquals(book.list().map(({ region, note, updatedBy }) => [region, note, updatedBy]), [
    ["new", "", "local@127.0.0.1"],
    ["other", "mine", "local@127.0.0.1"],
  ]);
  assertEquals(book.delete("cloud", "seeded", write), false);
  assert(book.put(sampleSheet({ region: "seeded" }), write), "it can be written again");
  database.close();
});

Deno.test("a seed sheet that nobody wrote follows the program's seed", () => {
  using folder = temporaryFolder();
  const path = `${folder.path}/pricing.sqlite`;
  openDatabase(path).close();
  const database = openDatabase(path);
  const book = openBook(database, [sampleSheet({ region: "seeded", note: "renewed" })]);
  assertEquals(book.get("cloud", "seeded")!.note, "renewed");
  assertEquals([book.get("cloud", "seeded")!.updatedMs, book.get("cloud", "seeded")!.updatedBy], [0n, "seed"]);
  database.close();
});

Deno.test("the history has every write with who and when, the newest first, and the seed last", () => {
  const database = openDatabase(":memory:");
  const book = openBook(database, seed);
  book.put(sampleSheet({ region: "seeded", note: "one" }), { by: "a", nowMs: NOON });
  book.delete("cloud", "seeded", { by: "b", nowMs: NOON + 5 });
  book.put(sampleSheet({ region: "seeded", note: "two" }), { by: "c", nowMs: NOON + 9 });
  assertEquals(
    book.history("cloud", "seeded").map(({ by, atMs, sheet }) => [by, Number(atMs), sheet?.note]),
    [["c", NOON + 9, "two"], ["b", NOON + 5, undefined], ["a", NOON, "one"], ["seed", 0, ""]],
  );
  assertEquals(book.history("cloud", "seeded", 2).map(({ by }) => by), ["c", "b"]);
  assertEquals(book.history("cloud", "unknown"), []);
  database.close();
});

Deno.test("a write counts even where the clock went back, and after a restart", () => {
  using folder = temporaryFolder();
  const path = `${folder.path}/pricing.sqlite`;
  let database = openDatabase(path);
  let book = openBook(database, []);
  book.put(sampleSheet({ note: "first" }), write);
  book.put(sampleSheet({ note: "second" }), { by: "z", nowMs: NOON - 60_000 });
  assertEquals(book.get("cloud", "here-1")!.note, "second");
  database.close();
  database = openDatabase(path);
  book = openBook(database, []);
  assertEquals(book.get("cloud", "here-1")!.note, "second");
  assertEquals(book.get("cloud", "here-1")!.updatedMs, BigInt(NOON + 1));
  database.close();
});

Deno.test("a second server on the same folder is turned away, and so is a file that is none of ours", () => {
  using folder = temporaryFolder();
  const path = `${folder.path}/pricing.sqlite`;
  const database = openDatabase(path);
  assertThrows(() => openDatabase(path), CdnError, "another pricing server has it open");
  database.close();

  const text = `${folder.path}/text`;
  Deno.writeTextFileSync(text, "no database at all, but long enough to be read as one".repeat(40));
  assertThrows(() => openDatabase(text), CdnError, "not a database");
  assertThrows(() => openDatabase(`${text}/x/pricing.sqlite`), CdnError, "Cannot open");

  const newer = `${folder.path}/newer`;
  const other = new DatabaseSync(newer);
  other.exec("PRAGMA user_version = 99");
  other.close();
  assertThrows(() => openDatabase(newer), CdnError, "a newer program wrote it");
});

Deno.test("where there is no room a write is refused with 507, and everything else stays and goes on", () => {
  using folder = temporaryFolder();
  const database = openDatabase(`${folder.path}/pricing.sqlite`);
  const book = openBook(database, seed);
  const usage = openUsage(database);
  book.put(sampleSheet({ note: "kept" }), write);
  const { page_count: pages } = database.prepare("PRAGMA page_count").get() as { page_count: number };
  database.exec(`PRAGMA max_page_count = ${pages}`);
  let refused = 0;
  for (let at = 0; at < 200; at++) {
    try {
      book.put(sampleSheet({ note: `${at} ${"x".repeat(900)}` }), write);
    } catch (error) {
      assert(error instanceof CdnError && error.status === 507, String(error));
      refused++;
    }
  }
  assert(refused > 0);
  const noted = book.get("cloud", "here-1")!.note;
  const newest = book.history("cloud", "here-1", 1)[0]!.sheet!.note;
  assertEquals(noted, newest, "memory and database agree");
  const places = Array.from({ length: 900 }, (_, at) => ({ provider: "cloud", region: `r${at}`, server: "s" }));
  const counts = places.map((place) => create(wire.UsageCountSchema, { place, bytes: 5n }));
  const report = create(wire.UsageReportSchema, { reporter: "p", month: "2026-11", counts });
  const error = assertThrows(() => usage.report(report, NOON), CdnError);
  assertEquals(error.status, 507);
  assertEquals(usage.list("2026-11"), [], "a report counts whole or not at all");
  database.exec("PRAGMA max_page_count = 100000");
  book.put(sampleSheet({ note: "room again" }), write);
  assertEquals(book.get("cloud", "here-1")!.note, "room again");
  database.close();
});

Deno.test("a transaction that fails half way leaves nothing behind, and the next one works", () => {
  const database = openDatabase(":memory:");
  const insert = () => database.exec("INSERT INTO counters VALUES ('2026-11', 'a', 'b', 'c', 'd', 5, 1)");
  assertThrows(() =>
    transaction(database, () => {
      insert();
      throw new TypeError("half way");
    }), TypeError);
  assertEquals(openUsage(database).list("2026-11"), []);
  transaction(database, insert);
  assertEquals(openUsage(database).list("2026-11").length, 1);
  database.close();
});

Deno.test("there is an end to how many sheets are kept", () => {
  const database = openDatabase(":memory:");
  const many = Array.from({ length: MOST_SHEETS }, (_, at) => sampleSheet({ region: `r${at}` }));
  const book = openBook(database, many);
  const error = assertThrows(() => book.put(sampleSheet(), write), CdnError);
  assertEquals(error.status, 507);
  book.put(sampleSheet({ region: "r7", note: "changed" }), write);
  assertEquals(book.get("cloud", "r7")!.note, "changed");
  database.close();
});
