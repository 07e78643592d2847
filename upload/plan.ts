/** Which pieces of an object are still to be sent. Pure. */

/** A part of an object: from `start` up to but not including `end`, in bytes. */
export interface Piece {
  start: number;
  end: number;
}

/**
 * The pieces that `received` leaves over, each at most `chunkSize` long, in order. `received` may be in any
 * order, overlap, and reach beyond the object: what a server says is not relied on.
 */
export function* missing(size: number, chunkSize: number, received: readonly Piece[]): Generator<Piece> {
  if (!(chunkSize >= 1)) throw new RangeError(`chunkSize must be at least 1, not ${chunkSize}`);
  let at = 0;
  for (const { start, end } of [...received].sort((a, b) => a.start - b.start)) {
    yield* cut(at, Math.min(start, size), chunkSize);
    at = Math.max(at, end);
  }
  yield* cut(at, size, chunkSize);
}

/** How many bytes of an object of `size` bytes the pieces cover. */
export function covered(size: number, received: readonly Piece[]): number {
  let left = 0;
  for (const { start, end } of missing(size, Infinity, received)) left += end - start;
  return size - left;
}

function* cut(from: number, to: number, chunkSize: number): Generator<Piece> {
  for (let start = from; start < to; start += chunkSize) yield { start, end: Math.min(start + chunkSize, to) };
}
