/**
 * The store of a server: bodies in files under their digest, manifests in SQLite.
 *
 * A body goes temporary file -> fsync -> rename -> fsync of the folder -> (put) row -> acknowledged; so a
 * kill or a power cut at any point leaves either all of an object or none of it.
 */
import { join } from "@std/path";
import { compareVersions, type Manifest } from "../../proto/mod.ts";
import { type Logger, silentLogger } from "../../runtime/log.ts";
import { type Bodies, hashFile, openBodies } from "./bodies.ts";
import { ignoreMissing, syncFile } from "./files.ts";
import { type ManifestIndex, openManifestIndex } from "./manifest_index.ts";
import { requireRoom, withRoom } from "./room.ts";
import type { BodySource, Listing, ListQuery, OpenBody, StagedBody, Store } from "./store.ts";
import { readPieces, requireBody, requireExpected, requireInside, streamPart } from "./stream.ts";
import { startSweeper, type Sweeper } from "./sweeper.ts";

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
}

/** A {@link Store} on disk, with what tests and operators ask of it besides. */
export interface DiskStore extends Store {
  /** Frees now what no manifest has named for the grace; resolves with how many bodies that were. */
  sweep(): Promise<number>;
}

/** How often free room is looked at while a body of unknown size comes, in bytes. */
const ROOM_CHECK_BYTES = 16 * 1024 * 1024;

/**
 * Opens the store in `folder`.
 * @throws {CdnError} where another process has it open, or there is no room to open it (507).
 */
export async function openDiskStore(
  { folder, now = Date.now, log = silentLogger, graceMs = 600_000, minFreeBytes = 64 * 1024 * 1024 }: DiskStoreOptions,
): Promise<DiskStore> {
  await Deno.mkdir(folder, { recursive: true });
  const index = await openManifestIndex(join(folder, "index.sqlite"));
  try {
    const bodies = await withRoom(`open ${folder}`, () => openBodies(folder));
    const sweeper = startSweeper({ names: index.names, remove: bodies.remove, all: bodies.all }, { graceMs, now, log });
    return new OpenDiskStore(folder, index, bodies, sweeper, minFreeBytes);
  } catch (error) {
    index[Symbol.dispose]();
    throw error;
  }
}

class OpenDiskStore implements DiskStore {
  constructor(
    readonly folder: string,
    readonly index: ManifestIndex,
    readonly bodies: Bodies,
    readonly sweeper: Sweeper,
    readonly minFreeBytes: number,
  ) {}

  // deno-lint-ignore require-await -- so that what throws rejects
  async get(path: string): Promise<Manifest | null> {
    return this.index.get(path);
  }

  stage(source: BodySource, expected: Partial<StagedBody> = {}): Promise<StagedBody> {
    return withRoom("take in the body", async () => {
      if ("file" in source) return await this.#stageFile(source, expected);
      return await this.#stageChunks(source, expected);
    });
  }

  // deno-lint-ignore require-await -- one tick, so that no sweep comes between the check and the row
  async put(manifest: Manifest): Promise<boolean> {
    const old = this.index.get(manifest.path);
    const order = old ? compareVersions(manifest.version, old.version) : 1;
    if (order <= 0) return order === 0;
    if (!manifest.deleted) requireBody(manifest, this.bodies.size(manifest.sha256));
    return withRoom(`put ${manifest.path}`, () => {
      this.index.set(manifest);
      this.sweeper.named(manifest.sha256);
      if (old && !old.deleted && old.sha256 !== manifest.sha256) this.sweeper.touch(old.sha256);
      return true;
    });
  }

  // deno-lint-ignore require-await -- so that what throws rejects
  async open(sha256: string, range?: { start: number; end: number }): Promise<OpenBody | null> {
    const size = this.bodies.size(sha256);
    if (size === null) return null;
    const { start, end } = range ?? { start: 0, end: size };
    requireInside(size, { start, end });
    return { size, stream: streamPart(this.bodies.path(sha256), { start, end, size }) };
  }

  // deno-lint-ignore require-await -- so that what throws rejects
  async list(query: ListQuery): Promise<Listing> {
    return this.index.list(query);
  }

  sweep(): Promise<number> {
    return this.sweeper.sweep();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sweeper[Symbol.asyncDispose]();
    this.index[Symbol.dispose]();
  }

  async #stageChunks(chunks: AsyncIterable<Uint8Array>, expected: Partial<StagedBody>): Promise<StagedBody> {
    const { temp, ...body } = await this.bodies.write(chunks, this.#roomCheck(expected.size));
    try {
      requireExpected(body, expected);
      await this.#settle(temp, body);
      return body;
    } catch (error) {
      await Deno.remove(temp).catch(ignoreMissing);
      throw error;
    }
  }

  async #stageFile(
    { file, hashed }: { file: string; hashed?: StagedBody },
    expected: Partial<StagedBody>,
  ): Promise<StagedBody> {
    const body = hashed ?? await hashFile(file);
    requireExpected(body, expected);
    const { size } = await Deno.stat(file);
    if (size !== body.size) throw new RangeError(`${file} has ${size} bytes, not ${body.size}`);
    await syncFile(file);
    if (!await this.#settle(file, body)) {
      await this.#stageChunks(readPieces(file), body);
      await Deno.remove(file);
    }
    return body;
  }

  /** From a synced file to a held body. False, and nothing done, where the file is on another disk. */
  async #settle(file: string, { sha256, size }: StagedBody): Promise<boolean> {
    const held = this.bodies.size(sha256);
    if (held !== size && !this.bodies.adopt(file, sha256)) return false;
    this.sweeper.touch(sha256);
    // Also where it was held: another upload of the same bytes may not have come as far as this yet.
    await this.bodies.sync(sha256);
    if (held === size) await Deno.remove(file);
    return true;
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
