/** Bodies whose bytes change on the disk: not a wrong byte goes out, somebody is told, and staging heals. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { CdnError } from "../../../proto/mod.ts";
import { type DiskStore, type DiskStoreOptions, type LostBody, openDiskStore } from "../../../server/store/mod.ts";
import { type TempDir, tempDir } from "../../kit/temp_dir.ts";
import { placeOf, rot } from "../../kit/body_place.ts";
import { pattern, read, sha256, versionOf, write } from "../../suite/store_suite.ts";

const BLOCK = 256 * 1024;

/** A store with one object, and who listens to it. */
async function opened(bytes: Uint8Array, options: Partial<DiskStoreOptions> = {}): Promise<{
  store: DiskStore;
  dir: TempDir;
  digest: string;
  file: string;
  at: number;
  lost: LostBody[];
  [Symbol.asyncDispose](): Promise<void>;
}> {
  const dir = await tempDir();
  const store = await openDiskStore({ folder: dir.path, minFreeBytes: 0, scrubBytesPerSecond: 0, ...options });
  const lost: LostBody[] = [];
  store.onLost = (body) => lost.push(body);
  await write(store, "/a", versionOf(1), bytes);
  const digest = sha256(bytes);
  return {
    store,
    dir,
    digest,
    lost,
    ...placeOf(dir.path, digest),
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      await dir[Symbol.asyncDispose]();
    },
  };
}

/** All bytes that come before the stream ends or breaks, and why it breaks. */
async function drain(stream: ReadableStream<Uint8Array>): Promise<{ bytes: number; error: unknown }> {
  let bytes = 0;
  try {
    for await (const piece of stream) bytes += piece.length;
    return { bytes, error: null };
  } catch (error) {
    return { bytes, error };
  }
}

for (const [length, at, good] of [[10, 3, 0], [100_000, 99_999, 0], [3 * BLOCK, 2 * BLOCK + 7, 2 * BLOCK]] as const) {
  Deno.test(`rot: byte ${at} of ${length}: no byte of its block goes out, and the body is set aside`, async () => {
    const bytes = pattern(length);
    await using held = await opened(bytes);
    const { store, digest, file, lost, dir } = held;
    rot(file, held.at + at);
    const { bytes: before, error } = await drain((await store.open(digest))!.stream);
    assertEquals(before, good);
    assert(error instanceof CdnError && error.status === 500 && error.retry, String(error));
    assertEquals(await store.open(digest), null);
    assertEquals(await store.open(digest), null);
    assertEquals(lost, [{ sha256: digest, reason: "its bytes are not those that were staged" }], "told once");
    assertEquals((await store.get("/a"))!.sha256, digest, "the manifest stays");
    const [aside] = [...Deno.readDirSync(`${dir.path}/rotten`)];
    assert(aside!.name.startsWith(`${digest}-`));
    // Staged again it is whole, and may be lost again.
    await write(store, "/a", versionOf(1), bytes);
    assertEquals(await read(store, digest), bytes);
    const again = placeOf(dir.path, digest);
    rot(again.file, again.at + at);
    await assertRejects(() => read(store, digest), CdnError);
    assertEquals(lost.length, 2);
  });
}

Deno.test("rot: parts of other blocks go out, a part of the rotten one does not", async () => {
  const bytes = pattern(3 * BLOCK + 5);
  await using held = await opened(bytes);
  const { store, digest, file } = held;
  rot(file, BLOCK + 10);
  for (const [start, end] of [[0, BLOCK], [5, 6], [2 * BLOCK, 3 * BLOCK + 5], [3 * BLOCK + 1, 3 * BLOCK + 2]]) {
    assertEquals(await read(store, digest, { start: start!, end: end! }), bytes.slice(start, end));
  }
  const part = await store.open(digest, { start: 2 * BLOCK - 1, end: 2 * BLOCK + 1 });
  assert((await drain(part!.stream)).error instanceof CdnError);
  assertEquals(await store.open(digest), null);
});

Deno.test("rot: a body that is shorter or longer than it was is not held", async () => {
  for (
    const [length, left] of [[100, 0], [100, 99], [20_000, 20_001], [50_000, 0], [50_000, 10], [BLOCK + 1, BLOCK], [
      50_000,
      50_001,
    ]]
  ) {
    await using held = await opened(pattern(length!));
    const { store, digest, file, lost } = held;
    Deno.truncateSync(file, held.at + left!);
    const body = await store.open(digest);
    if (body) assert((await drain(body.stream)).error instanceof CdnError, `${length} cut to ${left}`);
    assertEquals(await store.open(digest), null);
    assertEquals(lost.map(({ sha256 }) => sha256), [digest]);
  }
});

Deno.test("rot: a body that is cut short while it is read", async () => {
  await using held = await opened(pattern(2 * BLOCK));
  const { store, digest, file, lost } = held;
  const reader = (await store.open(digest))!.stream.getReader();
  assertEquals((await reader.read()).value!.length, BLOCK);
  Deno.truncateSync(file, BLOCK + 10);
  await assertRejects(() => reader.read(), CdnError, "too short");
  assertEquals(lost.length, 1);
});

Deno.test("rot: a file that is gone is told once, a body that nobody names never", async () => {
  await using held = await opened(pattern(20_000));
  const { store, digest, file, lost } = held;
  Deno.removeSync(file);
  for (let round = 0; round < 3; round++) assertEquals(await store.open(digest), null);
  assertEquals(await store.open("ab".repeat(32)), null);
  assertEquals(lost, [{ sha256: digest, reason: "its file is gone" }]);
});

Deno.test("rot: rotten sums are not the body's fault, and the next scrub makes them anew", async () => {
  const bytes = pattern(2 * BLOCK);
  await using held = await opened(bytes);
  const { store, digest, file, lost } = held;
  const sums = Deno.readFileSync(`${file}.sums`);
  assertEquals(sums.length, 8 + 2 * 4 + 4);
  for (let at = 0; at < sums.length; at++) {
    rot(`${file}.sums`, at);
    assertEquals(await read(store, digest), bytes);
    rot(`${file}.sums`, at);
  }
  for (
    const harm of [
      () => rot(`${file}.sums`, 9),
      () => Deno.truncateSync(`${file}.sums`, 12),
      () => Deno.removeSync(`${file}.sums`),
    ]
  ) {
    harm();
    assertEquals(await read(store, digest), bytes);
    assertEquals(await store.scrub(), { bodies: 1, bytes: 2 * BLOCK, rotten: [] });
    assertEquals(Deno.readFileSync(`${file}.sums`), sums);
  }
  assertEquals(lost, []);
});

Deno.test("rot: a late reader of a rotten file does not set aside what was staged anew", async () => {
  const bytes = pattern(2 * BLOCK);
  await using held = await opened(bytes);
  const { store, digest, file, lost } = held;
  rot(file, BLOCK + 1);
  const late = (await store.open(digest))!.stream.getReader();
  await late.read();
  await assertRejects(() => read(store, digest), CdnError);
  await write(store, "/a", versionOf(1), bytes);
  await assertRejects(() => late.read(), CdnError);
  assertEquals(await read(store, digest), bytes);
  assertEquals(lost.length, 1);
});

Deno.test("rot: the last 20 rotten bodies are kept", async () => {
  let time = 99;
  const bytes = pattern(100);
  await using held = await opened(bytes, { now: () => time });
  const { store, digest, dir } = held;
  for (let round = 0; round < 23; round++) {
    time++;
    const { file, at } = placeOf(dir.path, digest);
    rot(file, at + 1);
    await assertRejects(() => read(store, digest), CdnError);
    await write(store, "/a", versionOf(1), bytes);
  }
  const kept = Array.from(Deno.readDirSync(`${dir.path}/rotten`), ({ name }) => Number(name.split("-")[1]));
  assertEquals(kept.sort((a, b) => a - b), Array.from({ length: 20 }, (_, at) => 103 + at));
});

Deno.test("rot: sums go with their body", async () => {
  let time = 0;
  await using held = await opened(pattern(50_000), { now: () => time, graceMs: 10 });
  const { store, digest, file } = held;
  await store.forget("/a", versionOf(1));
  time = 10;
  assertEquals(await store.sweep(), 1);
  assertEquals(await store.open(digest), null);
  assertEquals([...Deno.readDirSync(file.slice(0, -65))], []);
});
