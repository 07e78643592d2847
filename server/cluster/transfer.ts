/** One try to bring what is missing of a body: a request that goes on where the beginning ends. */
import { CdnError } from "../../proto/mod.ts";
import { words } from "../../runtime/words.ts";
import type { IncomingBody, Network, Partials } from "./ports.ts";

/** How a try ended. */
export type TransferEnd =
  /** All bytes are there. */
  | { kind: "whole" }
  /** The connection broke or paused, or the server did not answer: what has come is kept. */
  | { kind: "broken"; reason: string }
  /** The server does not have the body. */
  | { kind: "missing"; reason: string }
  /** The server has something of another size under this digest. */
  | { kind: "false"; reason: string };

/** What a try works with. */
export interface TransferOptions {
  network: Network;
  partials: Partials;
  /** The base URL of a server that holds the body. */
  url: string;
  sha256: string;
  /** Of the body, in bytes: a hard limit on what is read. */
  size: number;
  /** Bytes of it that are here. */
  have: number;
  /** How long the body may pause. */
  idleMs: number;
  signal: AbortSignal;
  /** Bytes were written: how many there are now. */
  onBytes: (have: number) => void;
  /** What was there is thrown away, and the body begins anew. */
  onFresh: () => void;
}

/**
 * Appends to the beginning what it lacks of the body.
 * @throws {CdnError} 507 where it cannot be written for want of room; other errors of the disk as they are.
 */
export async function transfer(options: TransferOptions): Promise<TransferEnd> {
  const { network, partials, url, sha256, size, idleMs, signal } = options;
  let { have } = options;
  if (have > size) {
    await partials.discard(sha256);
    options.onFresh();
    have = 0;
  }
  if (have === size && size > 0) return { kind: "whole" };
  let incoming: IncomingBody;
  try {
    incoming = await network.openBody(url, { sha256, start: have, idleMs, signal });
  } catch (error) {
    const { status, retry } = error instanceof CdnError ? error : { status: 0, retry: true };
    if (status === 416) return { kind: "false", reason: `${url} has no byte ${have} of ${sha256}` };
    if (status === 502 && !retry) return { kind: "false", reason: `${words(error)} ${sha256}` }; // an answer that is none
    return { kind: status === 404 ? "missing" : "broken", reason: words(error) };
  }
  const chunks = incoming.chunks[Symbol.asyncIterator]();
  if (incoming.start === 0 && have > 0) options.onFresh();
  const fault = faultOf(incoming, have, size);
  if (fault) {
    await chunks.return?.(undefined).catch(() => {});
    return { kind: "false", reason: `${url} ${fault} for ${sha256}` };
  }
  return await append(chunks, incoming.start, options);
}

function faultOf({ start, size: told }: IncomingBody, have: number, size: number): string | null {
  if (start !== have && start !== 0) return `answered the range from ${have} with one from ${start}`;
  return told !== null && told !== size ? `announced ${told} bytes instead of ${size}` : null;
}

async function append(
  chunks: AsyncIterator<Uint8Array>,
  start: number,
  { partials, url, sha256, size, onBytes }: TransferOptions,
): Promise<TransferEnd> {
  await using out = await partials.append(sha256, { fresh: start === 0 }).catch(async (error) => {
    await chunks.return?.(undefined).catch(() => {});
    throw error;
  });
  let have = start;
  while (true) {
    let step: IteratorResult<Uint8Array>;
    try {
      step = await chunks.next();
    } catch (error) {
      return { kind: "broken", reason: `${url}: ${words(error)}` };
    }
    if (step.done) break;
    if (have + step.value.byteLength > size) {
      await chunks.return?.(undefined).catch(() => {});
      return { kind: "false", reason: `${url} sent more than the ${size} bytes of ${sha256}` };
    }
    try {
      await out.write(step.value);
    } catch (error) {
      await chunks.return?.(undefined).catch(() => {});
      throw error;
    }
    have += step.value.byteLength;
    onBytes(have);
  }
  return have === size ? { kind: "whole" } : { kind: "broken", reason: `${url} ended ${sha256} after ${have} bytes` };
}
