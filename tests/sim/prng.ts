/**
 * Chance from a seed, in streams by name: a draw more in one stream shifts nothing in another, so that a small change
 * of the story or of the code does not make another story of it.
 */

/** Numbers from 0 up to but not including 1. */
export type Random = () => number;

/** The stream of this name: sfc32 (C. Doty-Humphrey, PractRand, 2010), seeded by FNV-1a of the name. */
export function stream(seed: number, name: string): Random {
  let hash = 0x811c9dc5;
  for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193);
  let [a, b, c, counter] = [hash, seed | 0, Math.floor(seed / 2 ** 32) | 0, 1];
  const next = () => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  };
  for (let round = 0; round < 12; round++) next();
  return next;
}

/** One stream of this seed: mulberry32 (T. Ettinger, 2017). */
export function seeded(seed: number): Random {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** True once in `1 / share` draws. */
export function chance(random: Random, share: number): boolean {
  return random() < share;
}

/** A whole number from `least` to `most`, both included. */
export function between(random: Random, least: number, most: number): number {
  return least + Math.floor(random() * (most - least + 1));
}

/** One of the list. @throws {RangeError} where it is empty */
export function pick<T>(random: Random, list: readonly T[]): T {
  if (list.length === 0) throw new RangeError("nothing to pick from");
  return list[Math.floor(random() * list.length)]!;
}

/** `count` different ones of the list (all, where it is shorter), in random order. */
export function sample<T>(random: Random, list: readonly T[], count: number): T[] {
  const left = [...list];
  const taken: T[] = [];
  while (taken.length < count && left.length > 0) taken.push(...left.splice(Math.floor(random() * left.length), 1));
  return taken;
}

/** A waiting time of this mean: exponential, so that anything may overtake anything. */
export function exponential(random: Random, mean: number): number {
  return -Math.log(1 - random()) * mean;
}
