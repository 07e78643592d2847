/**
 * Small bodies on disk, many in one file: a file each would cost more than its bytes (a name, two syncs, a rename). What
 * comes at the same time is appended together and waits for the disk once. After Haystack (Beaver et al., OSDI 2010).
 *
 *     packs/N.pack   records, one after the other; a file is never changed but at its end
 *     packs.sqlite   which record each body is in, and how far each pack has been entered here
 *
 * A record, little-endian as all here:
 *
 *     "MCDN"            4 bytes
 *     size of the body  4 bytes
 *     SHA-256 of it    32 bytes
 *     CRC-32 of these   4 bytes
 *     the body
 *
 * The packs say what is held, the table where: it is not synced, and what a power cut takes from it is read from the
 * packs at the next opening. A body that was removed leaves its record behind, until so much of the pack is of no use
 * that the rest is appended anew elsewhere ({@link Packs.tidy}).
 */
import { Buffer } from "node:buffer";
import { hash } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";
import { setImmediate } from "node:timers";
import { crc32 } from "node:zlib";
import { join } from "@std/path";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { ifThere, syncFolder, writeAll } from "../../runtime/files.ts";
import type { Logger } from "../../runtime/log.ts";
import { atOnce, type DatabaseShape, openSoundDatabase } from "./database.ts";
import { isUnreadable } from "./verified_stream.ts";

/** The most bytes of a body in a pack. A digest of so few is found as fast as a file is opened. */
export const PACKED_BYTES = 16 * 1024;

/** Where a body is. */
export interface Place {
  pack: number;
  /** Where its record begins, in bytes. */
  at: number;
  /** Of the body, in bytes. */
  size: number;
}

/** A body as the disk gives it. */
export interface Packed {
  place: Place;
  /** Null where the disk cannot read it. */
  bytes: Uint8Array<ArrayBuffer> | null;
}

/** Small bodies. What is not async is done when it returns. */
export interface Packs extends AsyncDisposable {
  /** The size of a body; null where it is not held here. */
  size(sha256: string): number | null;
  /** Reads a body, whatever its bytes are by now; null, at once, where it is not held here. */
  read(sha256: string): Promise<Packed> | null;
  /** Takes in a body of at most {@link PACKED_BYTES}; durable when it resolves. */
  keep(sha256: string, bytes: Uint8Array): Promise<void>;
  /** Takes a body away, where it is held, and at this place where one is given. True where it was. */
  remove(sha256: string, place?: Place): boolean;
  /** Digests from `from` up to but not including `to`, in order. */
  digests(from: string, to: string): string[];
  /** Frees what removed bodies have left, as far as it is worth it. */
  tidy(): Promise<void>;
}

/** A body on its way into a pack. */
interface Arrival {
  sha256: string;
  bytes: Uint8Array;
  /** Where it is now, for one that moves. */
  from?: Place;
  resolve: () => void;
  reject: (error: unknown) => void;
}

/** The pack that grows. */
interface Growing {
  pack: number;
  file: Deno.FsFile;
  end: number;
}

const MAGIC = new TextEncoder().encode("MCDN");
const HEAD_BYTES = 44;
/** A pack that is longer grows no more. */
const PACK_BYTES = 16 * 1024 * 1024;
/** Bytes that are appended at once. */
const BATCH_BYTES = 2 * 1024 * 1024;
/** A pack with less than this part in use is written anew. */
const LEAST_IN_USE = 0.75;

const shape: DatabaseShape = {
  version: 1,
  schema: `
    CREATE TABLE bodies (
      sha256 TEXT PRIMARY KEY,
      pack INTEGER NOT NULL,
      at INTEGER NOT NULL,
      size INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX bodies_by_pack ON bodies (pack, at);
    CREATE TABLE packs (
      pack INTEGER PRIMARY KEY,
      entered INTEGER NOT NULL,
      used INTEGER NOT NULL
    ) STRICT;
  `,
};

/** Opens the packs in `folder`; one process at a time. What the table lacks is read from them. */
export async function openPacks(folder: string, { now, log }: { now: () => number; log: Logger }): Promise<Packs> {
  const root = join(folder, "packs");
  await Deno.mkdir(root, { recursive: true });
  const database = await openSoundDatabase(join(folder, "packs.sqlite"), shape, { now, log });
  try {
    const table = new Table(database);
    const numbers = packsIn(root);
    table.dropAllBut(numbers);
    let growing: Growing | null = null;
    for (const pack of numbers) growing = await enter(table, root, pack, pack === numbers.at(-1));
    return new OpenPacks(root, table, growing, (numbers.at(-1) ?? 0) + 1);
  } catch (error) {
    database.close();
    throw error;
  }
}

/** True where there are packs in `folder`, which need not be open. */
export function holdsPacks(folder: string): boolean {
  return ifThere(() => packsIn(join(folder, "packs")).length > 0) ?? false;
}

class OpenPacks implements Packs {
  #waiting: Arrival[] = [];
  #working: Promise<void> | null = null;

  constructor(
    readonly root: string,
    readonly table: Table,
    private growing: Growing | null,
    private next: number,
  ) {}

  size(sha256: string): number | null {
    return this.table.find(sha256)?.size ?? null;
  }

  read(sha256: string): Promise<Packed> | null {
    const place = this.table.find(sha256);
    return place && readAt(this.root, place).then((bytes) => ({ place, bytes }));
  }

  keep(sha256: string, bytes: Uint8Array): Promise<void> {
    return this.#append({ sha256, bytes });
  }

  remove(sha256: string, place?: Place): boolean {
    const held = this.table.find(sha256);
    if (!held || !isSame(held, place ?? held)) return false;
    this.table.remove(sha256, held);
    return true;
  }

  digests(from: string, to: string): string[] {
    return this.table.digests(from, to);
  }

  async tidy(): Promise<void> {
    for (const { pack, entered, used } of this.table.packs()) {
      if (used > 0 && (used >= entered * LEAST_IN_USE || pack === this.growing?.pack)) continue;
      if (used > 0) await this.#moveOut(pack);
      // What grows just now may have been given a body meanwhile.
      if (this.table.pack(pack).used === 0) this.#drop(pack);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#working;
    this.growing?.file.close();
    this.table.database.close();
  }

  #append(arrival: Omit<Arrival, "resolve" | "reject">): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ...arrival, resolve, reject });
      this.#working ??= this.#work();
    });
  }

  async #work(): Promise<void> {
    while (this.#waiting.length > 0) {
      await new Promise<void>((resolve) => setImmediate(resolve)); // what comes in the same turn goes along
      let bytes = 0;
      let count = 0;
      while (count < this.#waiting.length && bytes < BATCH_BYTES) bytes += this.#waiting[count++]!.bytes.length;
      const batch = this.#waiting.splice(0, count);
      try {
        await this.#write(batch);
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#working = null; // in the turn in which nobody waited
  }

  async #write(batch: readonly Arrival[]): Promise<void> {
    const news = new Map<string, Arrival>();
    for (const arrival of batch) {
      if (isSame(this.table.find(arrival.sha256), arrival.from ?? null)) news.set(arrival.sha256, arrival);
    }
    if (news.size === 0) return;
    const growing = this.growing ??= await this.#begin();
    const { records, places } = lineUp([...news.values()], growing);
    try {
      await writeAll(growing.file, records);
      await growing.file.syncData();
      growing.end += records.length;
      this.table.enter(growing.pack, growing.end, places, news);
      if (growing.end >= PACK_BYTES) this.#leave();
    } catch (error) {
      this.#leave(); // what is at its end is not certain any more
      throw error;
    }
  }

  async #begin(): Promise<Growing> {
    const pack = this.next++;
    const file = await Deno.open(fileOf(this.root, pack), { write: true, createNew: true });
    try {
      await syncFolder(this.root);
    } catch (error) {
      file.close();
      throw error;
    }
    return { pack, file, end: 0 };
  }

  #leave(): void {
    this.growing?.file.close();
    this.growing = null;
  }

  /** Appends to another pack what is held in one. What turns out to be rotten stays, for the scrubber to find. */
  async #moveOut(pack: number): Promise<void> {
    const bodies = this.table.inPack(pack);
    while (bodies.length > 0) {
      await Promise.all(
        bodies.splice(0, BATCH_BYTES / PACKED_BYTES).map(async ({ sha256, place }) => {
          const bytes = await readAt(this.root, place);
          if (bytes && digestOf(bytes) === sha256) await this.#append({ sha256, bytes, from: place });
        }),
      );
    }
  }

  #drop(pack: number): void {
    if (pack === this.growing?.pack) {
      if (this.#working) return; // next time
      this.#leave();
    }
    this.table.drop(pack);
    Deno.removeSync(fileOf(this.root, pack));
  }
}

/** The table, in SQLite. */
class Table {
  readonly #find;
  readonly #insert;
  readonly #remove;
  readonly #digests;
  readonly #inPack;
  readonly #pack;
  readonly #packs;
  readonly #enter;
  readonly #release;

  constructor(readonly database: DatabaseSync) {
    // What it lacks after a power cut, the packs tell.
    database.exec("PRAGMA synchronous = NORMAL");
    this.#find = database.prepare("SELECT pack, at, size FROM bodies WHERE sha256 = ?");
    this.#insert = database.prepare("INSERT OR REPLACE INTO bodies (sha256, pack, at, size) VALUES (?, ?, ?, ?)");
    this.#remove = database.prepare("DELETE FROM bodies WHERE sha256 = ?");
    this.#digests = database.prepare("SELECT sha256 FROM bodies WHERE sha256 >= ? AND sha256 < ? ORDER BY sha256");
    this.#inPack = database.prepare("SELECT sha256, pack, at, size FROM bodies WHERE pack = ? ORDER BY at");
    this.#pack = database.prepare("SELECT entered, used FROM packs WHERE pack = ?");
    this.#packs = database.prepare("SELECT pack, entered, used FROM packs ORDER BY pack");
    this.#enter = database.prepare(`
      INSERT INTO packs (pack, entered, used) VALUES (?, ?, ?)
        ON CONFLICT (pack) DO UPDATE SET entered = excluded.entered, used = used + excluded.used`);
    this.#release = database.prepare("UPDATE packs SET used = used - ? WHERE pack = ?");
  }

  find(sha256: string): Place | null {
    return (this.#find.get(sha256) as Place | undefined) ?? null;
  }

  /**
   * What a pack has up to `end`: bodies at these places. Those that are held already are not entered, and of those that
   * move only what still is where it came from.
   */
  enter(
    pack: number,
    end: number,
    places: ReadonlyMap<string, Place>,
    arrivals: ReadonlyMap<string, { from?: Place }> = new Map(),
  ): void {
    atOnce(this.database, () => {
      let used = 0;
      for (const [sha256, place] of places) {
        const from = arrivals.get(sha256)?.from ?? null;
        if (!isSame(this.find(sha256), from)) continue;
        if (from) this.#release.run(HEAD_BYTES + from.size, from.pack);
        this.#insert.run(sha256, place.pack, place.at, place.size);
        used += HEAD_BYTES + place.size;
      }
      this.#enter.run(pack, end, used);
    });
  }

  remove(sha256: string, { pack, size }: Place): void {
    atOnce(this.database, () => {
      this.#remove.run(sha256);
      this.#release.run(HEAD_BYTES + size, pack);
    });
  }

  digests(from: string, to: string): string[] {
    return this.#digests.all(from, to).map(({ sha256 }) => sha256 as string);
  }

  inPack(pack: number): { sha256: string; place: Place }[] {
    return this.#inPack.all(pack).map((row) => {
      const { sha256, ...place } = row as unknown as Place & { sha256: string };
      return { sha256, place };
    });
  }

  packs(): { pack: number; entered: number; used: number }[] {
    return this.#packs.all() as unknown as { pack: number; entered: number; used: number }[];
  }

  pack(pack: number): { entered: number; used: number } {
    return (this.#pack.get(pack) as { entered: number; used: number } | undefined) ?? { entered: 0, used: 0 };
  }

  /** Forgets a pack, and makes sure that it stays forgotten: its file is to go. */
  drop(pack: number): void {
    this.database.exec("PRAGMA synchronous = FULL");
    try {
      atOnce(this.database, () => {
        this.database.prepare("DELETE FROM bodies WHERE pack = ?").run(pack);
        this.database.prepare("DELETE FROM packs WHERE pack = ?").run(pack);
      });
    } finally {
      this.database.exec("PRAGMA synchronous = NORMAL");
    }
  }

  /** Forgets the packs that are gone. */
  dropAllBut(numbers: readonly number[]): void {
    const there = new Set(numbers);
    for (const { pack } of this.packs()) if (!there.has(pack)) this.drop(pack);
  }
}

/**
 * Enters into the table what a pack has and the table lacks: a process was killed, the power was cut, or the table is
 * new. What is torn or rotten is passed over. The last pack is given back, where it may grow on.
 */
async function enter(table: Table, root: string, pack: number, isLast: boolean): Promise<Growing | null> {
  const path = fileOf(root, pack);
  const { entered } = table.pack(pack);
  using file = await Deno.open(path, { read: true, write: true });
  const { size } = file.statSync();
  let end = entered;
  if (size > entered) {
    file.seekSync(entered, Deno.SeekMode.Start);
    const found = findRecords(await readFull(file, size - entered), { pack, at: entered });
    end = isLast ? found.end : size;
    if (isLast) file.truncateSync(end);
    await file.syncData(); // a killed process may not have come as far
    table.enter(pack, end, found.places);
  }
  if (!isLast || size < entered || end >= PACK_BYTES) return null;
  const growing = await Deno.open(path, { write: true });
  growing.seekSync(end, Deno.SeekMode.Start);
  return { pack, file: growing, end };
}

/** The whole and sound records in `bytes`, which begin at `at` of a pack; and where the last one ends. */
function findRecords(
  bytes: Uint8Array<ArrayBuffer>,
  { pack, at: base }: { pack: number; at: number },
): { places: Map<string, Place>; end: number } {
  const places = new Map<string, Place>();
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  let end = 0;
  for (let at = 0; (at = buffer.indexOf(MAGIC, at)) >= 0;) {
    const head = bytes.subarray(at, at + HEAD_BYTES);
    const { size, sha256 } = readHead(head) ?? { size: Infinity, sha256: "" };
    const body = bytes.subarray(at + HEAD_BYTES, at + HEAD_BYTES + size);
    if (body.length !== size || digestOf(body) !== sha256) {
      at++;
      continue;
    }
    places.set(sha256, { pack, at: base + at, size });
    end = at += HEAD_BYTES + size;
  }
  return { places, end: base + end };
}

/** Bodies as records, and where each will be. */
function lineUp(
  bodies: readonly { sha256: string; bytes: Uint8Array }[],
  { pack, end }: Growing,
): { records: Uint8Array<ArrayBuffer>; places: Map<string, Place> } {
  const records = new Uint8Array(bodies.reduce((sum, { bytes }) => sum + HEAD_BYTES + bytes.length, 0));
  const places = new Map<string, Place>();
  let at = 0;
  for (const { sha256, bytes } of bodies) {
    places.set(sha256, { pack, at: end + at, size: bytes.length });
    writeHead(records.subarray(at, at + HEAD_BYTES), sha256, bytes.length);
    records.set(bytes, at + HEAD_BYTES);
    at += HEAD_BYTES + bytes.length;
  }
  return { records, places };
}

function writeHead(head: Uint8Array, sha256: string, size: number): void {
  const view = new DataView(head.buffer, head.byteOffset, HEAD_BYTES);
  head.set(MAGIC);
  view.setUint32(4, size, true);
  head.set(decodeHex(sha256), 8);
  view.setUint32(40, crc32(head.subarray(0, 40)), true);
}

/** Null for what is none. */
function readHead(head: Uint8Array): { sha256: string; size: number } | null {
  if (head.length < HEAD_BYTES) return null;
  const view = new DataView(head.buffer, head.byteOffset, HEAD_BYTES);
  if (view.getUint32(40, true) !== crc32(head.subarray(0, 40))) return null;
  return { sha256: encodeHex(head.subarray(8, 40)), size: view.getUint32(4, true) };
}

/** The bytes at a place, whatever they are; fewer where the pack is too short, and null where the disk cannot read them. */
async function readAt(root: string, { pack, at, size }: Place): Promise<Uint8Array<ArrayBuffer> | null> {
  try {
    using file = Deno.openSync(fileOf(root, pack), { read: true });
    file.seekSync(at + HEAD_BYTES, Deno.SeekMode.Start);
    return await readFull(file, size);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return new Uint8Array();
    if (isUnreadable(error)) return null;
    throw error;
  }
}

/** `size` bytes from where the file stands, or fewer where there are no more. */
async function readFull(file: Deno.FsFile, size: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(size);
  let have = 0;
  while (have < size) {
    const count = await file.read(bytes.subarray(have));
    if (count === null) break;
    have += count;
  }
  return bytes.subarray(0, have);
}

function digestOf(bytes: Uint8Array): string {
  return hash("sha256", bytes);
}

function isSame(one: Place | null, other: Place | null): boolean {
  return one?.pack === other?.pack && one?.at === other?.at;
}

function fileOf(root: string, pack: number): string {
  return join(root, `${pack}.pack`);
}

/** The numbers of the packs in a folder, in order. */
function packsIn(root: string): number[] {
  return Array.from(Deno.readDirSync(root), ({ name }) => Number(/^([1-9]\d*)\.pack$/.exec(name)?.[1]))
    .filter(Number.isInteger).sort((a, b) => a - b);
}
