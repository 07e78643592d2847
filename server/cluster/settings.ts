/** Every figure of the cluster's work: defaults and checks together. */

/** Times in milliseconds, sizes in bytes. */
export interface ClusterSettings {
  /** Between two heartbeats of ours, each to one other server; each wait is jittered by a quarter. */
  pingMs: number;
  /** How long a heartbeat may stay unanswered; longer where the round trip is long. */
  pingTimeoutMs: number;
  /** Servers that are asked to try in our stead where one does not answer us. */
  indirect: number;
  /** A suspect is dead after this many periods, times log10 of the number of servers. */
  suspicionMult: number;
  /** Each piece of news is told this many times, times log10 of the number of servers. */
  retransmitMult: number;
  /** Pieces of news in one message. */
  newsPerMessage: number;
  /** Between two exchanges of whole lists with some server. */
  syncMs: number;
  /** How often dead servers are tried again. */
  deadRetryMs: number;
  /** For the head of an answer to a list, and to questions about content. */
  exchangeTimeoutMs: number;
  /** Waits after failures, "full jitter". */
  backoff: Backoff;

  /** The most servers that one hands new content to for free, and at a price: the width of the tree. */
  fanOut: number;
  /** A server that hands on what it got from another does so only while it is news. */
  hotMs: number;
  /** Manifests that wait to be offered to one server; what is beyond is left to repair. */
  queue: number;
  /** Manifests in one offer. */
  batch: number;
  /** What the manifests of one offer may come to. */
  batchBytes: number;
  /** Offers under way to one server. */
  offersAtOnce: number;
  /** For the head of an answer to an offer, beyond `waitMs`. */
  offerTimeoutMs: number;
  /** When a body was still on its way: until its manifest is offered again. */
  againMs: number;
  /** How often an offer that a server could not take is made again, before it is left to repair. */
  offerTries: number;
  /** When a body could not be had: until it is tried again. */
  failed: Backoff;
  /** How often what is wanted is looked at where nothing called. */
  scanMs: number;
  /** How long an offer waits for bodies before it answers that they are on their way. */
  waitMs: number;

  /** Bodies pulled at once. */
  pullsAtOnce: number;
  /** Of them: those of at least `largeBytes`. */
  largePullsAtOnce: number;
  /** Bodies fetched at once in the background; the others' places are for those that somebody waits for. */
  fillsAtOnce: number;
  /** What counts as a large body. */
  largeBytes: number;
  /** How long a body may pause. */
  pullIdleMs: number;
  /** Tries of a body that bring nothing new, before it is given up for now. */
  pullTries: number;
  /** Bytes a second that are fetched in the background; 0: as fast as it goes. */
  syncBytesPerSecond: number;

  /** Servers that hold a write on disk before it is acknowledged; 0: two once there ever was another, else one. */
  minCopies: number;
  /** How long a write waits for its copies. */
  copiesWaitMs: number;

  /** How long another server's content may differ before both are compared. */
  repairAfterMs: number;
  /** Comparisons at once. */
  repairsAtOnce: number;
  /** For the head of an answer in a comparison. */
  repairTimeoutMs: number;
  /** Waits after a comparison that failed. */
  repairBackoff: Backoff;
  /** How long a tombstone lives. */
  tombstoneMs: number;
  /** How long a server that was away for longer waits for one that was not, before it believes itself. */
  staleGraceMs: number;
}

/** The wait after the n-th failure is random, below `leastMs` doubled n - 1 times, and below `mostMs`. */
export interface Backoff {
  leastMs: number;
  mostMs: number;
}

/** What a server uses unless it is told otherwise. */
export const clusterDefaults: ClusterSettings = {
  pingMs: 1_000,
  pingTimeoutMs: 500,
  indirect: 3,
  suspicionMult: 4,
  retransmitMult: 4,
  newsPerMessage: 30,
  syncMs: 30_000,
  deadRetryMs: 30_000,
  exchangeTimeoutMs: 5_000,
  backoff: { leastMs: 250, mostMs: 30_000 },

  fanOut: 3,
  hotMs: 600_000,
  queue: 10_000,
  batch: 64,
  batchBytes: 512 << 10,
  offersAtOnce: 3,
  offerTimeoutMs: 15_000,
  againMs: 500,
  offerTries: 5,
  failed: { leastMs: 10_000, mostMs: 30 * 60_000 },
  scanMs: 10_000,
  waitMs: 2_000,

  pullsAtOnce: 32,
  largePullsAtOnce: 4,
  fillsAtOnce: 24,
  largeBytes: 8 << 20,
  pullIdleMs: 10_000,
  pullTries: 3,
  syncBytesPerSecond: 0,

  minCopies: 0,
  copiesWaitMs: 10_000,

  repairAfterMs: 3_000,
  repairsAtOnce: 1,
  repairTimeoutMs: 15_000,
  repairBackoff: { leastMs: 1_000, mostMs: 10 * 60_000 },
  tombstoneMs: 30 * 24 * 3_600_000,
  staleGraceMs: 10 * 60_000,
};

/** Figures that may be 0: "none", or "as fast as it goes". */
const MAY_BE_ZERO = new Set<keyof ClusterSettings>(["syncBytesPerSecond", "minCopies", "indirect"]);

/**
 * The defaults, with some replaced.
 * @throws {RangeError} for a figure that is not a positive number.
 */
export function clusterSettings(given: Partial<ClusterSettings> = {}): ClusterSettings {
  const settings = { ...clusterDefaults, ...given };
  for (const [name, value] of Object.entries(settings) as [keyof ClusterSettings, number | Backoff][]) {
    const figures = typeof value === "number" ? [value] : [value.leastMs, value.mostMs];
    const mayBeZero = name.endsWith("Ms") || MAY_BE_ZERO.has(name) || typeof value !== "number";
    if (figures.some((figure) => !(figure >= 0) || (figure === 0 && !mayBeZero))) {
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
