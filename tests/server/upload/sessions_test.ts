import { create } from "@bufbuild/protobuf";
import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { CdnError, wire } from "../../../proto/mod.ts";
import { memoryStore, openDiskStore, type Store } from "../../../server/store/mod.ts";
import { createUploads, type UploadLimits, type Uploads } from "../../../server/upload/mod.ts";
import { tempDir } from "../../kit/temp_dir.ts";
import { chunksOf, pattern, read, sha256, versionOf, write } from "../../suite/store_suite.ts";
import { commit, openUploads, receivedOf, refused, requestFor, send, writerOf } from "./kit.ts";

interface Bench {
  uploads: Uploads;
  store: Store;
  folder: string;
  clock: { ms: number };
  /** Closes the sessions and opens them again, as another process would. */
  reopen(): Promise<Uploads>;
}

/** Registers a test with sessions over a disk store of their own. */
function test(name: string, limits: Partial<UploadLimits>, run: (bench: Bench) => Promise<void>): void {
  Deno.test(`uploads: ${name}`, async () => {
    await using dir = await tempDir();
    await using store = await openDiskStore({ folder: `${dir.path}/store`, minFreeBytes: 0 });
    const clock = { ms: 1_700_000_000_000 };
    const folder = `${dir.path}/uploads`;
    const open = () => openUploads(folder, store, { now: () => clock.ms, limits });
    let uploads = await open();
    try {
      await run({
        uploads,
        store,
        folder,
        clock,
        async reopen() {
          await uploads[Symbol.asyncDispose]();
          return uploads = await open();
        },
      });
    } finally {
      await uploads[Symbol.asyncDispose]();
    }
  });
}

const partFiles = (folder: string) =>
  [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) => /part|commit/.test(name));

test("chunks in order become an object", {}, async ({ uploads, store, folder }) => {
  const bytes = pattern(10_000);
  const upload = await uploads.create(requestFor("/p/photo.jpg", bytes, {
    name: "DSC1.JPG",
    modifiedMs: 1234n,
    meta: { camera: "x" },
  }));
  assertEquals([upload.state, upload.chunkSize, upload.size], [wire.Upload_State.OPEN, 2 ** 20, 10_000n]);
  assertEquals(receivedOf(await send(uploads, upload.id, bytes, 0, 4000)), [[0, 4000]]);
  assertEquals(receivedOf(await send(uploads, upload.id, bytes, 4000, 10_000)), [[0, 10_000]]);
  assertEquals(await store.get("/p/photo.jpg"), null, "nothing is visible before the commit");
  const done = await commit(uploads, upload.id, bytes);
  assertEquals([done.state, done.copies, done.object?.sha256], [wire.Upload_State.COMMITTED, 1, sha256(bytes)]);
  const manifest = (await store.get("/p/photo.jpg"))!;
  assertEquals([manifest.mediaType, manifest.name, manifest.modifiedMs, manifest.meta], [
    "image/jpeg",
    "DSC1.JPG",
    1234,
    { camera: "x" },
  ]);
  assertEquals(await read(store, manifest.sha256), bytes);
  assertEquals(partFiles(folder), [], "the part file is gone");
});

test("any order, any overlap and any number of repeats give the same object", {}, async ({ uploads, store }) => {
  let count = 0;
  const someChunks = fc.array(fc.tuple(fc.nat(2999), fc.integer({ min: 1, max: 900 })), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(someChunks, fc.nat(1_000_000), fc.boolean(), async (chunks, seed, sizeKnown) => {
      const bytes = pattern(3000, seed);
      const path = `/any/${count++}`;
      const { id } = await uploads.create(
        sizeKnown ? requestFor(path, bytes) : create(wire.CreateUploadSchema, { path }),
      );
      // Some in parallel, then whatever they left out.
      await Promise.all(
        chunks.map(([start, length]) => send(uploads, id, bytes, start, Math.min(3000, start + length))),
      );
      for (let start = 2500; start >= 0; start -= 500) await send(uploads, id, bytes, start, start + 500);
      assertEquals(receivedOf(await uploads.get(id)), [[0, 3000]]);
      await commit(uploads, id, bytes);
      assertEquals(await read(store, (await store.get(path))!.sha256), bytes);
    }),
    { numRuns: 10 },
  );
});

test(
  "overlapping chunks of different content are settled by the digest of the whole",
  {},
  async ({ uploads, store }) => {
    const right = pattern(3000, 1);
    const wrong = pattern(3000, 2);
    const { id } = await uploads.create(requestFor("/a", right));
    await send(uploads, id, wrong, 0, 2000);
    await send(uploads, id, right, 0, 1000);
    await send(uploads, id, right, 2000, 3000);
    const error = await refused(() => commit(uploads, id, right), 422, "send all of them again");
    assertEquals(error.source, "client");
    assertEquals(receivedOf(await uploads.get(id)), []);
    await send(uploads, id, wrong, 0, 3000);
    await send(uploads, id, right, 0, 3000);
    await commit(uploads, id, right);
    assertEquals(await read(store, sha256(right)), right);
  },
);

test("a chunk that is not what it said counts for nothing", { chunkSize: 2000 }, async ({ uploads }) => {
  const bytes = pattern(5000);
  const { id } = await uploads.create(requestFor("/a", bytes));
  await send(uploads, id, bytes, 0, 1000);
  const digest = sha256(bytes.subarray(0, 1000));
  const give = (part: Uint8Array, size: number | null, sha = sha256(part)) => () =>
    uploads.chunk(id, 500, chunksOf(part, 300), { sha256: sha, size });
  await refused(give(bytes.subarray(1, 1001), 1000, digest), 400, "must have the digest");
  await refused(give(bytes.subarray(0, 999), 1000, digest), 400, "ended after 999");
  await refused(give(bytes.subarray(0, 1001), 1000, digest), 400, "is longer");
  await refused(give(new Uint8Array(0), 0), 400, "at least one byte");
  await refused(give(bytes.subarray(0, 2001), 2001), 413, "at most 2000 bytes");
  await refused(give(bytes.subarray(0, 2001), null), 413, "at most 2000 bytes");
  await assertRejects(
    () =>
      uploads.chunk(
        id,
        0,
        (async function* () {
          yield bytes.subarray(0, 10);
          throw new CdnError("The body broke off", { source: "client" });
        })(),
        { sha256: digest, size: 1000 },
      ),
    CdnError,
    "broke off",
  );
  assertEquals(receivedOf(await uploads.get(id)), [[0, 1000]]);
  // What had come before is as it was.
  for (const [start, end] of [[1000, 3000], [3000, 5000]] as const) await send(uploads, id, bytes, start, end);
  assertEquals((await commit(uploads, id, bytes)).state, wire.Upload_State.COMMITTED);
});

test("a chunk must lie inside the upload", { maxObjectSize: 8000 }, async ({ uploads }) => {
  const bytes = pattern(5000);
  const { id } = await uploads.create(requestFor("/a", bytes));
  const chunk = (at: string, offset: number) => () =>
    uploads.chunk(at, offset, chunksOf(bytes.subarray(0, 100)), { sha256: sha256(bytes.subarray(0, 100)), size: 100 });
  for (const offset of [-1, 0.5, NaN, Infinity]) await refused(chunk(id, offset), 400, "whole number from 0");
  for (const offset of [4901, 5000, 2 ** 52]) await refused(chunk(id, offset), 400, "must lie in the 5000 bytes");
  const open = await uploads.create(create(wire.CreateUploadSchema, { path: "/b" }));
  assertEquals(open.size, undefined);
  await chunk(open.id, 7900)();
  await refused(chunk(open.id, 7901), 413, "at most 8000 bytes");
  await refused(() => uploads.create(requestFor("/c", pattern(8001))), 413, "at most 8000 bytes");
});

test("nobody gets at a session that is not there", {}, async ({ uploads }) => {
  const bytes = pattern(10);
  for (const id of ["none", "../store/index.sqlite", ""]) {
    await refused(() => uploads.get(id), 404, "no such upload");
    await refused(() => send(uploads, id, bytes, 0, 10), 404, "no such upload");
    await refused(() => commit(uploads, id, bytes), 404, "no such upload");
    await refused(() => uploads.cancel(id), 404, "no such upload");
  }
});

test("a cancelled session is forgotten with its bytes", {}, async ({ uploads, folder }) => {
  const bytes = pattern(10);
  const { id } = await uploads.create(requestFor("/a", bytes));
  await send(uploads, id, bytes, 0, 5);
  await uploads.cancel(id);
  await refused(() => uploads.get(id), 404, "no such upload");
  await refused(() => uploads.cancel(id), 404, "no such upload");
  assertEquals(partFiles(folder), []);
});

test("a commit says what is missing, and for what it is", {}, async ({ uploads }) => {
  const bytes = pattern(1000);
  const { id } = await uploads.create(requestFor("/a", bytes));
  await refused(() => commit(uploads, id, bytes), 409, "1000 bytes are missing (0-999)");
  await send(uploads, id, bytes, 100, 200);
  await send(uploads, id, bytes, 300, 400);
  await refused(() => commit(uploads, id, bytes), 409, "800 bytes are missing (0-99, 200-299, 400-999)");
  await refused(() => commit(uploads, id, pattern(1000, 2)), 409, "the upload is for 1000 bytes with the digest");
  await refused(() => commit(uploads, id, bytes.subarray(0, 400)), 409, "the upload is for");
  const open = await uploads.create(create(wire.CreateUploadSchema, { path: "/b" }));
  await send(uploads, open.id, bytes, 0, 500);
  await refused(() => commit(uploads, open.id, bytes.subarray(0, 400)), 409, "it has 500 already");
  assertEquals((await commit(uploads, open.id, bytes.subarray(0, 500))).size, 500n);
});

test("a repeated commit answers as the first did", {}, async ({ uploads, store, reopen, clock }) => {
  const bytes = pattern(1000);
  const { id } = await uploads.create(requestFor("/a", bytes));
  await send(uploads, id, bytes, 0, 1000);
  const [first, second] = await Promise.all([commit(uploads, id, bytes), commit(uploads, id, bytes)]);
  assertEquals(second, first);
  clock.ms += 60_000;
  const again = await reopen();
  assertEquals(await commit(again, id, bytes), first);
  assertEquals(await send(again, id, bytes, 0, 1000), first, "a late chunk changes nothing");
  await refused(() => commit(again, id, pattern(9)), 409, "the upload is for");
  assertEquals((await store.get("/a"))!.version.wallMs, 1);
});

test("an empty object needs no chunk", {}, async ({ uploads, store }) => {
  const bytes = new Uint8Array(0);
  for (const request of [requestFor("/a", bytes), create(wire.CreateUploadSchema, { path: "/b" })]) {
    const { id, path } = await uploads.create(request);
    await commit(uploads, id, bytes);
    assertEquals((await store.get(path))!.size, 0);
  }
});

test("the same upload is handed back, with the newer metadata", {}, async ({ uploads, store }) => {
  const bytes = pattern(1000);
  const first = await uploads.create(requestFor("/a", bytes, { name: "old" }));
  await send(uploads, first.id, bytes, 0, 500);
  const [again, other, unknown, unknownToo] = await Promise.all([
    uploads.create(requestFor("/a", bytes, { name: "new", mediaType: "text/x-own" })),
    uploads.create(requestFor("/b", bytes)),
    uploads.create(create(wire.CreateUploadSchema, { path: "/a" })),
    uploads.create(create(wire.CreateUploadSchema, { path: "/a" })),
  ]);
  assertEquals([again.id, receivedOf(again)], [first.id, [[0, 500]]]);
  assertEquals(new Set([first.id, other.id, unknown.id, unknownToo.id]).size, 4);
  await send(uploads, first.id, bytes, 500, 1000);
  await commit(uploads, first.id, bytes);
  const { name, mediaType } = (await store.get("/a"))!;
  assertEquals([name, mediaType], ["new", "text/x-own"]);
  assert((await uploads.create(requestFor("/a", bytes))).id !== first.id, "a committed one is not handed back");
});

test("two at the same time that ask for the same upload get one session", {}, async ({ uploads }) => {
  const bytes = pattern(1000);
  const all = await Promise.all(Array.from({ length: 5 }, () => uploads.create(requestFor("/a", bytes))));
  assertEquals(new Set(all.map(({ id }) => id)).size, 1);
});

test("bytes that the store holds count as received", {}, async ({ uploads, store, folder }) => {
  const bytes = pattern(5000);
  await write(store, "/old", versionOf(1), bytes);
  const upload = await uploads.create(requestFor("/new", bytes));
  assertEquals(receivedOf(upload), [[0, 5000]]);
  assertEquals(partFiles(folder), []);
  await send(uploads, upload.id, bytes, 0, 100);
  await commit(uploads, upload.id, bytes);
  assertEquals((await store.get("/new"))!.sha256, sha256(bytes));
  // A size that is not that of these bytes is a mistake, and found before anything is sent.
  const digest = sha256(bytes);
  for (const size of [0, 4999, 5001]) {
    await refused(() => uploads.create(requestFor("/x", pattern(size), { sha256: digest })), 400, "size must be");
  }
  assertEquals(await store.get("/x"), null);
});

Deno.test("uploads: where the store let go of the bytes meanwhile, they are asked for again", async () => {
  await using dir = await tempDir();
  let time = 1000;
  await using store = memoryStore({ now: () => time, graceMs: 100 });
  await using uploads = await openUploads(dir.path, store, { now: () => time });
  const bytes = pattern(500);
  await store.stage(chunksOf(bytes));
  const { id, received } = await uploads.create(requestFor("/a", bytes));
  assertEquals(received.length, 1);
  time += 200;
  await store.stage(chunksOf(pattern(1)));
  await refused(() => commit(uploads, id, bytes), 409, "not here any more: 500 bytes are missing (0-499)");
  assertEquals(receivedOf(await send(uploads, id, bytes, 0, 500)), [[0, 500]]);
  await commit(uploads, id, bytes);
  assertEquals(await read(store, sha256(bytes)), bytes);
});

test("sessions have their limits", { maxSessions: 2, maxTotalSize: 2000, maxRanges: 2 }, async ({ uploads }) => {
  const bytes = pattern(1500);
  const first = await uploads.create(requestFor("/a", bytes));
  const tooMuch = await refused(() => uploads.create(requestFor("/b", bytes)), 503, "2000 bytes in all");
  assertEquals([tooMuch.retry, tooMuch.retryAfterSeconds], [true, 60]);
  const open = await uploads.create(create(wire.CreateUploadSchema, { path: "/b" }));
  await refused(() => uploads.create(requestFor("/c", pattern(1))), 503, "at most 2 uploads");
  await send(uploads, open.id, bytes, 0, 500);
  await refused(() => send(uploads, open.id, bytes, 500, 501), 503, "2000 bytes in all");
  await send(uploads, first.id, bytes, 100, 200);
  await send(uploads, first.id, bytes, 300, 400);
  await refused(() => send(uploads, first.id, bytes, 500, 600), 409, "2 pieces");
  await send(uploads, first.id, bytes, 200, 300);
  await uploads.cancel(open.id);
  await uploads.create(requestFor("/c", pattern(1)));
});

test("an idle session expires, each chunk gives it time", { idleMs: 1000, rememberMs: 500 }, async (bench) => {
  const { uploads, clock, folder } = bench;
  const bytes = pattern(1000);
  const idle = await uploads.create(requestFor("/a", bytes));
  assertEquals(Number(idle.expiresMs), clock.ms + 1000);
  const busy = await uploads.create(requestFor("/b", bytes));
  clock.ms += 999;
  await uploads.get(idle.id);
  await send(uploads, busy.id, bytes, 0, 1000);
  clock.ms += 1;
  await refused(() => uploads.get(idle.id), 404, "has expired");
  await refused(() => send(uploads, idle.id, bytes, 0, 1), 404, "has expired");
  await uploads.create(requestFor("/c", bytes));
  assertEquals(partFiles(folder).includes(`${idle.id}.part`), false, "its bytes are gone too");
  await commit(uploads, busy.id, bytes);
  clock.ms += 500;
  await refused(() => commit(uploads, busy.id, bytes), 404, "has expired");
});

test("a session goes on after the server was closed and opened again", {}, async ({ uploads, store, reopen }) => {
  const bytes = pattern(300_000);
  const { id } = await uploads.create(requestFor("/a", bytes));
  await send(uploads, id, bytes, 0, 100_000);
  await send(uploads, id, bytes, 150_000, 200_000);
  let now = await reopen();
  assertEquals(receivedOf(await now.get(id)), [[0, 100_000], [150_000, 200_000]]);
  await send(now, id, bytes, 100_000, 150_000);
  now = await reopen();
  await send(now, id, bytes, 200_000, 300_000);
  await commit(now, id, bytes);
  assertEquals(await read(store, sha256(bytes)), bytes);
});

test("files that belong to no session are cleared at the start", {}, async ({ uploads, folder, reopen }) => {
  const { id } = await uploads.create(requestFor("/a", pattern(10)));
  for (const name of ["stray.part", "stray.commit"]) await Deno.writeTextFile(`${folder}/${name}`, "x");
  await Deno.writeTextFile(`${folder}/notes.txt`, "not ours");
  await reopen();
  assertEquals(partFiles(folder), [`${id}.part`]);
  await Deno.stat(`${folder}/notes.txt`);
});

Deno.test("uploads: a commit that fails half-way can be tried again, and loses nothing", async () => {
  await using dir = await tempDir();
  await using store = await openDiskStore({ folder: `${dir.path}/store`, minFreeBytes: 0 });
  const real = writerOf(store);
  let failing: "stage" | "write" | null = "stage";
  const fault = new CdnError("no room", { source: "server", status: 507 });
  await using uploads = await createUploads({
    folder: `${dir.path}/uploads`,
    store: {
      open: (...question) => store.open(...question),
      stage: (...question) => failing === "stage" ? Promise.reject(fault) : store.stage(...question),
    },
    write: (...question) => failing === "write" ? Promise.reject(fault) : real(...question),
    limits: { minFreeBytes: 0 },
  });
  const bytes = pattern(2000);
  const { id } = await uploads.create(requestFor("/a", bytes));
  await send(uploads, id, bytes, 0, 2000);
  await refused(() => commit(uploads, id, bytes), 507, "no room");
  failing = "write";
  await refused(() => commit(uploads, id, bytes), 507, "no room");
  // The store has the file under its name now: a chunk must not be written into it.
  await send(uploads, id, pattern(2000, 9), 0, 1000);
  assertEquals(receivedOf(await uploads.get(id)), [[0, 2000]]);
  assertEquals(await read(store, sha256(bytes)), bytes);
  failing = null;
  assertEquals((await commit(uploads, id, bytes)).state, wire.Upload_State.COMMITTED);
  assertEquals(await read(store, sha256(bytes)), bytes);
});

Deno.test("uploads: a second process on the same folder is refused", async () => {
  await using dir = await tempDir();
  await using store = memoryStore();
  await using _uploads = await openUploads(dir.path, store);
  await assertRejects(() => openUploads(dir.path, store), CdnError, "another process has it open");
});

Deno.test("uploads: limits that cannot work are refused", async () => {
  await using store = memoryStore();
  for (const limits of [{ chunkSize: 0 }, { chunkSize: 2 ** 31 }, { idleMs: NaN }, { maxSessions: 1.5 }]) {
    await assertRejects(() => openUploads("/nowhere", store, { limits }), RangeError);
  }
});

Deno.test("uploads: chunks wait for memory, and all are served", async () => {
  await using dir = await tempDir();
  await using store = memoryStore();
  await using uploads = await openUploads(dir.path, store, { limits: { chunkSize: 1000, bufferSize: 2000 } });
  const bytes = pattern(20_000);
  const { id } = await uploads.create(requestFor("/a", bytes));
  await Promise.allSettled(
    Array.from(
      { length: 10 },
      () => uploads.chunk(id, 0, chunksOf(bytes.subarray(0, 1000)), { sha256: "0".repeat(64), size: 1000 }),
    ),
  );
  await Promise.all(Array.from({ length: 20 }, (_, at) => send(uploads, id, bytes, at * 1000, (at + 1) * 1000)));
  await commit(uploads, id, bytes);
  assertEquals(await read(store, sha256(bytes)), bytes);
});
