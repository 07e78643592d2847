/** Sets of bytes as ranges: sorted, apart from each other, `end` one past the last byte. */

/** One range; never empty. */
export interface Range {
  start: number;
  end: number;
}

/** The set with one more range in it; ranges that touch become one. */
export function addRange(ranges: readonly Range[], added: Range): Range[] {
  let { start, end } = added;
  const before: Range[] = [];
  const after: Range[] = [];
  for (const range of ranges) {
    if (range.end < start) before.push(range);
    else if (range.start > end) after.push(range);
    else {
      start = Math.min(start, range.start);
      end = Math.max(end, range.end);
    }
  }
  return [...before, { start, end }, ...after];
}

/** What the set lacks of the first `size` bytes. */
export function missingRanges(ranges: readonly Range[], size: number): Range[] {
  const missing: Range[] = [];
  let at = 0;
  for (const { start, end } of ranges) {
    if (start >= size) break;
    if (start > at) missing.push({ start: at, end: start });
    at = end;
  }
  if (at < size) missing.push({ start: at, end: size });
  return missing;
}

/** For people: `0-99, 200-299 and 3 more`; first and last bytes, as in HTTP (RFC 9110 §14.1.2). */
export function describeRanges(ranges: readonly Range[], most = 10): string {
  const words = ranges.slice(0, most).map(({ start, end }) => `${start}-${end - 1}`).join(", ");
  return ranges.length > most ? `${words} and ${ranges.length - most} more` : words;
}
