/** What is uploaded: a file, or bytes in memory, that can be read at any place; or a stream, that cannot. */
import { createHash } from "node:crypto";
import { CdnError } from "../proto/mod.ts";

/** What {@link upload} takes. */
export type UploadSource = { file: string } | Uint8Array | ReadableStream<Uint8Array>;

/** A source of known size that can be read at any place, again and again. */
export interface Content extends AsyncDisposable {
  readonly size: number;
  /** Milliseconds since 1970; 0 where unknown. */
  readonly modifiedMs: number;
  /**
   * Fills `buffer` from `start` on and hands it back; throws a `CdnError` where the bytes are no longer there.
   * Buffers are the caller's, to be used again: new ones would pile up faster than they are collected.
   */
  read(buffer: Uint8Array<ArrayBuffer>, start: number): Promise<Uint8Array<ArrayBuffer>>;
  /** @throws {CdnError} where it is not what it was when it was opened. */
  requireUnchanged(): Promise<void>;
}

/** Bytes read at once while hashing. */
const HASH_BLOCK = 1 << 20;

/** Opens a file, or wraps bytes. */
export async function openContent(source: { file: string } | Uint8Array): Promise<Content> {
  if (source instanceof Uint8Array) return bytesContent(source);
  let file: Deno.FsFile;
  let opened: Deno.FileInfo;
  try {
    file = await Deno.open(source.file, { read: true });
  } catch (cause) {
    throw new CdnError(`Cannot read ${source.file}: ${why(cause)}`, { source: "client", cause });
  }
  try {
    opened = await file.stat();
    if (!opened.isFile) throw new CdnError(`Cannot read ${source.file}: it is not a file`, { source: "client" });
  } catch (error) {
    file.close();
    throw error;
  }
  return new FileContent(source.file, file, opened);
}

/** The SHA-256 of all of a content, as hexadecimal; `onBytes` is told how far it has come. */
export async function hashContent(
  content: Content,
  { onBytes = () => {}, signal }: { onBytes?: (bytes: number) => void; signal?: AbortSignal | undefined } = {},
): Promise<string> {
  const hash = createHash("sha256");
  const block = new Uint8Array(Math.min(HASH_BLOCK, content.size));
  for (let at = 0; at < content.size;) {
    signal?.throwIfAborted();
    const bytes = await content.read(block.subarray(0, content.size - at), at);
    hash.update(bytes);
    onBytes(at += bytes.length);
  }
  return hash.digest("hex");
}

/** A file by one open descriptor: a file that is renamed or replaced meanwhile stays the one that was opened. */
class FileContent implements Content {
  readonly size: number;
  readonly modifiedMs: number;
  readonly #path: string;
  readonly #file: Deno.FsFile;
  /** Seeking and reading are two steps: one reader at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(path: string, file: Deno.FsFile, opened: Deno.FileInfo) {
    this.#path = path;
    this.#file = file;
    this.size = opened.size;
    this.modifiedMs = Math.max(0, opened.mtime?.getTime() ?? 0);
  }

  read(bytes: Uint8Array<ArrayBuffer>, start: number): Promise<Uint8Array<ArrayBuffer>> {
    const reading = this.#turn.then(async () => {
      await this.#file.seek(start, Deno.SeekMode.Start);
      for (let filled = 0; filled < bytes.length;) {
        const count = await this.#file.read(bytes.subarray(filled));
        if (count === null) throw this.#changed();
        filled += count;
      }
      return bytes;
    });
    this.#turn = reading.catch(() => {});
    return reading;
  }

  async requireUnchanged(): Promise<void> {
    const now = await this.#file.stat();
    if (now.size !== this.size || Math.max(0, now.mtime?.getTime() ?? 0) !== this.modifiedMs) throw this.#changed();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#turn;
    this.#file.close();
  }

  #changed(): CdnError {
    return new CdnError(`Cannot send ${this.#path}: it changed while it was being sent`, { source: "client" });
  }
}

function bytesContent(bytes: Uint8Array): Content {
  return {
    size: bytes.length,
    modifiedMs: 0,
    read(buffer, start) {
      buffer.set(bytes.subarray(start, start + buffer.length));
      return Promise.resolve(buffer);
    },
    requireUnchanged: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** The stream's bytes in chunks of exactly `chunkSize`, the last one shorter; each may be kept. */
export async function* rechunk(
  stream: ReadableStream<Uint8Array>,
  chunkSize: number,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let chunk = new Uint8Array(chunkSize);
  let filled = 0;
  for await (let part of stream) {
    while (part.length > 0) {
      const count = Math.min(part.length, chunkSize - filled);
      chunk.set(part.subarray(0, count), filled);
      part = part.subarray(count);
      filled += count;
      if (filled < chunkSize) continue;
      yield chunk;
      chunk = new Uint8Array(chunkSize);
      filled = 0;
    }
  }
  if (filled > 0) yield chunk.subarray(0, filled);
}

/** A file error in a few words. */
export function why(cause: unknown): string {
  if (cause instanceof Deno.errors.NotFound) return "there is no such file";
  if (cause instanceof Deno.errors.PermissionDenied || cause instanceof Deno.errors.NotCapable) return "not permitted";
  return cause instanceof Error ? cause.message : String(cause);
}
