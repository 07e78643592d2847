import { assertEquals, assertRejects } from "@std/assert";
import { CdnError } from "../../../proto/mod.ts";
import { memoryStore } from "../../../server/store/mod.ts";
import { checkStoreAgainstModel } from "../../suite/store_model.ts";
import { chunksOf, pattern, read, sha256, storeSuite, versionOf, write } from "../../suite/store_suite.ts";

storeSuite("memory", { open: () => Promise.resolve(memoryStore()) });

Deno.test("memory: random histories agree with the model", () =>
  checkStoreAgainstModel(() => Promise.resolve(memoryStore()), 200));

Deno.test("memory: a body without a name is freed after the grace, one with a name never", async () => {
  let time = 1000;
  await using store = memoryStore({ now: () => time, graceMs: 100 });
  const named = await write(store, "/a", versionOf(1), pattern(10, 1));
  await store.stage(chunksOf(pattern(10, 2)));
  time += 99;
  await store.stage(chunksOf(pattern(10, 3)));
  assertEquals((await read(store, sha256(pattern(10, 2))))?.length, 10);
  time += 1;
  await store.stage(chunksOf(pattern(10, 4)));
  assertEquals(await read(store, sha256(pattern(10, 2))), null);
  assertEquals((await read(store, sha256(pattern(10, 3))))?.length, 10);
  // Overwritten: its grace begins now.
  await write(store, "/a", versionOf(2), pattern(10, 5));
  time += 99;
  await store.stage(chunksOf(pattern(10, 6)));
  assertEquals((await read(store, named.sha256))?.length, 10);
  time += 1;
  await store.stage(chunksOf(pattern(10, 6)));
  assertEquals(await read(store, named.sha256), null);
  assertEquals((await read(store, sha256(pattern(10, 5))))?.length, 10);
});

Deno.test("memory: past its capacity it is full, and goes on serving", async () => {
  await using store = memoryStore({ capacity: 1000 });
  const held = await write(store, "/a", versionOf(1), pattern(900));
  const error = await assertRejects(() => store.stage(chunksOf(pattern(101, 2))), CdnError);
  assertEquals([error.status, error.source], [507, "server"]);
  assertEquals((await read(store, held.sha256))?.length, 900);
  await write(store, "/b", versionOf(1), pattern(100, 3));
});
