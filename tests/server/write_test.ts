import { assert, assertEquals, assertRejects } from "@std/assert";
import { CdnError, compareVersions, type Manifest, type Metadata } from "../../proto/mod.ts";
import { HybridClock } from "../../proto/clock.ts";
import { KeyedLock } from "../../server/keyed_lock.ts";
import { memoryStore, type Store } from "../../server/store/mod.ts";
import { createWriter } from "../../server/write.ts";

const metadata: Metadata = { mediaType: "text/plain", name: "", modifiedMs: 0, meta: {} };

async function* once(text: string) {
  yield new TextEncoder().encode(text);
}

function writerOn(store: Store, nowMs = 1000, draining = false) {
  const cluster = {
    sign: (manifest: Manifest) => ({ ...manifest, signature: btoa("s".repeat(64)) }),
    copies: () => 3,
    draining: () => draining,
    wanted: () => null,
  };
  return createWriter({ store, cluster, clock: new HybridClock("me"), now: () => nowMs });
}

Deno.test("a write is stamped after what is there, however far ahead that is", async () => {
  const store = memoryStore();
  const writer = writerOn(store);
  const body = await store.stage(once("one"));
  const foreign: Manifest = {
    path: "/x",
    version: { wallMs: 90_000, counter: 7, server: "zz" },
    deleted: false,
    ...body,
    ...metadata,
  };
  await store.put(foreign);
  const { manifest, copies, created } = await writer.write("/x", await store.stage(once("two")), metadata);
  assert(compareVersions(manifest.version, foreign.version) > 0);
  assertEquals([manifest.version.server, copies, created], ["me", 3, false]);
  assertEquals((await store.get("/x"))?.signature, btoa("s".repeat(64)), "it is signed before it is put");
  const removed = await writer.remove("/x");
  assert(removed.manifest.deleted && compareVersions(removed.manifest.version, manifest.version) > 0);
  assertEquals((await writer.write("/x", body, metadata)).created, true);
});

Deno.test("a version that comes in between is overtaken, and its precondition asked anew", async () => {
  const inner = memoryStore();
  const body = await inner.stage(once("one"));
  let intrusions = 1;
  const store: Store = {
    ...inner,
    async put(manifest) {
      if (intrusions-- > 0) {
        await inner.put({ ...manifest, version: { wallMs: 5000, counter: 0, server: "zz" } });
      }
      return await inner.put(manifest);
    },
  };
  const seen: (Manifest | null)[] = [];
  const { manifest } = await writerOn(store).write("/x", body, metadata, (current) => void seen.push(current));
  assertEquals(await inner.get("/x"), manifest);
  assertEquals(seen.map((one) => one?.version.server), [undefined, "zz"]);
});

Deno.test("where newer versions never end, the write is refused and may be tried again", async () => {
  const inner = memoryStore();
  const body = await inner.stage(once("one"));
  const store: Store = { ...inner, put: () => Promise.resolve(false) };
  const writer = writerOn(store);
  const error = await assertRejects(() => writer.write("/x", body, metadata));
  assertEquals((error as { status?: number }).status, 503);
});

Deno.test("a server that is being drained takes no write, and says to go elsewhere", async () => {
  const store = memoryStore();
  const writer = writerOn(store, 1000, true);
  const body = await store.stage(once("one"));
  const error = await assertRejects(() => writer.write("/x", body, metadata), CdnError, "being drained");
  assertEquals([error.status, error.retry], [503, true]);
  await assertRejects(() => writer.remove("/x"), CdnError, "being drained");
  assertEquals(await store.get("/x"), null);
});

Deno.test("one key's work is done in order, also after a failure; other keys do not wait", async () => {
  const lock = new KeyedLock();
  const log: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = lock.run("a", async () => {
    await gate.promise;
    log.push("a1");
    throw new Error("failed");
  });
  const second = lock.run("a", () => Promise.resolve(log.push("a2")));
  await lock.run("b", () => Promise.resolve(log.push("b1")));
  gate.resolve();
  await assertRejects(() => first, Error, "failed");
  await second;
  assertEquals(log, ["b1", "a1", "a2"]);
});
