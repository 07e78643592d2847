/** Sources of bodies as chunks, and checks that every store makes. */
import { Buffer } from "node:buffer";
import { badRequest, CdnError, type Manifest } from "../../proto/mod.ts";
import type { StagedBody } from "./store.ts";

/** Bytes of one read from a file. */
const READ_BYTES = 256 * 1024;

/** The file's bytes in pieces; each piece is valid until the next one is asked for. */
export async function* readPieces(path: string): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  using file = await Deno.open(path, { read: true });
  yield* piecesOf(file);
}

/** As {@link readPieces}, of an open file from where it stands. */
export async function* piecesOf(file: Deno.FsFile): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const buffer = new Uint8Array(READ_BYTES);
  for (let count = await file.read(buffer); count !== null; count = await file.read(buffer)) {
    yield buffer.subarray(0, count);
  }
}

/** All bytes of what gives no more than `most`; else all its chunks, from the first one on. */
export async function upTo(
  most: number,
  chunks: AsyncIterable<Uint8Array>,
): Promise<Uint8Array<ArrayBuffer> | AsyncIterable<Uint8Array>> {
  const iterator = chunks[Symbol.asyncIterator]();
  const begin: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  for (let next; !(next = await iterator.next()).done;) {
    const chunk = next.value;
    if (size + chunk.length > most) return goOn(begin, chunk, iterator);
    begin.push(chunk.slice()); // it is valid until the next one is asked for
    size += chunk.length;
  }
  return begin.length === 1 ? begin[0]! : new Uint8Array(Buffer.concat(begin));
}

async function* goOn(
  begin: Uint8Array[],
  chunk: Uint8Array,
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    yield* begin;
    yield chunk;
    yield* { [Symbol.asyncIterator]: () => rest };
  } finally {
    await rest.return?.();
  }
}

/** @throws {CdnError} 400 where `body` is not what was expected. */
export function requireExpected(body: StagedBody, expected: Partial<StagedBody>): void {
  if (expected.size !== undefined && body.size !== expected.size) {
    throw badRequest(`The body must be ${expected.size} bytes long, but has ${body.size}`);
  }
  if (expected.sha256 !== undefined && body.sha256 !== expected.sha256) {
    throw badRequest(`The body must have the digest ${expected.sha256}, but has ${body.sha256}`);
  }
}

/** @throws {RangeError} for a part that is not inside a body of `size` bytes. An empty part at its end is inside. */
export function requireInside(size: number, { start, end }: { start: number; end: number }): void {
  if (!Number.isInteger(start) || !Number.isInteger(end) || start < 0 || end < start || end > size) {
    throw new RangeError(`The part from ${start} to ${end} is not inside a body of ${size} bytes`);
  }
}

/** @throws {CdnError} 409 where the manifest's body is not held (`size` null), 400 where it is of another size. */
export function requireBody(manifest: Manifest, size: number | null): void {
  if (size === null) {
    throw new CdnError(`Cannot put ${manifest.path}: its body ${manifest.sha256} is not held`, {
      source: "client",
      status: 409,
      retry: true,
    });
  }
  if (size !== manifest.size) {
    throw badRequest(`Cannot put ${manifest.path}: its body has ${size} bytes, not ${manifest.size}`);
  }
}
