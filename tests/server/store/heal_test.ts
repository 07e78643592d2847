/** The index and its journal: what is lost or damaged of one is there again from the other. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { CdnError, type Manifest, tombstone } from "../../../proto/mod.ts";
import { createLogger, type Logger } from "../../../runtime/log.ts";
import { type DiskStoreOptions, KEYS, openDiskStore, type Store } from "../../../server/store/mod.ts";
import { placeOf } from "../../kit/body_place.ts";
import { tempDir } from "../../kit/temp_dir.ts";
import { linesUntilKilled } from "../../kit/until_killed.ts";
import { manifestOf, pattern, read, sha256, versionOf, write } from "../../suite/store_suite.ts";

const open = (folder: string, options: Partial<DiskStoreOptions> = {}) =>
  openDiskStore({ folder, minFreeBytes: 0, ...options });

function listening(): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  return { log: createLogger({ level: "warn", write: (line) => lines.push(line) }), lines };
}

async function everything(store: Store): Promise<Manifest[]> {
  return (await store.list({ by: "path", limit: 100_000, tombstones: true })).entries.map(({ manifest }) => manifest);
}

async function lastChange(store: Store): Promise<number> {
  return (await store.list({ by: "change", after: 0, limit: 100_000 })).entries.at(-1)?.change ?? 0;
}

const signature = new Uint8Array(64).fill(7).toBase64();

/** Overwritten, deleted, forgotten and signed paths; 400 rows so that the index has many pages. */
async function fill(store: Store): Promise<void> {
  for (let at = 0; at < 400; at++) await store.put(tombstone(`/grave/${at}`, versionOf(at + 1)));
  await write(store, "/a", versionOf(1), pattern(10, 1));
  await write(store, "/a", versionOf(3), pattern(10, 2));
  const signed = manifestOf("/b", versionOf(4), pattern(10, 2));
  await store.put(signed);
  await store.put({ ...signed, signature });
  await write(store, "/gone", versionOf(5), pattern(10, 3));
  await store.forget("/gone", versionOf(5));
  await store.put(tombstone("/again", versionOf(9)));
  await store.forget("/again", versionOf(9));
  await write(store, "/again", versionOf(8), pattern(30_000, 4));
}

/** Fills a store, closes it, does harm, and opens it again: everything must be there, under new change numbers. */
async function survives(
  harm: (folder: string) => void | Promise<void>,
  check: (warnings: string[], folder: string) => void = () => {},
): Promise<void> {
  await using dir = await tempDir();
  const folder = dir.path;
  const { log, lines } = listening();
  let before: Manifest[];
  let change: number;
  {
    await using store = await open(folder);
    await fill(store);
    before = await everything(store);
    change = await lastChange(store);
  }
  await harm(folder);
  for (let round = 0; round < 2; round++) {
    await using store = await open(folder, { log });
    assertEquals(await everything(store), before);
    assertEquals((await store.list({ by: "key", from: 0, to: KEYS, limit: 10_000 })).entries.length, before.length);
    assertEquals(await read(store, sha256(pattern(30_000, 4))), pattern(30_000, 4));
    await store.put(tombstone("/later", versionOf(100 + round)));
    const news = (await store.list({ by: "change", after: change, limit: 10_000 })).entries;
    assertEquals(news.at(-1)!.manifest.path, "/later", "its number was never given before");
    change = news.at(-1)!.change;
    await store.forget("/later", versionOf(100 + round));
  }
  check(lines, folder);
}

const names = (folder: string) => Array.from(Deno.readDirSync(folder), ({ name }) => name);
const rebuiltOnce = (lines: string[]) =>
  assertEquals(lines.filter((line) => line.includes("rebuilt the index")).length, 1);

function overwrite(path: string, at: number, bytes: Uint8Array): void {
  using file = Deno.openSync(path, { write: true });
  file.seekSync(at, Deno.SeekMode.Start);
  file.writeSync(bytes);
}

Deno.test("heal: a folder that nothing happened to opens without a word, and its journal stays", () =>
  survives(() => {}, (lines, folder) => {
    assertEquals(lines, []);
    assertEquals(names(folder).filter((name) => name.includes("broken")), []);
  }));

Deno.test("heal: the index is gone", () =>
  survives((folder) => Deno.removeSync(`${folder}/index.sqlite`), (lines) => {
    rebuiltOnce(lines);
  }));

Deno.test("heal: the index is empty", () =>
  survives((folder) => Deno.truncateSync(`${folder}/index.sqlite`), rebuiltOnce));

Deno.test("heal: the index is something else", () =>
  survives((folder) => Deno.writeFileSync(`${folder}/index.sqlite`, pattern(50_000)), (lines, folder) => {
    rebuiltOnce(lines);
    assert(names(folder).some((name) => name.startsWith("index.sqlite.broken-")), "it is set aside");
  }));

Deno.test("heal: the end of the index is gone", () =>
  survives((folder) => {
    const path = `${folder}/index.sqlite`;
    Deno.truncateSync(path, Deno.statSync(path).size >> 1);
  }, rebuiltOnce));

for (const part of [0, 0.1, 0.5, 0.9]) {
  Deno.test(`heal: there is noise at ${part * 100} % of the index`, () =>
    survives((folder) => {
      const path = `${folder}/index.sqlite`;
      const pages = Deno.statSync(path).size / 4096;
      overwrite(path, Math.floor(pages * part) * 4096, pattern(3 * 4096, 9));
    }, rebuiltOnce));
}

Deno.test("heal: the journal is gone", () =>
  survives((folder) => Deno.removeSync(`${folder}/journal.ndjson`), (lines, folder) => {
    assertEquals(lines, []);
    assert(Deno.statSync(`${folder}/journal.ndjson`).size > 1000);
  }));

Deno.test("heal: a journal that lacks its end, or has rot, is written anew from the index, and is whole then", async () => {
  for (
    const harm of [
      (path: string) => Deno.truncateSync(path, Deno.statSync(path).size - 1000),
      (path: string) => overwrite(path, 5000, new Uint8Array(1000)),
      (path: string) => overwrite(path, 7000, pattern(1000)),
    ]
  ) {
    await survives(async (folder) => {
      harm(`${folder}/journal.ndjson`);
      await (await open(folder))[Symbol.asyncDispose]();
      Deno.removeSync(`${folder}/index.sqlite`);
    }, rebuiltOnce);
  }
});

Deno.test("heal: of a rotten journal each whole line counts, and bodies that lost their name are kept", async () => {
  await using dir = await tempDir();
  const folder = dir.path;
  let time = 1000;
  const options = { now: () => time, graceMs: 100 };
  {
    await using store = await open(folder, options);
    for (let at = 0; at < 9; at++) await write(store, `/${at}`, versionOf(at + 1), pattern(100, at));
  }
  const lines = Deno.readTextFileSync(`${folder}/journal.ndjson`).split("\n");
  const rotten = lines.findIndex((line) => line.includes('"/4"'));
  lines[rotten] = lines[rotten]!.replace("text/plain", "text/plein");
  Deno.writeTextFileSync(`${folder}/journal.ndjson`, lines.join("\n").slice(0, -20));
  Deno.removeSync(`${folder}/index.sqlite`);
  const { log, lines: warnings } = listening();
  await using store = await open(folder, { ...options, log });
  assertEquals((await everything(store)).map(({ path }) => path), ["/0", "/1", "/2", "/3", "/5", "/6", "/7"]);
  assert(warnings.some((line) => line.includes("rebuilt the index") && line.includes("faulty=2")), warnings.join());
  assert(names(folder).some((name) => name.startsWith("journal.ndjson.broken-")), "it is set aside");
  time += 1000;
  assertEquals(await store.sweep(), 0);
  // Who knows the manifest still need not send the body again.
  assertEquals(await store.put(manifestOf("/4", versionOf(5), pattern(100, 4))), true);
  assertEquals(await read(store, sha256(pattern(100, 4))), pattern(100, 4));
});

Deno.test("heal: without index and journal the bodies are kept, and change numbers do not begin anew", async () => {
  await using dir = await tempDir();
  let before: number;
  {
    await using store = await open(dir.path);
    await write(store, "/a", versionOf(1), pattern(100));
    await write(store, "/a", versionOf(2), pattern(100));
    before = await lastChange(store);
  }
  for (const name of ["index.sqlite", "journal.ndjson"]) Deno.removeSync(`${dir.path}/${name}`);
  await using store = await open(dir.path, { graceMs: 0 });
  assertEquals(await everything(store), []);
  assertEquals(await store.sweep(), 0);
  assertEquals(await store.put(manifestOf("/a", versionOf(2), pattern(100))), true);
  assert(await lastChange(store) > before);
});

Deno.test("heal: what the journal has beyond the index comes back: a lost write-ahead log", async () => {
  await using dir = await tempDir();
  const folder = dir.path;
  {
    await using store = await open(folder);
    await write(store, "/a", versionOf(1), pattern(10));
  }
  Deno.copyFileSync(`${folder}/index.sqlite`, `${folder}/older`);
  {
    await using store = await open(folder);
    await write(store, "/b", versionOf(2), pattern(20));
    await store.forget("/a", versionOf(1));
  }
  Deno.renameSync(`${folder}/older`, `${folder}/index.sqlite`);
  await using store = await open(folder);
  assertEquals((await everything(store)).map(({ path }) => path), ["/b"]);
});

Deno.test("heal: a row whose body is not there any more is a manifest all the same", async () => {
  await using dir = await tempDir();
  const digest = sha256(pattern(100));
  let manifest: Manifest;
  {
    await using store = await open(dir.path);
    manifest = await write(store, "/a", versionOf(1), pattern(100));
  }
  Deno.removeSync(`${dir.path}/index.sqlite`);
  Deno.removeSync(placeOf(dir.path, digest).file);
  await using store = await open(dir.path);
  assertEquals(await everything(store), [manifest]);
  assertEquals(await store.open(digest), null);
  assertEquals(await store.put(manifest), true);
  await write(store, "/a", versionOf(1), pattern(100));
  assertEquals(await read(store, digest), pattern(100));
});

Deno.test("heal: the journal is as long as it need be, however often a path is overwritten", async () => {
  await using dir = await tempDir();
  {
    await using store = await open(dir.path);
    for (let at = 0; at < 1100; at++) await store.put(tombstone("/a", versionOf(at + 1)));
  }
  await using _store = await open(dir.path);
  assertEquals(Deno.readTextFileSync(`${dir.path}/journal.ndjson`).trimEnd().split("\n").length, 2);
});

Deno.test("heal: kill -9 in the middle of puts, then the index is lost: all that was acknowledged is there", async () => {
  await using dir = await tempDir();
  const folder = dir.path;
  const writer = new URL("./writer_process.ts", import.meta.url);
  const newest = new Map<string, { wallMs: number; digest: string }>();
  for (const [round, lines] of [40, 5, 60].entries()) {
    const printed = await linesUntilKilled(writer, [folder, String(round + 1)], {
      lines,
      flags: ["--allow-read", `--allow-write=${folder}`],
    });
    for (const line of printed) {
      const [path, wallMs, digest] = line.split(" ") as [string, string, string];
      newest.set(path, { wallMs: Number(wallMs), digest });
    }
    Deno.removeSync(`${folder}/index.sqlite`);
    await using store = await open(folder);
    for (const [path, { wallMs, digest }] of newest) {
      const manifest = await store.get(path);
      assert(manifest && manifest.version.wallMs >= wallMs, `${path} is gone, or went back`);
      if (manifest.version.wallMs === wallMs) assertEquals(manifest.sha256, digest);
      const bytes = await read(store, manifest.sha256);
      assert(bytes && sha256(bytes) === manifest.sha256, `${path} is not whole`);
    }
  }
});

Deno.test("heal: a folder of version 1 opens with all that is in it", async () => {
  await using dir = await tempDir();
  const folder = dir.path;
  const bytes = pattern(100_000);
  const digest = sha256(bytes);
  const rows = [manifestOf("/a/\u{1f4f7}", versionOf(7, 3, "s"), bytes), tombstone("/b", versionOf(8))];
  Deno.mkdirSync(`${folder}/bodies/${digest.slice(0, 2)}`, { recursive: true });
  Deno.writeFileSync(`${folder}/bodies/${digest.slice(0, 2)}/${digest}`, bytes);
  const database = new DatabaseSync(`${folder}/index.sqlite`);
  database.exec(Deno.readTextFileSync(new URL("./version_1.sql", import.meta.url)));
  const insert = database.prepare("INSERT INTO manifests VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  for (const [at, { path, version, deleted, sha256, size, mediaType, name, modifiedMs, meta }] of rows.entries()) {
    insert.run(
      40 + at,
      path,
      version.wallMs,
      version.counter,
      version.server,
      Number(deleted),
      sha256,
      size,
      mediaType,
      name,
      modifiedMs,
      JSON.stringify(meta),
    );
  }
  database.close();
  for (let round = 0; round < 2; round++) {
    const { log, lines } = listening();
    await using store = await open(folder, { log });
    assertEquals(await everything(store), rows);
    const byKey = (await store.list({ by: "key", from: 0, to: KEYS, limit: 9 })).entries;
    assertEquals(byKey.map(({ change }) => change).sort(), [40, 41], "no change for those who follow them");
    assertEquals(await read(store, digest), bytes, "without sums");
    assertEquals(lines, []);
  }
  // And what was migrated has its second copy.
  Deno.removeSync(`${folder}/index.sqlite`);
  await using store = await open(folder);
  assertEquals(await everything(store), rows);
});

Deno.test("heal: an index of a version that we do not know is refused, and left as it is", async () => {
  await using dir = await tempDir();
  {
    await using store = await open(dir.path);
    await write(store, "/a", versionOf(1), pattern(10));
  }
  const database = new DatabaseSync(`${dir.path}/index.sqlite`);
  database.exec("PRAGMA user_version = 3");
  database.close();
  await assertRejects(() => open(dir.path), CdnError, "it has version 3, and we know 2");
  assertEquals(names(dir.path).filter((name) => name.includes("broken")), []);
});
