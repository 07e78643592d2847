/** Every figure of purging: defaults and checks together. */
import type { Backoff } from "../cluster/settings.ts";

/** Times in milliseconds, sizes in bytes. */
export interface PurgeSettings {
  /** How long another server may take to answer, each time it is asked. */
  askMs: number;
  /** How long a purge is sent again and again to a server that does not acknowledge it. */
  deliverMs: number;
  /** Servers that are told, or asked, at once. */
  atOnce: number;
  /** Waits between two tries. */
  backoff: Backoff;
  /**
   * How long a server that was away serves nothing from its cache where nobody tells it what it missed. Then it serves
   * again, but takes for stale all that it stored before.
   */
  startMs: number;
  /** Once one server told us all that it knows: how long the others are waited for. */
  graceMs: number;
  /** How often our purges are compared with those of some other server. */
  reconcileMs: number;
  /** How long purges are kept. Who was away for longer empties its cache. */
  keepMs: number;
  /** The most that are kept. */
  mostPurges: number;
  /** The most bytes that they may have. */
  mostBytes: number;
}

/** What a server uses unless it is told otherwise. */
export const purgeDefaults: PurgeSettings = {
  askMs: 2_000,
  deliverMs: 10_000,
  atOnce: 32,
  backoff: { leastMs: 100, mostMs: 1_000 },
  startMs: 5_000,
  graceMs: 250,
  reconcileMs: 60_000,
  keepMs: 30 * 24 * 3_600_000,
  mostPurges: 100_000,
  mostBytes: 256 << 20,
};

/**
 * The defaults, with some replaced.
 * @throws {RangeError} for a figure that is not a positive number; times may be 0.
 */
export function purgeSettings(given: Partial<PurgeSettings> = {}): PurgeSettings {
  const settings = { ...purgeDefaults, ...given };
  for (const [name, value] of Object.entries(settings) as [string, number | Backoff][]) {
    const figures = typeof value === "number" ? [value] : [value.leastMs, value.mostMs];
    if (figures.some((figure) => !(figure >= 0) || (figure === 0 && !name.endsWith("Ms")))) {
      throw new RangeError(`${name} must be a positive number`);
    }
  }
  return settings;
}
