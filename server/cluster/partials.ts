/** Beginnings of bodies, in files named by the digest; on the store's own disk, so that a whole body need only be moved. */
import { join } from "@std/path";
import { isDigest } from "../../proto/mod.ts";
import { ignoreMissing, writeAll } from "../../runtime/files.ts";
import { requireRoom, withRoom } from "../store/room.ts";
import type { BodySource } from "../store/store.ts";
import type { Partials, PartialWriter } from "./ports.ts";

/** Where and how beginnings are kept. */
export interface PartialsOptions {
  folder: string;
  /** Milliseconds since 1970, for the age of what an earlier run left. */
  nowMs: number;
  /** Written only while so much stays free, as far as we may ask (`--allow-sys=statfs`). */
  minFreeBytes?: number;
}

/** Beginnings that nobody went on with for so long are thrown away at the start. */
const STALE_MS = 3 * 24 * 3_600_000;
/** How often free room is looked at, in bytes written. */
const ROOM_CHECK_BYTES = 16 << 20;
const PIECE_BYTES = 64 << 10;

/** Makes the folder, and throws away beginnings that nobody went on with. */
export async function openPartials(
  { folder, nowMs, minFreeBytes = 64 << 20 }: PartialsOptions,
): Promise<Partials> {
  await withRoom(`open ${folder}`, () => Deno.mkdir(folder, { recursive: true }));
  for await (const { name } of Deno.readDir(folder)) {
    const file = join(folder, name);
    const { mtime } = await Deno.stat(file);
    if (nowMs - (mtime?.getTime() ?? 0) > STALE_MS) await Deno.remove(file);
  }
  const fileOf = (sha256: string) => {
    if (!isDigest(sha256)) throw new RangeError(`"${sha256}" is no digest`);
    return join(folder, sha256);
  };

  return {
    async size(sha256) {
      try {
        return (await Deno.stat(fileOf(sha256))).size;
      } catch (error) {
        ignoreMissing(error);
        return 0;
      }
    },

    append: (sha256, { fresh }) =>
      withRoom("take the body", async () => {
        const file = fileOf(sha256);
        const requireFree = () => requireRoom("take the body", folder, 0, minFreeBytes);
        requireFree();
        const options = { write: true, create: true, truncate: fresh, append: !fresh };
        return new FileWriter(await Deno.open(file, options), requireFree);
      }),

    read: (sha256, start) => readFrom(fileOf(sha256), start),
    source: (sha256): BodySource => ({ file: fileOf(sha256) }),
    discard: (sha256) => Deno.remove(fileOf(sha256)).catch(ignoreMissing),
  };
}

class FileWriter implements PartialWriter {
  #unchecked = 0;

  constructor(readonly file: Deno.FsFile, readonly requireFree: () => void) {}

  write(chunk: Uint8Array): Promise<void> {
    return withRoom("take the body", async () => {
      this.#unchecked += chunk.length;
      if (this.#unchecked >= ROOM_CHECK_BYTES) {
        this.#unchecked = 0;
        this.requireFree();
      }
      await writeAll(this.file, chunk);
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.file.close();
    return Promise.resolve();
  }
}

/** To the end that the file has when it is reached; nothing where there is no file. */
async function* readFrom(path: string, start: number): AsyncGenerator<Uint8Array> {
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path);
  } catch (error) {
    return ignoreMissing(error);
  }
  using _open = file;
  await file.seek(start, Deno.SeekMode.Start);
  const buffer = new Uint8Array(PIECE_BYTES);
  for (let count; (count = await file.read(buffer)) !== null;) yield buffer.subarray(0, count);
}
