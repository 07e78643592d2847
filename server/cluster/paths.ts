/**
 * What a byte costs on its way between two servers, and which of several servers to fetch a body from.
 * Pure: what was measured is an argument.
 */

/** Where a server stands. */
export interface Place {
  provider: string;
  region: string;
}

/** Nano-dollars for a GB (10^9 bytes) that leaves a place; null where that is not known. */
export type Egress = (from: Place) => number | null;

/** Between two regions of one cloud: AWS's list price, the commonest (data of May 2026: $0.02 a GB). */
const BETWEEN_REGIONS = 20_000_000;
/** To the internet: the first tier of the large clouds ($0.09 a GB). */
const TO_THE_INTERNET = 90_000_000;

/** Knows no price beyond the usual ones. */
export const usualEgress: Egress = () => null;

/** Nano-dollars for a GB from one place to another. Within a region it is free. */
export function pathPrice(from: Place, to: Place, egress: Egress = usualEgress): number {
  if (from.provider !== to.provider) return egress(from) ?? TO_THE_INTERNET;
  return from.region === to.region ? 0 : BETWEEN_REGIONS;
}

/** A server that has a body, as seen from the one that wants it. */
export interface Source {
  id: string;
  place: Place;
  /** As measured; null where not. */
  rttMs: number | null;
  bytesPerMs: number | null;
  /** Bodies that are on their way from it to us now. */
  active: number;
}

/** Of a link that was never measured: a guess in the middle, so that it is tried. */
const UNKNOWN_RTT_MS = 50;
const UNKNOWN_BYTES_PER_MS = 10_000;
/** Two links are equal where neither would take more than twice the other's time, and this much more. */
const EQUAL_FACTOR = 2;
const EQUAL_MS = 50;

/**
 * Sources in the order in which to try them: the best link first; of those that are about as good, the cheapest; of
 * those that cost the same, the least busy.
 * @param size of the body, in bytes
 */
export function rankSources(
  sources: readonly Source[],
  { to, size, egress = usualEgress, random }: { to: Place; size: number; egress?: Egress; random: () => number },
): string[] {
  const rated = sources.map((source) => ({
    id: source.id,
    active: source.active,
    ms: (source.rttMs ?? UNKNOWN_RTT_MS) + size / (source.bytesPerMs ?? UNKNOWN_BYTES_PER_MS),
    price: pathPrice(source.place, to, egress),
    chance: random(),
  }));
  const best = Math.min(...rated.map(({ ms }) => ms));
  const isNear = (ms: number) => ms <= Math.max(best * EQUAL_FACTOR, best + EQUAL_MS);
  return rated.sort((a, b) =>
    Number(isNear(b.ms)) - Number(isNear(a.ms)) ||
    (isNear(a.ms) ? a.price - b.price || a.active - b.active || a.chance - b.chance : a.ms - b.ms)
  ).map(({ id }) => id);
}
