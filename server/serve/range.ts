/**
 * Range requests (RFC 9110 §14): which parts of a representation a request asks for. Pure.
 *
 * A field that does not parse, or that asks for more parts than we care to send, is passed over, as
 * §14.2 lets a server do: the answer is then the whole. Parts that overlap or touch are sent as one (§15.3.7.2),
 * so that an answer is never longer than the object and the heads of its parts.
 */

/** From `start` up to but not including `end`. */
export interface ByteRange {
  start: number;
  end: number;
}

/** What a Range field asks for: parts in the order of the request, or that none of them exists (416). */
export type Selection = { kind: "whole" } | { kind: "parts"; parts: ByteRange[] } | { kind: "unsatisfiable" };

const whole: Selection = { kind: "whole" };

/** The parts of `size` bytes that a Range field asks for; `most` is the largest number of ranges it may have. */
export function selectRanges(field: string, size: number, { most = 16 }: { most?: number } = {}): Selection {
  const set = /^bytes=(.*)$/i.exec(field.trim());
  if (!set) return whole;
  // List syntax: empty elements count for nothing (§5.6.1.2), but are not for free either.
  const specs = set[1]!.split(",", 4 * most + 1);
  if (specs.length > 4 * most) return whole;
  const asked: ByteRange[] = [];
  let count = 0;
  for (const spec of specs) {
    const text = spec.trim();
    if (text === "") continue;
    if (++count > most) return whole;
    const match = /^(\d*)-(\d*)$/.exec(text);
    if (!match || text === "-") return whole;
    const [first, last] = [match[1]!, match[2]!];
    if (first === "") {
      const length = Math.min(Number(last), size);
      if (size === 0 && Number(last) > 0) return whole;
      if (length > 0) asked.push({ start: size - length, end: size });
      continue;
    }
    if (last !== "" && Number(last) < Number(first)) return whole;
    if (Number(first) >= size) continue;
    asked.push({ start: Number(first), end: last === "" ? size : Math.min(Number(last) + 1, size) });
  }
  if (count === 0) return whole;
  if (asked.length === 0) return { kind: "unsatisfiable" };
  return { kind: "parts", parts: coalesce(asked) };
}

/** Joins parts that overlap or touch; each keeps the place of its first appearance. */
function coalesce(ranges: ByteRange[]): ByteRange[] {
  if (ranges.length === 1) return ranges;
  const sorted = ranges.map((range, place) => ({ ...range, place })).sort((a, b) => a.start - b.start);
  const joined = [sorted[0]!];
  for (const next of sorted.slice(1)) {
    const last = joined.at(-1)!;
    if (next.start <= last.end) {
      last.end = Math.max(last.end, next.end);
      last.place = Math.min(last.place, next.place);
    } else joined.push(next);
  }
  return joined.sort((a, b) => a.place - b.place).map(({ start, end }) => ({ start, end }));
}

/** The Content-Range of a part (RFC 9110 §14.4). */
export function contentRange({ start, end }: ByteRange, size: number): string {
  return `bytes ${start}-${end - 1}/${size}`;
}
