/** How much the upload sessions of one server take. */

/** Sizes in bytes, times in milliseconds. */
export interface UploadLimits {
  /** The largest chunk. */
  chunkSize: number;
  /** The largest object. */
  maxObjectSize: number;
  /** Most sessions under way. */
  maxSessions: number;
  /** Most bytes that the sessions under way may come to, together. */
  maxTotalSize: number;
  /** Most pieces with gaps between them that a session may consist of. */
  maxRanges: number;
  /** Most bytes of chunks in memory, all sessions together; further chunks wait. */
  bufferSize: number;
  /** Chunks are refused where they would leave less than this free on the disk; see the store's. */
  minFreeBytes: number;
  /** After this long without a chunk a session is forgotten, and its bytes with it. */
  idleMs: number;
  /** How long a committed session is remembered, for clients that did not hear the answer. */
  rememberMs: number;
}

/** Sane for a small server. */
export const defaultUploadLimits: UploadLimits = {
  chunkSize: 2 ** 20,
  maxObjectSize: 2 ** 40,
  maxSessions: 1000,
  maxTotalSize: 2 ** 42,
  maxRanges: 1000,
  bufferSize: 64 * 2 ** 20,
  minFreeBytes: 64 * 2 ** 20,
  idleMs: 24 * 3_600_000,
  rememberMs: 3_600_000,
};

/** @throws {RangeError} for a setting that cannot work. */
export function checkUploadLimits(limits: UploadLimits): UploadLimits {
  for (const [name, value] of Object.entries(limits)) {
    const least = name === "minFreeBytes" ? 0 : 1;
    if (!(Number.isInteger(value) && value >= least)) {
      throw new RangeError(`${name} must be a whole number from ${least}`);
    }
  }
  // It is a uint32 on the wire, and one buffer in memory.
  if (limits.chunkSize > 2 ** 30) throw new RangeError("chunkSize must be at most 1 GiB");
  return limits;
}
