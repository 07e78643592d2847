/** Every figure of the cluster's work: defaults and checks together. */

/** Times in milliseconds, sizes in bytes. */
export interface ClusterSettings {
  /** Between two exchanges of lists with one server; each wait is jittered by a quarter. */
  heartbeatMs: number;
  /** For the head of an answer to a list. */
  exchangeTimeoutMs: number;
  /** Waits after failures, "full jitter". */
  backoff: Backoff;
  /** Unsettled manifests that may be under way to one server. */
  window: number;
  /** Manifests that one server failed to take and that are offered again much later; they do not fill the window. */
  deferred: number;
  /** Manifests in one offer, and what they may come to in bytes. */
  batch: number;
  batchBytes: number;
  /** Offers under way to one server. */
  offersAtOnce: number;
  /** For the head of an answer to an offer, beyond `waitMs`. */
  offerTimeoutMs: number;
  /** When a body was still on its way: until its manifest is offered again. */
  againMs: number;
  /** When a server failed to take a manifest: until it is offered again. */
  failed: Backoff;
  /** What another server wrote is offered only after this time: its writer does so at once. */
  relayMs: number;
  /** How often the feed is looked at where nothing said that it changed. */
  scanMs: number;
  /** How long an offer waits for bodies before it answers that they are on their way. */
  waitMs: number;
  /** Manifests whose bodies may be waited for. */
  arrivals: number;
  /** Bodies pulled at once; those of at least `largeBytes` leave one place to the others. */
  pullsAtOnce: number;
  largeBytes: number;
  /** How long a body may pause. */
  pullIdleMs: number;
  /** Tries of a body that bring nothing new, before it is given up. */
  pullTries: number;
}

/** The wait after the n-th failure is random, below `leastMs` doubled n - 1 times, and below `mostMs`. */
export interface Backoff {
  leastMs: number;
  mostMs: number;
}

/** What a server uses unless it is told otherwise. */
export const clusterDefaults: ClusterSettings = {
  heartbeatMs: 5_000,
  exchangeTimeoutMs: 5_000,
  backoff: { leastMs: 250, mostMs: 30_000 },
  window: 64,
  deferred: 4_096,
  batch: 64,
  batchBytes: 512 << 10,
  offersAtOnce: 3,
  offerTimeoutMs: 15_000,
  againMs: 500,
  failed: { leastMs: 10_000, mostMs: 30 * 60_000 },
  relayMs: 2_000,
  scanMs: 10_000,
  waitMs: 2_000,
  arrivals: 1_000,
  pullsAtOnce: 4,
  largeBytes: 8 << 20,
  pullIdleMs: 10_000,
  pullTries: 3,
};

/**
 * The defaults, with some replaced.
 * @throws {RangeError} for a figure that is not a positive number.
 */
export function clusterSettings(given: Partial<ClusterSettings> = {}): ClusterSettings {
  const settings = { ...clusterDefaults, ...given };
  for (const [name, value] of Object.entries(settings)) {
    const figures: number[] = typeof value === "number" ? [value] : Object.values(value as Backoff);
    if (figures.some((figure) => !(figure >= 0) || (figure === 0 && !name.endsWith("Ms")))) {
      throw new RangeError(`${name} must be a positive number`);
    }
  }
  return settings;
}

/**
 * How long to wait after the n-th failure in a row (n from 1): "full jitter", which spreads those who
 * failed together (M. Brooker, "Exponential Backoff and Jitter", 2015).
 */
export function backoffMs(failures: number, { leastMs, mostMs }: Backoff, random: () => number): number {
  return random() * Math.min(mostMs, leastMs * 2 ** Math.min(Math.max(failures, 1) - 1, 30));
}
