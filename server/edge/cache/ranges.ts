/** Parts of a body as ranges: in order, apart from each other, never touching. Pure. */
import { addRange, missingRanges } from "../../upload/ranges.ts";
import type { ByteRange } from "../../serve/range.ts";

export { addRange };

/** The ranges without a part. */
export function cutRange(ranges: readonly ByteRange[], { start, end }: ByteRange): ByteRange[] {
  const left: ByteRange[] = [];
  for (const range of ranges) {
    if (range.start < Math.min(range.end, start)) left.push({ start: range.start, end: Math.min(range.end, start) });
    if (range.end > Math.max(range.start, end)) left.push({ start: Math.max(range.start, end), end: range.end });
  }
  return left;
}

/** How far the bytes from `offset` on are held without a gap; `offset` where that one is not. */
export function heldUntil(ranges: readonly ByteRange[], offset: number): number {
  for (const { start, end } of ranges) {
    if (start > offset) break;
    if (end > offset) return end;
  }
  return offset;
}

/** What the ranges lack of `part`. */
export function gapsIn(ranges: readonly ByteRange[], part: ByteRange): ByteRange[] {
  return missingRanges(ranges, part.end).filter(({ end }) => end > part.start)
    .map(({ start, end }) => ({ start: Math.max(start, part.start), end }));
}

/** True where all of a body of `length` bytes is there. */
export function isWhole(ranges: readonly ByteRange[], length: number | null): boolean {
  if (length === null) return false;
  return length === 0 || (ranges.length === 1 && ranges[0]!.start === 0 && ranges[0]!.end >= length);
}

/** True for what {@link addRange} could have made: what was stored is not believed unseen. */
export function areRanges(value: unknown): value is ByteRange[] {
  let last = -1;
  return Array.isArray(value) && value.every((range) => {
    const { start, end } = (range ?? {}) as Partial<ByteRange>;
    const good = Number.isSafeInteger(start) && Number.isSafeInteger(end) && start! > last && start! < end!;
    last = end!;
    return good;
  });
}
