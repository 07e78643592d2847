/** Reading what a client sends: bounded in size, and in time between two reads. */
import { CdnError } from "../proto/mod.ts";

/** How long a sender may pause before its request is given up, in milliseconds. */
export const IDLE_TIMEOUT_MS = 30_000;

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
 * A body as chunks, given up with a 408 when the sender pauses for longer than `idleMs`, and with a 413
 * past `limit` bytes. A connection that breaks is a 400.
 */
export async function* readChunks(
  body: ReadableStream<Uint8Array> | null,
  { limit = Infinity, idleMs = IDLE_TIMEOUT_MS }: { limit?: number; idleMs?: number } = {},
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  if (!body) return;
  const reader = body.getReader();
  let total = 0;
  let finished = false;
  try {
    while (true) {
      const { value, done } = await readWithin(reader, idleMs);
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
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let total = 0;
  for await (const part of readChunks(source.body, { limit, idleMs })) {
    parts.push(part);
    total += part.byteLength;
  }
  if (parts.length === 1) return parts[0]!;
  const whole = new Uint8Array(total);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}

async function readWithin(reader: ReadableStreamDefaultReader<Uint8Array>, idleMs: number) {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() =>
      reject(
        new CdnError(`The sender paused for more than ${Math.round(idleMs / 1000)} s`, {
          source: "client",
          status: 408,
          retry: true,
          headers: { connection: "close" },
        }),
      ), idleMs);
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
