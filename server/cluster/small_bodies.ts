/**
 * Many small bodies in one answer: where each of them takes a request, the requests cost more than the bytes.
 *
 * The question is a text: one digest a line. The answer has, for each digest in its order, four bytes (big-endian): the
 * body's length, and then the body; or all ones where it is not given, because it is not held, too long, or one too
 * many.
 */
import { CdnError, isDigest } from "../../proto/mod.ts";

/** A longer body is asked for by itself. */
export const SMALL_BYTES = 64 << 10;
/** The most digests in a question, and the most bytes of bodies in an answer. */
export const MOST_BODIES = 256;
export const MOST_BYTES = 1 << 20;

const NOT_GIVEN = 0xffffffff;

/** True where a question for so many bodies, of so many bytes in all, has no room for one of `next` bytes more. */
export function isFull(bodies: number, bytes: number, next: number): boolean {
  return bodies === MOST_BODIES || bytes + next > MOST_BYTES;
}

/** The text of a question. */
export function encodeDigests(digests: readonly string[]): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(digests.join("\n"));
}

/** @throws {CdnError} 400 for anything but a question. */
export function decodeDigests(question: Uint8Array): string[] {
  const digests = new TextDecoder().decode(question).split("\n");
  if (digests.length <= MOST_BODIES && digests.every(isDigest)) return digests;
  throw new CdnError(`The body must be 1 to ${MOST_BODIES} digests, each on a line`, { source: "client", status: 400 });
}

/** The bytes of an answer. */
export function encodeBodies(bodies: readonly (Uint8Array | null)[]): Uint8Array<ArrayBuffer> {
  const size = bodies.reduce((sum, body) => sum + 4 + (body?.length ?? 0), 0);
  const answer = new Uint8Array(size);
  const view = new DataView(answer.buffer);
  let at = 0;
  for (const body of bodies) {
    view.setUint32(at, body?.length ?? NOT_GIVEN);
    at += 4;
    if (!body) continue;
    answer.set(body, at);
    at += body.length;
  }
  return answer;
}

/**
 * The bodies of an answer, as views of it.
 * @param sizes what each must be long, where it is given
 * @throws {CdnError} source "peer" for anything but the answer to that question.
 */
export function decodeBodies(
  answer: Uint8Array<ArrayBuffer>,
  sizes: readonly number[],
): (Uint8Array<ArrayBuffer> | null)[] {
  const view = new DataView(answer.buffer, answer.byteOffset, answer.byteLength);
  const bodies: (Uint8Array<ArrayBuffer> | null)[] = [];
  let at = 0;
  for (const size of sizes) {
    const told = at + 4 <= answer.length ? view.getUint32(at) : -1;
    at += 4;
    if (told !== NOT_GIVEN && (told !== size || at + size > answer.length)) throw malformed();
    bodies.push(told === NOT_GIVEN ? null : answer.subarray(at, at + size));
    if (told !== NOT_GIVEN) at += size;
  }
  if (at !== answer.length) throw malformed();
  return bodies;
}

function malformed(): CdnError {
  return new CdnError("Cannot read the answer: it is not the bodies that were asked for", {
    source: "peer",
    status: 502,
  });
}
