/** One chunk as it comes in: whole and checked, or not at all. */
import { createHash } from "node:crypto";
import { badRequest } from "../../proto/mod.ts";

/**
 * Reads a chunk into `buffer`, which is as long as the largest one that is taken.
 * @returns the part of `buffer` that it fills
 * @throws {CdnError} 413 where it is longer than the buffer, 400 where it is empty, of another length
 * than it said, or where its digest is wrong; what `data` throws is passed on.
 */
export async function readChunk(
  data: AsyncIterable<Uint8Array>,
  { sha256, size }: { sha256: string; size: number | null },
  buffer: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  requireChunkSize(size, buffer.length);
  const hash = createHash("sha256");
  let length = 0;
  for await (const piece of data) {
    if (size !== null && length + piece.length > size) {
      throw badRequest(`The chunk must be ${size} bytes long as it said, but is longer`);
    }
    requireChunkSize(length + piece.length, buffer.length);
    buffer.set(piece, length);
    hash.update(piece);
    length += piece.length;
  }
  if (size !== null && length !== size) {
    throw badRequest(`The chunk must be ${size} bytes long as it said, but ended after ${length}`, { retry: true });
  }
  if (length === 0) throw badRequest("The chunk must have at least one byte");
  const found = hash.digest("hex");
  if (found !== sha256) {
    throw badRequest(`The chunk must have the digest ${sha256} as it said, but has ${found}`, { retry: true });
  }
  return buffer.subarray(0, length);
}

/** @throws {CdnError} 413 where a chunk is larger than is taken. */
export function requireChunkSize(size: number | null, limit: number): void {
  if (size !== null && size > limit) throw badRequest(`A chunk must be at most ${limit} bytes long`, { status: 413 });
}
