/**
 * Bodies on disk. Small ones are in packs (`packs.ts`), and each other one is under its digest: `bodies/ab/abcdef…`, and
 * beside it its sums (`.sums`). A file there is whole and durable: it was written and synced under `tmp/`, and then
 * renamed. So the folder itself says what is held, and no table can disagree with it. What turns out not to be what was
 * staged is moved to `rotten/`, where the last ones are kept.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "@std/path";
import { isDigest } from "../../proto/mod.ts";
import { ifThere, ignoreMissing, syncFolder, writeAll } from "../../runtime/files.ts";
import type { Logger } from "../../runtime/log.ts";
import { type BlockCheck, BlockSums, digestCheck, WITHOUT_SUMS_BYTES } from "./block_sums.ts";
import { holdsPacks, openPacks, type Packed, type Packs } from "./packs.ts";
import { isFull } from "./room.ts";
import type { StagedBody } from "./store.ts";
import { readPieces } from "./stream.ts";

/** Rotten bodies that are kept. */
const KEPT_ROTTEN = 20;

/** The first two digits of all digests: the names of the folders, in order. */
export const FOLDERS: readonly string[] = Array.from({ length: 256 }, (_, at) => at.toString(16).padStart(2, "0"));

/** A file that was hashed, with its sums. */
export interface Hashed extends StagedBody {
  sums: BlockSums;
}

/** What a disk store holds of bodies. Whoever asks for one in a file asks first whether it is packed. */
export interface Bodies extends AsyncDisposable {
  /** The small ones; some may have a file of their own all the same: an older version made it. */
  packs: Packs;
  /** Its size in bytes; null where it is not held. */
  size(sha256: string): number | null;
  /** Opens the file of a body that is held in one; throws `NotFound` for another. */
  open(sha256: string): Deno.FsFile;
  /**
   * How to check the blocks of a body whose file has `size` bytes: null where there are no sums, and
   * false where that cannot be its size.
   */
  check(sha256: string, size: number): BlockCheck | null | false;
  /** Writes chunks to a new temporary file, which is synced when this resolves, and removed where it throws. */
  write(chunks: AsyncIterable<Uint8Array>, beforeChunk: (bytes: number) => void): Promise<Hashed & { file: string }>;
  /** Moves a synced file to its place, and gives it its sums, in one tick. False where it is on another disk. */
  adopt(file: string, body: Hashed): boolean;
  /** Gives a held body its sums, where it has not these very ones, in one tick. */
  mendSums(body: Hashed): void;
  /** Makes what was adopted durable. */
  sync(sha256: string): Promise<void>;
  /** Takes a body away, in one tick; the bytes of a file are freed when this resolves. Open readers go on. */
  remove(sha256: string): Promise<void>;
  /**
   * Moves a body to `rotten/`, in one tick, where `file` is still the one that is held under its digest: it may
   * have been staged anew. True where it was.
   */
  setAside(sha256: string, file: Deno.FsFile, nowMs: number): boolean;
  /** As {@link setAside}, for what was read from a pack. */
  setPackedAside(sha256: string, packed: Packed, nowMs: number): boolean;
  /** The digests that begin like one of the {@link FOLDERS}, in order. Sums without a body are cleared. */
  inFolder(name: string): string[];
  /** The digests of all that are held. */
  all(): Iterable<string>;
}

/** Makes the folders below `folder`, and clears what a killed process left in `tmp/`. */
export async function openBodies(folder: string, options: { now: () => number; log: Logger }): Promise<Bodies> {
  const root = join(folder, "bodies");
  const tmp = join(folder, "tmp");
  const rotten = join(folder, "rotten");
  await Deno.remove(tmp, { recursive: true }).catch(ignoreMissing);
  await Deno.mkdir(tmp, { recursive: true });
  await Deno.mkdir(root, { recursive: true });
  /** The folders that there are: each is made with its first file. */
  const folders = new Set(Array.from(Deno.readDirSync(root), ({ name }) => name));
  /** Those of them whose name may not be durable yet. */
  const fresh = new Set<string>();
  const packs = await openPacks(folder, options);
  await syncFolder(root);
  await syncFolder(folder);
  let temps = 0;

  const folderOf = (sha256: string) => sha256.slice(0, 2);
  const path = (sha256: string) => join(root, folderOf(sha256), sha256);
  const sumsPath = (sha256: string) => `${path(sha256)}.sums`;
  const newTemp = () => join(tmp, `${++temps}`);

  /** Null where there are none, or none that can be relied on. */
  function readSums(sha256: string): BlockSums | null {
    return ifThere(() => BlockSums.decode(Deno.readFileSync(sumsPath(sha256))));
  }

  /**
   * In place and unsynced: nobody reads meanwhile, and what a kill or a power cut leaves of them is told by their own
   * CRC. The next scrub makes them anew, as where there was no room for them.
   */
  function writeSums({ sha256, sums }: Hashed): void {
    if (sums.size <= WITHOUT_SUMS_BYTES) return;
    try {
      Deno.writeFileSync(sumsPath(sha256), sums.encode());
    } catch (error) {
      if (!isFull(error)) throw error;
    }
  }

  function makeFolder(name: string): void {
    if (folders.has(name)) return;
    Deno.mkdirSync(join(root, name), { recursive: true });
    fresh.add(name);
    folders.add(name);
  }

  /** The names in a folder; none where there is no such folder. */
  function namesIn(name: string): Set<string> {
    return new Set(folders.has(name) ? Array.from(Deno.readDirSync(join(root, name)), ({ name }) => name) : []);
  }

  /** Gives something a name in `rotten/`, by `move`. */
  function keepRotten(sha256: string, nowMs: number, move: (to: string) => void): void {
    Deno.mkdirSync(rotten, { recursive: true });
    move(join(rotten, `${sha256}-${nowMs}`));
    const timeOf = (name: string) => Number(name.split("-")[1]);
    const names = Array.from(Deno.readDirSync(rotten), ({ name }) => name).sort((a, b) => timeOf(a) - timeOf(b));
    for (const name of names.slice(0, -KEPT_ROTTEN)) Deno.removeSync(join(rotten, name));
  }

  return {
    packs,

    size(sha256) {
      const packed = packs.size(sha256);
      if (packed !== null) return packed;
      // What is not there is asked for often, and throwing takes longer than asking.
      if (!isDigest(sha256) || !folders.has(folderOf(sha256)) || !existsSync(path(sha256))) return null;
      return Deno.statSync(path(sha256)).size;
    },

    open: (sha256) => Deno.openSync(path(sha256), { read: true }),

    check(sha256, size) {
      if (size <= WITHOUT_SUMS_BYTES) {
        const check = digestCheck(sha256);
        return size === 0 && !check(new Uint8Array(), 0) ? false : check;
      }
      const sums = readSums(sha256);
      if (!sums) return null;
      return sums.size === size && ((block, number) => sums.fits(block, number));
    },

    async write(chunks, beforeChunk) {
      const file = newTemp();
      try {
        return { file, ...await writeHashed(file, chunks, beforeChunk) };
      } catch (error) {
        await Deno.remove(file).catch(ignoreMissing);
        throw error;
      }
    },

    adopt(file, body) {
      makeFolder(folderOf(body.sha256));
      try {
        Deno.renameSync(file, path(body.sha256));
      } catch (error) {
        if ((error as { code?: string }).code === "EXDEV") return false;
        throw error;
      }
      writeSums(body);
      return true;
    },

    mendSums(body) {
      if (!readSums(body.sha256)?.equals(body.sums)) writeSums(body);
    },

    async sync(sha256) {
      const name = folderOf(sha256);
      if (fresh.has(name)) {
        await syncFolder(root);
        fresh.delete(name);
      }
      await syncFolder(join(root, name));
    },

    // deno-lint-ignore require-await -- so that what throws rejects
    async remove(sha256) {
      packs.remove(sha256);
      const temp = newTemp();
      try {
        Deno.renameSync(path(sha256), temp);
        removeQuietly(sumsPath(sha256));
      } catch (error) {
        return ignoreMissing(error);
      }
      return Deno.remove(temp);
    },

    setAside(sha256, file, nowMs) {
      try {
        const [mine, held] = [file.statSync(), Deno.statSync(path(sha256))];
        if (mine.ino !== held.ino || mine.dev !== held.dev) return false;
        keepRotten(sha256, nowMs, (to) => Deno.renameSync(path(sha256), to));
        removeQuietly(sumsPath(sha256));
        return true;
      } catch (error) {
        if (error instanceof Deno.errors.NotFound) return false;
        throw error;
      }
    },

    setPackedAside(sha256, { place, bytes }, nowMs) {
      if (!packs.remove(sha256, place)) return false;
      try {
        if (bytes) keepRotten(sha256, nowMs, (to) => Deno.writeFileSync(to, bytes));
      } catch (error) {
        if (!isFull(error)) throw error; // then it is not kept
      }
      return true;
    },

    inFolder(name) {
      const names = namesIn(name);
      for (const each of names) {
        const [sha256, ending] = each.split(".");
        if (ending === "sums" && !names.has(sha256!)) removeQuietly(join(root, name, each));
      }
      return [...new Set([...names].filter(isDigest).concat(packs.digests(name, `${name}g`)))].sort();
    },

    *all() {
      for (const name of FOLDERS) {
        for (const sha256 of namesIn(name)) if (isDigest(sha256)) yield sha256;
        yield* packs.digests(name, `${name}g`);
      }
    },

    [Symbol.asyncDispose]: () => packs[Symbol.asyncDispose](),
  };
}

/** True where the store in `folder`, which need not be open, has a body. */
export function holdsBodies(folder: string): boolean {
  return holdsPacks(folder) ||
    FOLDERS.some((name) =>
      ifThere(() => [...Deno.readDirSync(join(folder, "bodies", name))].some(({ name }) => isDigest(name)))
    );
}

/** Size, digest and sums of what `pieces` gives. */
export async function hashPieces(pieces: AsyncIterable<Uint8Array>): Promise<Hashed> {
  const hash = createHash("sha256");
  const sums = new BlockSums();
  for await (const piece of pieces) {
    hash.update(piece);
    sums.add(piece);
  }
  return { sha256: hash.digest("hex"), size: sums.size, sums };
}

/** The sums of a file whose digest is known: ten times as fast as hashing it. */
export async function sumFile(path: string): Promise<BlockSums> {
  const sums = new BlockSums();
  for await (const piece of readPieces(path)) sums.add(piece);
  return sums;
}

/** Each chunk is hashed here while the system writes it: two cores share the work, one chunk is in memory. */
async function writeHashed(
  path: string,
  chunks: AsyncIterable<Uint8Array>,
  beforeChunk: (bytes: number) => void,
): Promise<Hashed> {
  using file = await Deno.open(path, { write: true, createNew: true });
  const hash = createHash("sha256");
  const sums = new BlockSums();
  for await (const chunk of chunks) {
    beforeChunk(chunk.length);
    const written = writeAll(file, chunk);
    hash.update(chunk);
    sums.add(chunk);
    await written;
  }
  await file.sync();
  return { sha256: hash.digest("hex"), size: sums.size, sums };
}

function removeQuietly(path: string): void {
  ifThere(() => Deno.removeSync(path));
}
