/** The edge's cache: {@link openCache} on disk and in memory, {@link createMemoryCache} in memory alone. */
import { type Logger, silentLogger } from "../../../runtime/log.ts";
import type { Cache } from "./cache.ts";
import { SLICE_BYTES } from "./slice_buffer.ts";
import { TieredCache } from "./tiered_cache.ts";

export type { Cache, CacheFigures, Entry, Selection } from "./cache.ts";
export { SLICE_BYTES } from "./slice_buffer.ts";

/** The least that a cache can work with, in bytes. */
export const LEAST_MEMORY_BYTES = 4 << 20;

/** Settings of a cache in memory. */
export interface MemoryCacheOptions {
  /** For bodies, and what they need beside: at least {@link LEAST_MEMORY_BYTES}. */
  memoryBytes: number;
  /** The largest body that is one piece of memory: at most a slice. */
  largestInMemory?: number;
}

/** Settings of a cache on disk. */
export interface CacheOptions extends MemoryCacheOptions {
  /** Where it is; made where it is missing. One process at a time. */
  folder: string;
  /** What it may take there. */
  diskBytes: number;
  /** Milliseconds since 1970. */
  now?: () => number;
  /** Hears of damage, and of disks that fail. */
  log?: Logger;
  /** So much stays free on the disk for others. Needs `--allow-sys=statfs`. */
  minFreeBytes?: number;
}

/**
 * Opens the cache in `folder`. What it has of an earlier process is there at once; a damaged index is set aside, and a
 * disk that fails is done without.
 * @throws {CdnError} where another process has it open
 * @throws {RangeError} where the settings are out of range
 */
export function openCache(
  {
    folder,
    diskBytes,
    memoryBytes,
    largestInMemory = SLICE_BYTES,
    now = Date.now,
    log = silentLogger,
    minFreeBytes = 64 << 20,
  }: CacheOptions,
): Promise<Cache> {
  requireSizes(memoryBytes, largestInMemory);
  if (!(diskBytes >= 0)) throw new RangeError(`diskBytes must not be negative, not ${diskBytes}`);
  return TieredCache.open({ memoryBytes, largestInMemory, disk: { folder, limit: diskBytes, minFreeBytes, now, log } });
}

/**
 * A cache that is gone with its process.
 * @throws {RangeError} where the settings are out of range
 */
export function createMemoryCache({ memoryBytes, largestInMemory = SLICE_BYTES }: MemoryCacheOptions): Cache {
  requireSizes(memoryBytes, largestInMemory);
  return new TieredCache({ memoryBytes, largestInMemory, disk: null });
}

function requireSizes(memoryBytes: number, largestInMemory: number): void {
  if (!(memoryBytes >= LEAST_MEMORY_BYTES)) {
    throw new RangeError(`memoryBytes must be at least ${LEAST_MEMORY_BYTES}, not ${memoryBytes}`);
  }
  if (!(largestInMemory >= 0 && largestInMemory <= SLICE_BYTES)) {
    throw new RangeError(`largestInMemory must be at most ${SLICE_BYTES}, not ${largestInMemory}`);
  }
}
