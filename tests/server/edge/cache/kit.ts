/** What the tests of the cache share. */
import { type CacheOptions, openCache } from "../../../../server/edge/cache/mod.ts";
import type { Cache } from "../../../../server/edge/cache/cache.ts";
import type { TieredCache } from "../../../../server/edge/cache/tiered_cache.ts";
import type { Logger } from "../../../../runtime/log.ts";

/** Opens a cache with plenty of room. */
export function open(folder: string, more: Partial<CacheOptions> = {}): Promise<Cache> {
  return openCache({ folder, diskBytes: 1 << 30, memoryBytes: 64 << 20, minFreeBytes: 0, ...more });
}

/** A cache in a folder of its own, which goes away with it. */
export async function openTemporary(more: Partial<CacheOptions> = {}): Promise<Cache> {
  const folder = await Deno.makeTempDir({ prefix: "metacdn-test-" });
  const cache = await open(folder, more);
  const dispose = cache[Symbol.asyncDispose].bind(cache);
  cache[Symbol.asyncDispose] = async () => {
    await dispose();
    await Deno.remove(folder, { recursive: true });
  };
  return cache;
}

/** A log that keeps what it is told at warning and above. */
export function keptLog(): Logger & { lines: string[] } {
  const lines: string[] = [];
  const keep = (message: string) => void lines.push(message);
  return { lines, debug() {}, info() {}, warn: keep, error: keep };
}

/** All files below a folder. */
export function filesBelow(folder: string): string[] {
  return Array.from(Deno.readDirSync(folder)).flatMap(({ name, isDirectory }) =>
    isDirectory ? filesBelow(`${folder}/${name}`) : [`${folder}/${name}`]
  ).sort();
}

/** The files of slices. */
export function slicesBelow(folder: string): string[] {
  return filesBelow(folder).filter((path) => path.includes("/slices/"));
}

/** What a folder takes on its disk. */
export function bytesBelow(folder: string): number {
  return filesBelow(folder).reduce((sum, path) => sum + (Deno.statSync(path).blocks ?? 0) * 512, 0);
}

/** Resolves when all that is complete is on disk. */
export async function settled(cache: Cache): Promise<void> {
  await (cache as TieredCache).written();
}

/** What a kill of the process would leave, in another folder. */
export async function copyOf(folder: string, to: string): Promise<void> {
  const { success } = await new Deno.Command("cp", { args: ["-rT", folder, to] }).output();
  if (!success) throw new Error("cannot copy");
}
