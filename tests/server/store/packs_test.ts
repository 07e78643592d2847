/** Small bodies, many in one file: nothing is lost, and what is of no use any more is given back. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { createLogger, silentLogger } from "../../../runtime/log.ts";
import { openPacks, type Packs } from "../../../server/store/packs.ts";
import { openDiskStore } from "../../../server/store/mod.ts";
import { between, type Random } from "../../sim/prng.ts";
import { packsOf, placeOf, rot } from "../../kit/body_place.ts";
import { tempDir } from "../../kit/temp_dir.ts";
import { manifestOf, pattern, read, sha256, versionOf, write } from "../../suite/store_suite.ts";

const MIB = 1 << 20;

function open(folder: string, log = silentLogger): Promise<Packs> {
  return openPacks(folder, { now: () => 1000, log });
}

/** Keeps all of them at once. */
async function keep(packs: Packs, bodies: readonly Uint8Array[]): Promise<void> {
  await Promise.all(bodies.map((bytes) => packs.keep(sha256(bytes), bytes)));
}

/** A body that is what it should be. */
async function bytesOf(packs: Packs, digest: string): Promise<Uint8Array | null> {
  const packed = await packs.read(digest);
  assert(!packed || packed.bytes && sha256(packed.bytes) === digest, `${digest} is not whole`);
  return packed && packed.bytes;
}

async function holds(packs: Packs, bodies: readonly Uint8Array[]): Promise<void> {
  for (const bytes of bodies) {
    assertEquals(packs.size(sha256(bytes)), bytes.length);
    assertEquals(await bytesOf(packs, sha256(bytes)), bytes);
  }
  assertEquals(packs.digests("0", "g"), bodies.map(sha256).sort());
}

const some = (count: number, from = 0) =>
  Array.from({ length: count }, (_, at) => pattern(1 + (at * 37) % 5000, from + at));
const bytesIn = (folder: string) => packsOf(folder).reduce((sum, file) => sum + Deno.statSync(file).size, 0);

Deno.test("packs: what is kept is read, in one file, now and when it is opened again", async () => {
  await using dir = await tempDir();
  const bodies = some(300);
  {
    await using packs = await open(dir.path);
    assertEquals([packs.size(sha256(bodies[0]!)), await packs.read(sha256(bodies[0]!))], [null, null]);
    await keep(packs, bodies);
    await holds(packs, bodies);
    const before = bytesIn(dir.path);
    await keep(packs, [...bodies, ...bodies]);
    assertEquals(bytesIn(dir.path), before, "nothing is kept twice");
  }
  await using packs = await open(dir.path);
  await holds(packs, bodies);
  assertEquals(packsOf(dir.path).length, 1);
  await keep(packs, some(10, 1000));
  await holds(packs, [...bodies, ...some(10, 1000)]);
  assertEquals(packsOf(dir.path).length, 1, "it goes on where it stood");
});

Deno.test("packs: the same body many times at once is one record", async () => {
  await using dir = await tempDir();
  await using packs = await open(dir.path);
  const bytes = pattern(1000);
  await keep(packs, Array.from({ length: 50 }, () => bytes));
  assert(bytesIn(dir.path) < 1100);
  await holds(packs, [bytes]);
});

for (
  const [what, harm] of [
    ["gone", (file: string) => Deno.removeSync(file)],
    ["noise", (file: string) => Deno.writeFileSync(file, pattern(5000))],
    ["empty", (file: string) => Deno.truncateSync(file, 0)],
  ] as const
) {
  Deno.test(`packs: where the table is ${what}, the packs tell everything`, async () => {
    await using dir = await tempDir();
    const bodies = some(200);
    {
      await using packs = await open(dir.path);
      await keep(packs, bodies);
    }
    harm(`${dir.path}/packs.sqlite`);
    await using packs = await open(dir.path);
    await holds(packs, bodies);
  });
}

Deno.test("packs: what a table of an earlier moment lacks is read from the packs, what it has too much is forgotten", async () => {
  await using dir = await tempDir();
  const [early, late] = [some(50), some(50, 500)];
  {
    await using packs = await open(dir.path);
    await keep(packs, early);
  }
  Deno.copyFileSync(`${dir.path}/packs.sqlite`, `${dir.path}/before`);
  {
    await using packs = await open(dir.path);
    await keep(packs, late);
  }
  Deno.renameSync(`${dir.path}/before`, `${dir.path}/packs.sqlite`);
  {
    await using packs = await open(dir.path);
    await holds(packs, [...early, ...late]);
  }
  Deno.removeSync(packsOf(dir.path)[0]!);
  await using packs = await open(dir.path);
  await holds(packs, []);
  await keep(packs, early);
  await holds(packs, early);
});

Deno.test("packs: a torn end is cut off, wherever it is torn", async () => {
  await using dir = await tempDir();
  const [whole, torn] = [some(20), pattern(700, 77)];
  let end: number;
  {
    await using packs = await open(dir.path);
    await keep(packs, whole);
    end = bytesIn(dir.path);
    await keep(packs, [torn]);
  }
  const [file] = packsOf(dir.path) as [string];
  const bytes = Deno.readFileSync(file);
  for (const left of [end + 1, end + 43, end + 44, end + 300, bytes.length - 1]) {
    Deno.writeFileSync(file, bytes.subarray(0, left));
    for (const end of ["", "-wal"]) await Deno.remove(`${dir.path}/packs.sqlite${end}`).catch(() => {});
    await using packs = await open(dir.path);
    await holds(packs, whole);
    await keep(packs, [torn]);
    await holds(packs, [...whole, torn]);
  }
});

Deno.test("packs: without the table, a rotten record costs itself alone", async () => {
  for (const at of [-44, -40, -30, -2, 0, 999]) {
    await using dir = await tempDir();
    const bodies = [1, 2, 3].map((seed) => pattern(1000, seed));
    {
      await using packs = await open(dir.path);
      for (const bytes of bodies) await packs.keep(sha256(bytes), bytes);
    }
    const place = placeOf(dir.path, sha256(bodies[1]!));
    rot(place.file, place.at + at);
    Deno.removeSync(`${dir.path}/packs.sqlite`);
    await using packs = await open(dir.path);
    await holds(packs, [bodies[0]!, bodies[2]!]);
  }
});

Deno.test("packs: what is removed is gone at once, and its room after a tidying; a reader goes on", async () => {
  await using dir = await tempDir();
  await using packs = await open(dir.path);
  const kept = some(20);
  const removed = Array.from({ length: 3000 }, (_, at) => pattern(16_000, 10_000 + at));
  await keep(packs, removed.slice(0, 1500));
  await keep(packs, kept);
  await keep(packs, removed.slice(1500));
  assert(packsOf(dir.path).length > 1, "it takes several packs");
  const reading = packs.read(sha256(removed[0]!));
  for (const bytes of removed) assertEquals(packs.remove(sha256(bytes)), true);
  assertEquals(packs.remove(sha256(removed[0]!)), false);
  await holds(packs, kept);
  await packs.tidy();
  await packs.tidy();
  await holds(packs, kept);
  assert(bytesIn(dir.path) < 17 * MIB, `${bytesIn(dir.path)} bytes are left`);
  assertEquals((await reading)!.bytes, removed[0]);
  for (const bytes of kept) packs.remove(sha256(bytes));
  await packs.tidy();
  assertEquals(packsOf(dir.path), []);
  await keep(packs, kept);
  await holds(packs, kept);
});

Deno.test("packs: of a place that is not the body's any more nothing is removed", async () => {
  await using dir = await tempDir();
  await using packs = await open(dir.path);
  const bytes = pattern(100);
  const digest = sha256(bytes);
  await packs.keep(digest, bytes);
  const { place } = (await packs.read(digest))!;
  packs.remove(digest);
  await packs.keep(digest, bytes);
  assertEquals(packs.remove(digest, place), false);
  await holds(packs, [bytes]);
  assertEquals(packs.remove(digest, (await packs.read(digest))!.place), true);
  await holds(packs, []);
});

Deno.test("packs: random histories agree with a set, whatever is lost of the table", async () => {
  let state = 12345;
  const random: Random = () => {
    state = (state * 1103515245 + 12345) % 2 ** 31;
    return state / 2 ** 31;
  };
  await using dir = await tempDir();
  const bodies = Array.from({ length: 400 }, (_, at) => pattern(at === 7 ? 0 : between(random, 1, 16_384), at));
  const held = new Set<Uint8Array>();
  for (let round = 0; round < 12; round++) {
    await using packs = await open(dir.path);
    await holds(packs, [...held]);
    for (let step = 0; step < 6; step++) {
      const from = between(random, 0, bodies.length - 1);
      const chosen = bodies.slice(from, from + between(random, 1, 150));
      const tidied = random() < 0.3 ? packs.tidy() : null;
      if (random() < 0.55) {
        await keep(packs, chosen);
        for (const one of chosen) held.add(one);
      } else for (const one of chosen) assertEquals(packs.remove(sha256(one)), held.delete(one));
      await tidied;
    }
    await packs.tidy();
    await holds(packs, [...held]);
  }
  // A table that is made anew has what was removed, too: the sweeper of a store frees that again.
  Deno.removeSync(`${dir.path}/packs.sqlite`);
  await using packs = await open(dir.path);
  for (const bytes of held) assertEquals(await bytesOf(packs, sha256(bytes)), bytes);
});

Deno.test("packs: a write that fails fails those alone that asked, and the next ones go on", async () => {
  await using dir = await tempDir();
  await using packs = await open(dir.path);
  await keep(packs, some(3));
  // The next pack cannot be made.
  for (const bytes of Array.from({ length: 1100 }, (_, at) => pattern(16_000, 100 + at))) {
    await packs.keep(sha256(bytes), bytes);
  }
  const next = packsOf(dir.path).length + 1;
  Deno.mkdirSync(`${dir.path}/packs/${next}.pack`);
  const many = Array.from({ length: 1100 }, (_, at) => pattern(16_000, 5000 + at));
  const outcomes = await Promise.allSettled(many.map((bytes) => packs.keep(sha256(bytes), bytes)));
  const failed = outcomes.flatMap(({ status }, at) => status === "rejected" ? [many[at]!] : []);
  const kept = outcomes.flatMap(({ status }, at) => status === "fulfilled" ? [many[at]!] : []);
  assert(failed.length > 0 && kept.length > 0);
  for (const bytes of kept) assertEquals(await bytesOf(packs, sha256(bytes)), bytes);
  for (const bytes of failed) assertEquals(packs.size(sha256(bytes)), null);
  Deno.removeSync(`${dir.path}/packs/${next}.pack`);
  await keep(packs, failed);
  for (const bytes of failed) assertEquals(await bytesOf(packs, sha256(bytes)), bytes);
});

Deno.test("packs: a damaged table is set aside, and that is told", async () => {
  await using dir = await tempDir();
  Deno.writeTextFileSync(`${dir.path}/packs.sqlite`, "this is no database at all, and long enough to be looked at");
  const lines: string[] = [];
  await using _packs = await open(dir.path, createLogger({ write: (line) => lines.push(line) }));
  assert(lines.some((line) => line.includes("set aside")), lines.join());
  assert([...Deno.readDirSync(dir.path)].some(({ name }) => name.startsWith("packs.sqlite.broken-")));
});

Deno.test("packs: a small body in a file of its own, as an older version made it, is held, healed and swept", async () => {
  await using dir = await tempDir();
  let time = 0;
  const bytes = pattern(100);
  const digest = sha256(bytes);
  const folder = `${dir.path}/bodies/${digest.slice(0, 2)}`;
  Deno.mkdirSync(folder, { recursive: true });
  Deno.writeFileSync(`${folder}/${digest}`, bytes);
  await using store = await openDiskStore({
    folder: dir.path,
    minFreeBytes: 0,
    scrubBytesPerSecond: 0,
    graceMs: 10,
    now: () => time,
  });
  await store.put(manifestOf("/a", versionOf(1), bytes));
  assertEquals(await read(store, digest), bytes);
  rot(`${folder}/${digest}`, 50);
  await assertRejects(() => read(store, digest));
  assertEquals(await store.open(digest), null);
  await write(store, "/a", versionOf(1), bytes);
  assertEquals(await read(store, digest), bytes);
  await store.forget("/a", versionOf(1));
  time = 10;
  assertEquals(await store.sweep(), 1);
  assertEquals([[...Deno.readDirSync(folder)], packsOf(dir.path)], [[], []]);
});
