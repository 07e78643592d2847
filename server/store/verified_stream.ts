/** A body from its file, each block checked before a byte of it goes out. */
import { CdnError } from "../../proto/mod.ts";
import { BLOCK_BYTES, type BlockCheck } from "./block_sums.ts";

/** What {@link verifiedStream} reads. */
export interface Reading {
  /** The file at its beginning; closed when the stream is at its end, cancelled or broken. */
  file: Deno.FsFile;
  /** The part that is asked for, not empty. */
  start: number;
  end: number;
  /** Of the file, in bytes. */
  size: number;
  /** Null where there is nothing to check by. */
  check: BlockCheck | null;
  /** The file is not what was staged. It is still open. */
  onRot: (reason: string) => void;
}

/**
 * The part of the file. Whole blocks are read, each into a buffer of its own, as the reader asks for them; what
 * goes out is a view of it.
 */
export function verifiedStream(
  { file, start, end, size, check, onRot }: Reading,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  let at = start - start % BLOCK_BYTES;
  return new ReadableStream({
    async pull(controller) {
      try {
        if (at > 0 && at <= start) file.seekSync(at, Deno.SeekMode.Start);
        const block = await readBlock(file, Math.min(BLOCK_BYTES, size - at)).catch((cause) => {
          if (!isUnreadable(cause)) throw cause;
          throw rotten("the disk cannot read it", onRot, cause);
        });
        if (!block) throw rotten("its file is too short", onRot);
        if (check && !check(block, at / BLOCK_BYTES)) throw rotten("its bytes are not those that were staged", onRot);
        controller.enqueue(block.subarray(Math.max(0, start - at), end - at));
        at += block.length;
        if (at < end) return;
        controller.close();
        file.close();
      } catch (error) {
        file.close();
        throw error;
      }
    },
    cancel: () => file.close(),
  }, { highWaterMark: 0 });
}

/** True where the disk cannot read (EIO). */
export function isUnreadable(error: unknown): boolean {
  return error instanceof Error && error.message.includes("(os error 5)");
}

/** The next `length` bytes; null where there are not as many. */
async function readBlock(file: Deno.FsFile, length: number): Promise<Uint8Array<ArrayBuffer> | null> {
  const block = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const count = await file.read(block.subarray(at));
    if (count === null) return null;
    at += count;
  }
  return block;
}

/** What a reader of a rotten body gets; `onRot` hears of it. */
export function rotten(reason: string, onRot: (reason: string) => void, cause?: unknown): CdnError {
  onRot(reason);
  return new CdnError(`Cannot read the body: ${reason}`, { source: "server", retry: true, cause });
}
