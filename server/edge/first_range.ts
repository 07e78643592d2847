/** Which part of a representation that nothing is known of is asked for first. Pure. */

/** Parts are asked for in whole blocks of so many bytes: a viewer's next range is then often here already. */
export const BLOCK_BYTES = 65_536;

/**
 * The Range to ask an origin for, where a viewer asks for `field`: the first part of it, in whole blocks; null where
 * the whole is asked for. A few bytes more than were asked for never matter; a thousand small requests do.
 */
export function firstRange(field: string): string | null {
  const match = /^bytes=\s*(?:,\s*)*(\d{0,15})-(\d{0,15})\s*(?:,.*)?$/i.exec(field.trim());
  if (!match) return null;
  const [first, last] = [match[1]!, match[2]!];
  if (first === "") return last === "" || Number(last) === 0 ? null : `bytes=-${Number(last)}`;
  const start = floor(Number(first));
  if (last === "") return `bytes=${start}-`;
  return Number(last) < Number(first) ? null : `bytes=${start}-${ceil(Number(last) + 1) - 1}`;
}

/** The beginning of the block that a place is in. */
export function floor(place: number): number {
  return place - place % BLOCK_BYTES;
}

/** The end of the block that ends at a place, or goes over it. */
export function ceil(place: number): number {
  return floor(place + BLOCK_BYTES - 1);
}
