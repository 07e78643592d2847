import { assert, assertEquals, assertRejects } from "@std/assert";
import { CdnError, tombstone } from "../../../proto/mod.ts";
import { type DiskStoreOptions, openDiskStore, type Store } from "../../../server/store/mod.ts";
import { checkStoreAgainstModel } from "../../suite/store_model.ts";
import { chunksOf, pattern, read, sha256, storeSuite, versionOf, write } from "../../suite/store_suite.ts";

/** A store in a folder of its own, which goes away with it. */
async function openTemporary(options: Partial<DiskStoreOptions> = {}): Promise<Store> {
  const folder = await Deno.makeTempDir();
  const store = await openDiskStore({ folder, ...options });
  const dispose = store[Symbol.asyncDispose].bind(store);
  store[Symbol.asyncDispose] = async () => {
    await dispose();
    await Deno.remove(folder, { recursive: true });
  };
  return store;
}

async function inTemporaryFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Every file below a folder, by its path from there. */
async function filesBelow(folder: string, prefix = ""): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) found.push(...await filesBelow(`${folder}/${name}`, `${prefix}${name}/`));
    else found.push(prefix + name);
  }
  return found.sort();
}

storeSuite("disk", { open: openTemporary });

Deno.test("disk: random histories agree with the model", () => checkStoreAgainstModel(openTemporary, 15));

Deno.test("disk: everything is there again when it is opened again", () =>
  inTemporaryFolder(async (folder) => {
    const bytes = pattern(100_000);
    let lastChange: number;
    {
      await using store = await openDiskStore({ folder });
      await write(store, "/a", versionOf(1), bytes);
      await write(store, "/b", versionOf(2), pattern(5));
      await store.put(tombstone("/b", versionOf(3)));
      lastChange = (await store.list({ by: "change", after: 0, limit: 9 })).entries.at(-1)!.change;
    }
    await using store = await openDiskStore({ folder });
    assertEquals(await read(store, (await store.get("/a"))!.sha256), bytes);
    assertEquals((await store.get("/b"))!.deleted, true);
    await store.put(tombstone("/b", versionOf(4)));
    const [moved] = (await store.list({ by: "change", after: lastChange, limit: 9 })).entries;
    assertEquals(moved?.manifest.version.wallMs, 4);
  }));

Deno.test("disk: change numbers do not come again when the last one's path was overwritten", () =>
  inTemporaryFolder(async (folder) => {
    const seen: number[] = [];
    for (let round = 1; round <= 3; round++) {
      await using store = await openDiskStore({ folder });
      await store.put(tombstone("/a", versionOf(round)));
      seen.push((await store.list({ by: "change", after: 0, limit: 1 })).entries[0]!.change);
    }
    assertEquals(seen.toSorted((a, b) => a - b), seen);
    assertEquals(new Set(seen).size, 3);
  }));

Deno.test("disk: a refused body leaves no file behind", () =>
  inTemporaryFolder(async (folder) => {
    await using store = await openDiskStore({ folder });
    const before = await filesBelow(folder);
    await assertRejects(() => store.stage(chunksOf(pattern(100_000)), { size: 1 }), CdnError);
    await assertRejects(() =>
      store.stage((async function* () {
        yield pattern(10);
        throw new Error("gone");
      })()), Error);
    assertEquals(await filesBelow(folder), before);
  }));

Deno.test("disk: what a killed process left in tmp is cleared at the start", () =>
  inTemporaryFolder(async (folder) => {
    await Deno.mkdir(`${folder}/tmp`);
    await Deno.writeTextFile(`${folder}/tmp/7`, "half a body");
    await using _store = await openDiskStore({ folder });
    assertEquals((await filesBelow(folder)).filter((name) => name.startsWith("tmp/")), []);
  }));

Deno.test("disk: a body without a name is freed after the grace, one with a name never", () =>
  inTemporaryFolder(async (folder) => {
    let time = 1000;
    const now = () => time;
    const overwritten = sha256(pattern(10, 1));
    {
      await using store = await openDiskStore({ folder, now, graceMs: 100 });
      await write(store, "/a", versionOf(1), pattern(10, 1));
      await store.stage(chunksOf(pattern(10, 2)));
      time += 99;
      assertEquals(await store.sweep(), 0);
      await store.stage(chunksOf(pattern(10, 2)));
      time += 99;
      assertEquals(await store.sweep(), 0, "staged again: the grace began anew");
      time += 1;
      const open = await store.open(sha256(pattern(10, 2)));
      assertEquals(await store.sweep(), 1);
      assertEquals(await read(store, sha256(pattern(10, 2))), null);
      assertEquals((await new Response(open!.stream).bytes()).length, 10, "a reader goes on");
      await write(store, "/a", versionOf(2), pattern(10, 3));
      time += 99;
      assertEquals(await store.sweep(), 0);
      assert(await read(store, overwritten));
    }
    // What an earlier process left has its grace from the start on.
    await using store = await openDiskStore({ folder, now, graceMs: 100 });
    assertEquals(await store.sweep(), 0);
    time += 100;
    assertEquals(await store.sweep(), 1);
    assertEquals(await read(store, overwritten), null);
    assertEquals((await read(store, sha256(pattern(10, 3))))?.length, 10);
    await store.put(tombstone("/a", versionOf(3)));
    time += 100;
    assertEquals(await store.sweep(), 1);
    assertEquals((await filesBelow(folder)).filter((name) => name.startsWith("bodies/")), []);
  }));

Deno.test("disk: puts and sweeps at the same time never leave a manifest without its body", async () => {
  await using store = await openTemporary({ graceMs: 0 }) as Store & { sweep(): Promise<number> };
  let refused = 0;
  await Promise.all(Array.from({ length: 8 }, async (_, worker) => {
    for (let round = 1; round <= 25; round++) {
      // Few bodies, so that one is named and loses its name again and again.
      const bytes = pattern(40, (worker + round) % 4);
      await store.stage(chunksOf(bytes));
      if (round % 3 === 0) await store.sweep();
      try {
        await write(store, `/w${worker}`, versionOf(round), bytes);
      } catch (error) {
        if ((error as CdnError).status !== 409) throw error;
        refused++;
      }
      await store.sweep();
      const manifest = await store.get(`/w${worker}`);
      if (manifest) assert(await read(store, manifest.sha256), "its body must be there");
    }
  }));
  assert(refused < 200, "with no grace some puts come too late, but not all");
});

Deno.test("disk: a second store on the same folder is refused, and harms nothing", () =>
  inTemporaryFolder(async (folder) => {
    await using store = await openDiskStore({ folder });
    const error = await assertRejects(() => openDiskStore({ folder }), CdnError, "another process has it open");
    assertEquals(error.source, "server");
    await write(store, "/a", versionOf(1), pattern(10));
  }));

Deno.test("disk: a folder of another version is refused", () =>
  inTemporaryFolder(async (folder) => {
    const { DatabaseSync } = await import("node:sqlite");
    const database = new DatabaseSync(`${folder}/index.sqlite`);
    database.exec("PRAGMA user_version = 99");
    database.close();
    await assertRejects(() => openDiskStore({ folder }), CdnError, "it has version 99");
  }));

Deno.test("disk: too little free room refuses a body beforehand, with 507", async () => {
  await using store = await openTemporary({ minFreeBytes: Number.MAX_SAFE_INTEGER });
  const error = await assertRejects(() => store.stage(chunksOf(pattern(10))), CdnError);
  assertEquals([error.status, error.source], [507, "server"]);
  assertEquals(await store.put(tombstone("/a", versionOf(1))), true, "the index still has room");
});
