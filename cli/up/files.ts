/** The files that `up` uploads: those given, or its own. */
import { basename, join } from "@std/path";
import { pathFault } from "../../proto/mod.ts";
import { UsageError } from "../../runtime/flags.ts";
import { samplePicture } from "./sample.ts";

/** A file, and the path that it gets. */
export interface Source {
  file: string;
  path: string;
}

const FILM_BYTES = 32 << 20;

/**
 * The files of a command line.
 * @throws {UsageError} for one that cannot be read, or two of one name.
 */
export async function sources(files: readonly string[]): Promise<Source[]> {
  const found: Source[] = [];
  for (const file of files) {
    const path = `/${basename(file)}`;
    let isFile: boolean;
    try {
      isFile = (await Deno.stat(file)).isFile;
    } catch (error) {
      throw new UsageError(`Cannot read ${file}: ${(error as Error).message}`);
    }
    if (!isFile) throw new UsageError(`${file} is not a file`);
    const fault = pathFault(path);
    if (fault) throw new UsageError(`${file}: its name as a path ${fault}`);
    if (found.some((other) => other.path === path)) throw new UsageError(`two files are named ${basename(file)}`);
    found.push({ file, path });
  }
  return found;
}

/**
 * Makes a picture, or something as large as a short film (noise: only its size counts), in the data folder. A
 * film that is there from the last time is taken again, so that the servers need not hold another.
 */
export async function ownFile(data: string, kind: "picture" | "film"): Promise<Source> {
  const name = kind === "picture" ? "evening.jpg" : "film.bin";
  const file = join(data, name);
  if (kind === "picture") await Deno.writeFile(file, await samplePicture());
  else if (await sizeOf(file) !== FILM_BYTES) {
    using out = await Deno.open(file, { write: true, create: true, truncate: true });
    const noise = new Uint8Array(64 << 10);
    for (let written = 0; written < FILM_BYTES;) {
      crypto.getRandomValues(noise);
      for (let at = 0; at < noise.length;) at += await out.write(noise.subarray(at));
      written += noise.length;
    }
  }
  return { file, path: `/${name}` };
}

async function sizeOf(file: string): Promise<number | null> {
  try {
    return (await Deno.stat(file)).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
