/**
 * Bodies on disk, each under its digest: `bodies/ab/abcdef…`. A file there is whole and durable: it was
 * written and synced under `tmp/`, and then renamed. So the folder itself says what is held, and no
 * table can disagree with it.
 */
import { createHash } from "node:crypto";
import { join } from "@std/path";
import { isDigest } from "../../proto/mod.ts";
import { ignoreMissing, syncFolder, writeAll } from "./files.ts";
import type { StagedBody } from "./store.ts";
import { readPieces } from "./stream.ts";

/** The two folders of a disk store. */
export interface Bodies {
  /** Where a body is, or would be. */
  path(sha256: string): string;
  /** Its size in bytes; null where it is not held. */
  size(sha256: string): number | null;
  /** Writes chunks to a new temporary file, which is synced when this resolves, and removed where it throws. */
  write(
    chunks: AsyncIterable<Uint8Array>,
    beforeChunk: (bytes: number) => void,
  ): Promise<StagedBody & { temp: string }>;
  /** Moves a synced file to its place, in one tick. False where it is on another disk. */
  adopt(file: string, sha256: string): boolean;
  /** Makes what {@link adopt} did durable. */
  sync(sha256: string): Promise<void>;
  /** Takes a body away, in one tick; its bytes are freed when this resolves. Open readers go on. */
  remove(sha256: string): Promise<void>;
  /** The digests of all that are held. */
  all(): AsyncGenerator<string>;
}

/** Makes the folders below `folder`, and clears what a killed process left in `tmp/`. */
export async function openBodies(folder: string): Promise<Bodies> {
  const root = join(folder, "bodies");
  const tmp = join(folder, "tmp");
  await Deno.remove(tmp, { recursive: true }).catch(ignoreMissing);
  await Deno.mkdir(tmp, { recursive: true });
  for (let at = 0; at < 256; at++) {
    Deno.mkdirSync(join(root, at.toString(16).padStart(2, "0")), { recursive: true });
  }
  await syncFolder(root);
  await syncFolder(folder);
  let temps = 0;

  const path = (sha256: string) => join(root, sha256.slice(0, 2), sha256);

  return {
    path,

    size(sha256) {
      try {
        return isDigest(sha256) ? Deno.statSync(path(sha256)).size : null;
      } catch (error) {
        if (error instanceof Deno.errors.NotFound) return null;
        throw error;
      }
    },

    async write(chunks, beforeChunk) {
      const temp = join(tmp, `${++temps}`);
      try {
        return { temp, ...await writeHashed(temp, chunks, beforeChunk) };
      } catch (error) {
        await Deno.remove(temp).catch(ignoreMissing);
        throw error;
      }
    },

    adopt(file, sha256) {
      try {
        Deno.renameSync(file, path(sha256));
        return true;
      } catch (error) {
        if ((error as { code?: string }).code === "EXDEV") return false;
        throw error;
      }
    },

    sync: (sha256) => syncFolder(join(root, sha256.slice(0, 2))),

    remove(sha256) {
      const temp = join(tmp, `${++temps}`);
      try {
        Deno.renameSync(path(sha256), temp);
      } catch (error) {
        return error instanceof Deno.errors.NotFound ? Promise.resolve() : Promise.reject(error);
      }
      return Deno.remove(temp);
    },

    async *all() {
      for (let at = 0; at < 256; at++) {
        for await (const { name } of Deno.readDir(join(root, at.toString(16).padStart(2, "0")))) {
          if (isDigest(name)) yield name;
        }
      }
    },
  };
}

/** Size and digest of a file. */
export async function hashFile(path: string): Promise<StagedBody> {
  const hash = createHash("sha256");
  let size = 0;
  for await (const piece of readPieces(path)) {
    hash.update(piece);
    size += piece.length;
  }
  return { sha256: hash.digest("hex"), size };
}

/** Each chunk is hashed here while the system writes it: two cores share the work, one chunk is in memory. */
async function writeHashed(
  path: string,
  chunks: AsyncIterable<Uint8Array>,
  beforeChunk: (bytes: number) => void,
): Promise<StagedBody> {
  using file = await Deno.open(path, { write: true, createNew: true });
  const hash = createHash("sha256");
  let size = 0;
  for await (const chunk of chunks) {
    beforeChunk(chunk.length);
    const written = writeAll(file, chunk);
    hash.update(chunk);
    await written;
    size += chunk.length;
  }
  await file.sync();
  return { sha256: hash.digest("hex"), size };
}
