/** Reading what a client sends: bounded in size, and in time between two reads. */
import { CdnError } from "../proto/mod.ts";

/** How long a sender may pause before its request is given up, in milliseconds. */
export const IDLE_TIMEOUT_MS = 30_000;

/** What a sender must keep up on the whole, in bytes a second: one that drips a byte now and then holds us for ever. */
export const LEAST_RATE = 500;

/** A Content-Length as a number; null where the field is absent. */
export function contentLength(headers: Headers): number | null {
  const field = headers.get("content-length");
  if (field === null) return null;
  if (!/^\d{1,15}$/.test(field)) throw new CdnError("The Content-Length must be a whole number", { source: "client" });
  return Number(field);
}

/** A 413 that says the limit (RFC 9110 §15.5.14). */
export function tooLarge(limit: number): CdnError {
  return new CdnError(`The body must be at most ${limit} bytes long`, { source: "client", status: 413 });
}

/**
 * A body as chunks, given up with a 408 when the sender pauses for longer than `idleMs`, or when all our waiting for
 * it adds up to more than `idleMs` beyond what its bytes take at {@link LEAST_RATE}; and with a 413 past `limit`
 * bytes. A connection that breaks is a 400. The time that the reader of the chunks takes does not count.
 */
export async function* readChunks(
  body: ReadableStream<Uint8Array> | null,
  { limit = Infinity, idleMs = IDLE_TIMEOUT_MS, leastRate = LEAST_RATE }: {
    limit?: number;
    idleMs?: number;
    /** In bytes a second. */
    leastRate?: number;
  } = {},
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  if (!body) return;
  const reader = body.getReader();
  let total = 0;
  let waitedMs = 0;
  let finished = false;
  try {
    while (true) {
      const leftMs = idleMs + total / leastRate * 1000 - waitedMs;
      const from = performance.now();
      const { value, done } = await readWithin(reader, Math.min(idleMs, leftMs));
      waitedMs += performance.now() - from;
      if (done) {
        finished = true;
        return;
      }
      total += value.byteLength;
      if (total > limit) throw tooLarge(limit);
      yield value as Uint8Array<ArrayBuffer>;
    }
  } finally {
    if (!finished) reader.cancel().catch(() => {});
  }
}

/**
 * A whole small body.
 * @throws {CdnError} 413 past `limit` bytes, 408 when the sender pauses, 400 when it breaks off.
 */
export async function readAll(
  source: { headers: Headers; body: ReadableStream<Uint8Array> | null },
  { limit, idleMs = IDLE_TIMEOUT_MS }: { limit: number; idleMs?: number },
): Promise<Uint8Array<ArrayBuffer>> {
  const announced = contentLength(source.headers);
  if (announced !== null && announced > limit) {
    source.body?.cancel().catch(() => {});
    throw tooLarge(limit);
  }
  // Into one piece at once where its length is known: of a big message, no second copy is in memory.
  let whole = new Uint8Array(announced ?? 0);
  let total = 0;
  for await (const part of readChunks(source.body, { limit, idleMs })) {
    if (total + part.byteLength > whole.byteLength) {
      const larger = new Uint8Array(Math.min(limit, Math.max(total + part.byteLength, 2 * whole.byteLength)));
      larger.set(whole.subarray(0, total));
      whole = larger;
    }
    whole.set(part, total);
    total += part.byteLength;
  }
  return whole.subarray(0, total);
}

async function readWithin(reader: ReadableStreamDefaultReader<Uint8Array>, idleMs: number) {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() =>
      reject(
        new CdnError("The sender paused for too long, or sends too slowly", {
          source: "client",
          status: 408,
          retry: true,
          headers: { connection: "close" },
        }),
      ), Math.max(0, idleMs));
  });
  try {
    return await Promise.race([reader.read(), late]);
  } catch (cause) {
    if (cause instanceof CdnError) throw cause;
    throw new CdnError("The body broke off", { source: "client", cause, retry: true });
  } finally {
    clearTimeout(timer);
  }
}
