/** Requests as a cache may see them, the same for the same seed. */
import { seeded } from "../../tests/sim/prng.ts";

/** One request. */
export interface Request {
  key: number;
  bytes: number;
}

/** A trace and what it is like. */
export interface Trace {
  name: string;
  requests: Request[];
}

/** Objects that may be asked for, beside those of scans. */
const OBJECTS = 20_000;
const REQUESTS = 200_000;

/** All traces. */
export function traces(seed: number): Trace[] {
  const made: Trace[] = [];
  for (const alpha of [0.6, 0.8, 1.0, 1.2]) {
    made.push({ name: `Zipf ${alpha.toFixed(1)}`, requests: zipf(alpha, seed) });
  }
  made.push({ name: "Zipf 0.8, a scan in between", requests: withScan(zipf(0.8, seed), seed) });
  made.push({ name: "Zipf 0.8, a third asked for once", requests: withOnce(zipf(0.8, seed), seed) });
  made.push({ name: "Zipf 0.8, favourites that change", requests: shifting(zipf(0.8, seed)) });
  return made;
}

/** The k-th object is asked for with a probability of k^-alpha. */
function zipf(alpha: number, seed: number): Request[] {
  const random = seeded(seed);
  const sums = new Float64Array(OBJECTS);
  let sum = 0;
  for (let at = 0; at < OBJECTS; at++) sums[at] = sum += (at + 1) ** -alpha;
  return Array.from({ length: REQUESTS }, () => {
    const wanted = random() * sum;
    let [low, high] = [0, OBJECTS - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sums[middle]! < wanted) low = middle + 1;
      else high = middle;
    }
    return requestOf(low);
  });
}

/** Now and then somebody fetches 4,000 objects one after the other, which nobody else wants. */
function withScan(requests: Request[], seed: number): Request[] {
  const mixed: Request[] = [];
  requests.forEach((request, at) => {
    mixed.push(request);
    if (at % 25_000 === 12_500) {
      for (let next = 0; next < 4000; next++) mixed.push(requestOf(1e6 + seed + at + next));
    }
  });
  return mixed;
}

function withOnce(requests: Request[], seed: number): Request[] {
  const random = seeded(seed + 1);
  return requests.map((request, at) => random() < 1 / 3 ? requestOf(2e6 + at) : request);
}

/** Every 20,000 requests a tenth of all objects change places with others. */
function shifting(requests: Request[]): Request[] {
  return requests.map(({ key }, at) => requestOf((key + Math.floor(at / 20_000) * (OBJECTS / 10)) % OBJECTS));
}

/** Its size is its own: about 2^13 bytes, most from 2^10 to 2^17, the largest 2^20. */
function requestOf(key: number): Request {
  const random = seeded(key * 7919 + 17);
  const normal = Math.sqrt(-2 * Math.log(random() + 1e-12)) * Math.cos(2 * Math.PI * random());
  return { key, bytes: Math.round(2 ** Math.min(20, Math.max(7, 13 + 2.2 * normal))) };
}
