/** What can be set about asking origins; times in milliseconds. */

/** Each has a default. */
export interface OriginSettings {
  /** For name, TCP and TLS together. */
  connectTimeoutMs: number;
  /** From the end of a request to the head of its answer. */
  headTimeoutMs: number;
  /** How long an origin may pause while a body goes either way. */
  idleTimeoutMs: number;
  /** The most requests at a time to one origin. */
  maxActive: number;
  /** The most that wait for one origin. */
  maxWaiting: number;
  /** How long each may wait in all. */
  maxWaitMs: number;
  /** The most origins that one request is sent to. */
  maxAttempts: number;
  /** So many failures in a row take an origin out. */
  failuresInARow: number;
  /** How long it is out before it is probed: the first time, and doubled with each further time. */
  firstOutMs: number;
  /** The longest that it is out before it is probed. */
  mostOutMs: number;
  /** What a probe asks for, by GET. */
  probeTarget: string;
  /** How long the head of its answer may take. */
  probeTimeoutMs: number;
  /** The most requests at a time that are sent to an origin while it is out, because all are. */
  maxTrials: number;
}

/** The defaults. */
export const ORIGIN_DEFAULTS: Readonly<OriginSettings> = Object.freeze({
  connectTimeoutMs: 5_000,
  headTimeoutMs: 30_000,
  idleTimeoutMs: 30_000,
  maxActive: 256,
  maxWaiting: 1024,
  maxWaitMs: 5_000,
  maxAttempts: 3,
  failuresInARow: 3,
  firstOutMs: 1_000,
  mostOutMs: 30_000,
  probeTarget: "/",
  probeTimeoutMs: 5_000,
  maxTrials: 16,
});

/** What may be 0. */
const MAY_BE_NONE: ReadonlySet<string> = new Set(["maxWaiting", "maxWaitMs"]);

/**
 * The settings with their defaults.
 * @throws {RangeError} for one that makes no sense
 */
export function originSettings(given: Partial<OriginSettings> = {}): Readonly<OriginSettings> {
  const settings = { ...ORIGIN_DEFAULTS, ...given };
  for (const [name, value] of Object.entries(settings)) {
    if (typeof value !== "number") continue;
    const least = MAY_BE_NONE.has(name) ? 0 : 1;
    if (!Number.isSafeInteger(value) || value < least) {
      throw new RangeError(`${name} must be a whole number from ${least}, and ${value} is not`);
    }
  }
  if (settings.mostOutMs < settings.firstOutMs) throw new RangeError("mostOutMs must not be less than firstOutMs");
  if (!/^\/[\x21-\x7e]*$/.test(settings.probeTarget)) {
    throw new RangeError('probeTarget must be a path that starts with "/", without spaces');
  }
  return Object.freeze(settings);
}
