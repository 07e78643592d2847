/** Where a store keeps a body: a file of its own, or a part of a pack. */
import { decodeHex } from "@std/encoding/hex";

/** Bytes of a record before its body. */
const HEAD_BYTES = 44;

/** The file, where the body begins in it, and how many bytes it has. */
export interface BodyPlace {
  file: string;
  at: number;
  size: number;
}

/** Where the store in `folder` keeps a body; the newest place where a pack has several. Throws where it has none. */
export function placeOf(folder: string, sha256: string): BodyPlace {
  const own = `${folder}/bodies/${sha256.slice(0, 2)}/${sha256}`;
  const size = sizeOf(own);
  if (size !== null) return { file: own, at: 0, size };
  const digest = decodeHex(sha256);
  for (const file of packsOf(folder).reverse()) {
    const bytes = Deno.readFileSync(file);
    for (let at = bytes.length - HEAD_BYTES; at >= 0; at--) {
      if (bytes[at + 8] === digest[0] && digest.every((byte, index) => bytes[at + 8 + index] === byte)) {
        return { file, at: at + HEAD_BYTES, size: new DataView(bytes.buffer).getUint32(at + 4, true) };
      }
    }
  }
  throw new Error(`${sha256} is nowhere in ${folder}`);
}

/** The packs of a store, the oldest first. */
export function packsOf(folder: string): string[] {
  return Array.from(Deno.readDirSync(`${folder}/packs`), ({ name }) => parseInt(name))
    .sort((a, b) => a - b).map((number) => `${folder}/packs/${number}.pack`);
}

/** Turns over a bit. */
export function rot(path: string, at: number): void {
  using file = Deno.openSync(path, { read: true, write: true });
  const byte = new Uint8Array(1);
  file.seekSync(at, Deno.SeekMode.Start);
  file.readSync(byte);
  byte[0]! ^= 4;
  file.seekSync(at, Deno.SeekMode.Start);
  file.writeSync(byte);
}

function sizeOf(path: string): number | null {
  try {
    return Deno.statSync(path).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
