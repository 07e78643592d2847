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

/** Bytes that are here as a source. */
export function bytesSource(bytes: Uint8Array): BodySource {
  const source = {
    done: bytes.length === 0,
    get held() {
      return source.done ? 0 : bytes.length;
    },
    ready: false,
    take(into: Uint8Array) {
      if (source.done) return 0;
      const count = Math.min(bytes.length, into.length);
      into.set(bytes.subarray(0, count));
      bytes = bytes.subarray(count);
      source.done = bytes.length === 0;
      return count;
    },
    // deno-lint-ignore require-await -- as the others are
    async read(into: Uint8Array) {
      return source.done ? null : source.take(into);
    },
    cancel() {
      source.done = true;
    },
  };
  return source;
}

/** A stream as a source: what one reader of it gets, copied. */
export function streamSource(stream: ReadableStream<Uint8Array>): BodySource {
  const reader = stream.getReader();
  let part = new Uint8Array();
  let done = false;
  const take = (into: Uint8Array) => {
    const count = Math.min(part.length, into.length);
    into.set(part.subarray(0, count));
    part = part.subarray(count);
    return count;
  };
  return {
    get done() {
      return done;
    },
    get held() {
      return part.length;
    },
    ready: false,
    take,
    async read(into) {
      while (part.length === 0) {
        const next = await reader.read();
        if (next.done) {
          done = true;
          return null;
        }
        part = next.value as Uint8Array<ArrayBuffer>;
      }
      return take(into);
    },
    cancel() {
      done = true;
      reader.cancel().catch(() => {});
    },
  };
}
