/**
 * The store of a server: bodies in files under their digest, manifests in SQLite.
 *
 * A body goes temporary file -> fsync -> rename -> fsync of the folder -> (put) row -> acknowledged, and a small one
 * pack -> fsync -> (put) row -> acknowledged; so a kill or a power cut at any point leaves either all of an object or
 * none of it.
 */
import { hash } from "node:crypto";
import { setImmediate } from "node:timers";
import { join } from "@std/path";
import { compareVersions, type Manifest, type Version } from "../../proto/mod.ts";
import { both, ignoreMissing, syncFile } from "../../runtime/files.ts";
import { bytesSource } from "../../runtime/http1/body_source.ts";
import { type Logger, silentLogger } from "../../runtime/log.ts";
import { type Bodies, type Hashed, hashPieces, holdsBodies, openBodies, sumFile } from "./bodies.ts";
import { Losses, packedFault } from "./losses.ts";
import { type Packed, PACKED_BYTES } from "./packs.ts";
import { openRecords, type Records } from "./records.ts";
import { orNoRoom, requireRoom, withRoom } from "./room.ts";
import { type Scrubbed, type Scrubber, type Sleep, startScrubber } from "./scrubber.ts";
import {
  addsSignature,
  type BodySource,
  type Listing,
  type ListQuery,
  type LostBody,
  type OpenBody,
  type StagedBody,
  type Store,
} from "./store.ts";
import { readPieces, requireBody, requireExpected, requireInside, upTo } from "./stream.ts";
import { startSweeper, type Sweeper } from "./sweeper.ts";
import { VerifiedSource } from "./verified_source.ts";
import { rotten, verifiedStream } from "./verified_stream.ts";

/** Settings of a disk store. */
export interface DiskStoreOptions {
  /** Where everything is; made where it is missing. One process at a time. */
  folder: string;
  /** Milliseconds since 1970. */
  now?: () => number;
  /** Hears of what was freed, and of what went wrong in the background. */
  log?: Logger;
  /** How long a body stays that no manifest names, in milliseconds. */
  graceMs?: number;
  /**
   * Bodies are refused (507) where they would leave less than this free on the disk, so that deletes
   * and the index still have room. Needs `--allow-sys=statfs`; without it only a full disk refuses.
   */
  minFreeBytes?: number;
  /** How fast all bodies are read again in the background, in search of rot; 0 for not at all. */
  scrubBytesPerSecond?: number;
  /** How the scrubber waits. */
  sleep?: Sleep;
}

/** A {@link Store} on disk, with what tests and operators ask of it besides. */
export interface DiskStore extends Store {
  /** Frees now what no manifest has named for the grace; resolves with how many bodies that were. */
  sweep(): Promise<number>;
  /** Reads all bodies now, and sets aside what is rotten. */
  scrub(): Promise<Scrubbed>;
}

/** A manifest to be put. */
interface Put {
  manifest: Manifest;
  resolve: (put: boolean) => void;
  reject: (error: unknown) => void;
}

/** How often free room is looked at while a body of unknown size comes, in bytes. */
const ROOM_CHECK_BYTES = 16 * 1024 * 1024;
/** How often it is looked at while small bodies come. */
const SMALL_CHECK_BYTES = 256 * 1024;

/**
 * Opens the store in `folder`.
 * @throws {CdnError} where another process has it open, or there is no room to open it (507).
 */
export async function openDiskStore(
  {
    folder,
    now = Date.now,
    log = silentLogger,
    graceMs = 600_000,
    minFreeBytes = 64 * 1024 * 1024,
    scrubBytesPerSecond = 8 * 1024 * 1024,
    sleep,
  }: DiskStoreOptions,
): Promise<DiskStore> {
  await Deno.mkdir(folder, { recursive: true });
  const records = await withRoom(
    `open ${folder}`,
    () => openRecords(folder, { now, log, holdsBodies: () => holdsBodies(folder) }),
  );
  try {
    const bodies = await withRoom(`open ${folder}`, () => openBodies(folder, { now, log }));
    const sweeper = startSweeper(
      { names: records.names, remove: bodies.remove, all: bodies.all, tidy: () => bodies.packs.tidy() },
      // After a rebuild, a body may be one whose manifest is yet to be heard of again.
      { graceMs, now, log, walkFirst: !records.rebuilt },
    );
    const losses = new Losses(bodies, records, { now, log });
    const scrubber = startScrubber(losses, {
      bytesPerSecond: scrubBytesPerSecond,
      stateFile: join(folder, "scrub.json"),
      now,
      log,
      ...(sleep && { sleep }),
    });
    return new OpenDiskStore(folder, records, bodies, losses, sweeper, scrubber, minFreeBytes);
  } catch (error) {
    records[Symbol.dispose]();
    throw error;
  }
}

class OpenDiskStore implements DiskStore {
  /** Wait for the end of this turn. */
  #puts: Put[] = [];
  /** Bytes of small bodies that may come before free room is looked at again. */
  #unasked = 0;

  constructor(
    readonly folder: string,
    readonly records: Records,
    readonly bodies: Bodies,
    readonly losses: Losses,
    readonly sweeper: Sweeper,
    readonly scrubber: Scrubber,
    readonly minFreeBytes: number,
  ) {}

  get onLost(): (lost: LostBody) => void {
    return this.losses.onLost;
  }

  set onLost(listener: (lost: LostBody) => void) {
    this.losses.onLost = listener;
  }

  // deno-lint-ignore require-await -- so that what throws rejects
  async get(path: string): Promise<Manifest | null> {
    return this.records.get(path);
  }

  stage(source: BodySource, expected: Partial<StagedBody> = {}): Promise<StagedBody> {
    return withRoom("take in the body", async () => {
      if ("file" in source) return await this.#stageFile(source, expected);
      return await this.#stageChunks(source, expected);
    });
  }

  put(manifest: Manifest): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#puts.push({ manifest, resolve, reject });
      if (this.#puts.length === 1) setImmediate(() => this.#commit());
    });
  }

  /**
   * Those that came in one turn are put together: one wait for the disk serves them all. One tick, so that no sweep
   * comes between the check and the row.
   */
  #commit(): void {
    const puts = this.#puts.splice(0);
    /** The newest of each path, and what is there. */
    const news = new Map<string, { put: Put; old: Manifest | null }>();
    const good: Put[] = [];
    for (const put of puts) {
      const { manifest, resolve, reject } = put;
      try {
        const stored = this.records.get(manifest.path);
        const old = news.get(manifest.path)?.put.manifest ?? stored;
        const order = old ? compareVersions(manifest.version, old.version) : 1;
        if (order < 0) resolve(false);
        else if (order === 0 && !addsSignature(manifest, old!)) good.push(put);
        else {
          if (order > 0 && !manifest.deleted) requireBody(manifest, this.bodies.size(manifest.sha256));
          news.set(manifest.path, { put, old: stored });
          good.push(put);
        }
      } catch (error) {
        reject(error);
      }
    }
    try {
      const manifests = [...news.values()].map(({ put: { manifest } }) => manifest);
      if (manifests.length > 0) orNoRoom(`put ${manifests[0]!.path}`, () => this.records.setAll(manifests));
    } catch (error) {
      for (const { reject } of good) reject(error);
      return;
    }
    for (const { put: { manifest }, old } of news.values()) {
      this.sweeper.named(manifest.sha256);
      if (old && !old.deleted && old.sha256 !== manifest.sha256) this.sweeper.touch(old.sha256);
    }
    for (const { resolve } of good) resolve(true);
  }

  async open(sha256: string, range?: { start: number; end: number }): Promise<OpenBody | null> {
    const size = this.bodies.size(sha256);
    if (size === null) {
      this.losses.missing(sha256);
      return null;
    }
    const { start, end } = range ?? { start: 0, end: size };
    requireInside(size, { start, end });
    if (start === end && size > 0) return { size, stream: emptyStream() };
    const packed = this.bodies.packs.read(sha256);
    if (packed) return { size, ...this.#openPacked(sha256, await packed, start, end) };
    const check = this.bodies.check(sha256, size);
    const file = this.bodies.open(sha256);
    const onRot = (reason: string) => this.losses.rotten(sha256, file, reason);
    if (check === false) {
      onRot("its file is of another size");
      file.close();
      return null;
    }
    if (size > 0) {
      const reading = { file, start, end, size, check, onRot };
      return { size, stream: verifiedStream(reading), source: new VerifiedSource(reading) };
    }
    file.close();
    return { size, stream: emptyStream() };
  }

  // deno-lint-ignore require-await -- so that what throws rejects
  async list(query: ListQuery): Promise<Listing> {
    return this.records.list(query);
  }

  async forget(path: string, version: Version): Promise<boolean> {
    const old = await withRoom(`forget ${path}`, () => this.records.remove(path, version));
    if (old && !old.deleted) this.sweeper.touch(old.sha256);
    return old !== null;
  }

  sweep(): Promise<number> {
    return this.sweeper.sweep();
  }

  scrub(): Promise<Scrubbed> {
    return this.scrubber.scrub();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#puts.length > 0) this.#commit();
    await this.scrubber[Symbol.asyncDispose]();
    await this.sweeper[Symbol.asyncDispose]();
    await this.bodies[Symbol.asyncDispose]();
    this.records[Symbol.dispose]();
  }

  async #stageChunks(source: AsyncIterable<Uint8Array>, expected: Partial<StagedBody>): Promise<StagedBody> {
    const chunks = await upTo(PACKED_BYTES, source);
    if (chunks instanceof Uint8Array) return await this.#pack(chunks, expected);
    const { file, ...body } = await this.bodies.write(chunks, this.#roomCheck(expected.size));
    try {
      requireExpected(body, expected);
      await this.#settle(file, body);
      return { sha256: body.sha256, size: body.size };
    } catch (error) {
      await Deno.remove(file).catch(ignoreMissing);
      throw error;
    }
  }

  async #stageFile(
    { file, hashed }: { file: string; hashed?: StagedBody },
    expected: Partial<StagedBody>,
  ): Promise<StagedBody> {
    if (hashed) requireExpected(hashed, expected);
    if ((hashed ?? await Deno.stat(file)).size <= PACKED_BYTES) {
      const staged = await this.#pack(await Deno.readFile(file), { ...expected, ...hashed });
      await Deno.remove(file);
      return staged;
    }
    // Its sums are made while the disk takes in its bytes.
    const [body] = await both(
      hashed ? sumFile(file).then((sums) => ({ ...hashed, sums })) : hashPieces(readPieces(file)),
      syncFile(file),
    );
    requireExpected(body, expected);
    if (body.sums.size !== body.size) throw new RangeError(`${file} has ${body.sums.size} bytes, not ${body.size}`);
    const settled = await this.#settle(file, body);
    if (settled) return settled;
    const copied = await this.#stageChunks(readPieces(file), { sha256: body.sha256, size: body.size });
    await Deno.remove(file);
    return copied;
  }

  /** Takes in a small body. */
  async #pack(bytes: Uint8Array, expected: Partial<StagedBody>): Promise<StagedBody> {
    const body = { sha256: hash("sha256", bytes), size: bytes.length };
    requireExpected(body, expected);
    this.#requireRoomForSmall(body.size);
    this.sweeper.touch(body.sha256); // no sweep that is due takes it before it is told
    await this.bodies.packs.keep(body.sha256, bytes);
    this.losses.healed(body.sha256);
    this.sweeper.touch(body.sha256);
    return body;
  }

  /** As `#roomCheck` does; one question serves many small bodies. */
  #requireRoomForSmall(bytes: number): void {
    if (this.#unasked >= bytes) {
      this.#unasked -= bytes;
      return;
    }
    this.#unasked = 0;
    requireRoom("take in the body", this.folder, bytes, this.minFreeBytes);
    this.#unasked = SMALL_CHECK_BYTES;
  }

  /** A packed body, or the part of it, once its bytes are known to be those that were staged. */
  #openPacked(sha256: string, packed: Packed, start: number, end: number): Omit<OpenBody, "size"> {
    const fault = packedFault(sha256, packed);
    const onRot = (reason: string) => void this.losses.rottenPacked(sha256, packed, reason);
    const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull(controller) {
        if (fault !== null) throw rotten(fault, onRot);
        if (end > start) controller.enqueue(packed.bytes!.subarray(start, end));
        controller.close();
      },
    }, { highWaterMark: 0 });
    return fault === null ? { stream, source: bytesSource(packed.bytes!.subarray(start, end)) } : { stream };
  }

  /** From a synced file to a held body. Null, and nothing done, where the file is on another disk. */
  async #settle(file: string, body: Hashed): Promise<StagedBody | null> {
    const { sha256, size } = body;
    const held = this.bodies.size(sha256);
    if (held !== size && !this.bodies.adopt(file, body)) return null;
    this.losses.healed(sha256);
    this.sweeper.touch(sha256);
    // Also where it was held: another upload of the same bytes may not have come as far as this yet.
    await this.bodies.sync(sha256);
    if (held === size) await Deno.remove(file);
    return { sha256, size };
  }

  /** Asked before each chunk is written. */
  #roomCheck(expectedSize: number | undefined): (bytes: number) => void {
    const require = (bytes: number) => requireRoom("take in the body", this.folder, bytes, this.minFreeBytes);
    require(expectedSize ?? 0);
    let sinceCheck = 0;
    return (bytes) => {
      sinceCheck += bytes;
      if (sinceCheck < ROOM_CHECK_BYTES) return;
      sinceCheck = 0;
      require(0);
    };
  }
}

function emptyStream(): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({ start: (controller) => controller.close() });
}
