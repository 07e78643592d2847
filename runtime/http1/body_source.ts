/**
 * A body that is pulled into memory that its reader owns. One buffer, filled again and again, carries a body of
 * any length; a stream would have to give away new memory with each part, which costs more than all else.
 */

/** A body as it comes. One call at a time; after an error every further read fails too. */
export interface BodySource {
  /** True once its last byte was read. */
  readonly done: boolean;
  /** How many bytes are here already: {@link take} gives them without waiting. */
  readonly held: number;
  /** True where more than {@link held} has come as far as one can tell, so that a read will not wait. */
  readonly ready: boolean;
  /** Copies what is here already into `into`; returns how many bytes, 0 where there are none. Never throws. */
  take(into: Uint8Array<ArrayBuffer>): number;
  /**
   * Reads into `into`, at least one byte; null at the end.
   * @throws {UpstreamError} where the body breaks off
   */
  read(into: Uint8Array<ArrayBuffer>): Promise<number | null>;
  /** Gives the rest up. */
  cancel(): void;
}

/** What a part of a stream is read by. */
const READ_BYTES = 65_536;
/** Less room than this is not worth a read. */
const LEAST_READ = 8192;

/** The same body as `new Response` takes it: an array where all of it is here already, else a stream. */
export function bodyInit(
  source: BodySource | null,
): Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array<ArrayBuffer>> | null {
  if (source === null) return null;
  let first: Uint8Array<ArrayBuffer> | null = new Uint8Array(source.held);
  source.take(first);
  if (source.done) return first;
  if (first.length === 0) first = null;
  // Whoever gets a part keeps it. What one read leaves free, the next fills.
  let free = new Uint8Array(0);
  // A stream that reads only when asked: what is not yet wanted stays in the sockets.
  return new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      if (first) {
        controller.enqueue(first);
        first = null;
        return;
      }
      if (free.length < LEAST_READ) free = new Uint8Array(READ_BYTES);
      const count = await source.read(free);
      if (count !== null) {
        controller.enqueue(free.subarray(0, count));
        free = free.subarray(count);
      }
      if (count === null || source.done) controller.close();
    },
    cancel() {
      source.cancel();
    },
  }, { highWaterMark: 0 });
}
