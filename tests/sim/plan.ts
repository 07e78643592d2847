/**
 * From a seed to a story: which machines, which requests, which faults. Pure, and made before anything runs, so that
 * it can be read, and shortened.
 *
 * The fault model. A story has rounds; each is a time of chaos, then everything is healed and comes to rest.
 * - Always: requests to any server at any time; messages lost, doubled, late, overtaking; answers lost after their
 *   effect; lines cut one way or both, slow; bodies that break off, stall, or carry a wrong byte; crashes at any time
 *   and between any two steps of a disk, as often as one likes, of all machines together; full disks.
 * - What a disk had confirmed it loses only where the machine is one of the round's losers: at most minCopies - 1, the
 *   same for the whole round. Two rounds have different losers only because there is rest between them. So each
 *   acknowledged write keeps a copy on a machine that loses nothing. Losses: the disk is wiped; its index is lost; a
 *   body rots, which some disk has that loses nothing (nothing else can be put right); the machine is gone for ever;
 *   its clock is an hour or ten years off until the round is healed, and what it writes in that time takes the place
 *   of what it had.
 * - All other clocks are at most 4 minutes apart (`MAX_AHEAD_MS` is five), may be set within that at any time, and run
 *   at most a thousandth fast or slow.
 */
import { between, chance, exponential, pick, type Random, sample, stream } from "./prng.ts";
import type { Weather } from "./links.ts";
import type { Place } from "./process.ts";

/** Something that happens, `atMs` after its round began. */
export type Act =
  & { atMs: number }
  & (
    /** `body` names the bytes: the same number, the same bytes. */
    | { do: "put"; at: string; path: string; body: number; size: number }
    | { do: "delete"; at: string; path: string }
    | { do: "read"; at: string; path: string }
    | { do: "crash"; at: string; forMs: number; steps: number | null }
    | { do: "restart"; at: string; forMs: number }
    | { do: "cut"; from: string[]; to: string[]; bothWays: boolean; forMs: number }
    | { do: "slow"; from: string; to: string; times: number; forMs: number }
    | { do: "weather"; weather: Weather; forMs: number }
    | { do: "full"; at: string; forMs: number }
    | { do: "clock"; at: string; skewMs: number }
    | { do: "wipe"; at: string; forMs: number }
    | { do: "index"; at: string; kept: number; forMs: number }
    | { do: "rot"; at: string }
    | { do: "gone"; at: string }
  );

/** Chaos for a time. */
export interface Round {
  lastsMs: number;
  /** Whose disks may lose what they had confirmed. */
  losers: string[];
  acts: Act[];
}

/** A machine at the beginning. */
export interface MachinePlan {
  id: string;
  place: Place;
  skewMs: number;
  drift: number;
  /** When it first starts; the later ones join a cluster that has content already. */
  startMs: number;
}

/** A whole story. */
export interface Plan {
  seed: number;
  minCopies: number;
  machines: MachinePlan[];
  rounds: Round[];
}

/** How far apart clocks may be that must be got along with. */
export const TOLERATED_MS = 4 * 60_000;
const HOUR_MS = 3_600_000;

const PLACES: Place[] = [
  { provider: "hetzner", region: "fsn1", labels: { jurisdiction: "de", operator: "one" } },
  { provider: "hetzner", region: "hel1", labels: { jurisdiction: "fi", operator: "one" } },
  { provider: "ovh", region: "gra", labels: { jurisdiction: "fr", operator: "one" } },
  { provider: "aws", region: "us-east-1", labels: { jurisdiction: "us", operator: "two" } },
  { provider: "gcp", region: "asia-east1", labels: { jurisdiction: "tw", operator: "two" } },
];

/** The story of a seed. */
export function planOf(seed: number): Plan {
  const random = stream(seed, "story");
  const count = between(random, 3, 6);
  const minCopies = chance(random, 0.05) ? 1 : count >= 4 && chance(random, 0.3) ? 3 : 2;
  const machines = Array.from({ length: count }, (_, at): MachinePlan => ({
    id: `n${at + 1}`,
    place: pick(random, PLACES),
    skewMs: between(random, 0, TOLERATED_MS),
    drift: (random() - 0.5) / 500,
    startMs: at >= minCopies && chance(random, 0.15) ? between(random, 5_000, 40_000) : 0,
  }));
  let ids = machines.map(({ id }) => id);
  const rounds: Round[] = [];
  for (let left = chance(random, 0.3) ? 2 : 1; left > 0; left--) {
    const round = roundOf(stream(seed, `round ${rounds.length}`), ids, minCopies, rounds.length);
    rounds.push(round);
    const gone = new Set(round.acts.flatMap((act) => act.do === "gone" ? act.at : []));
    ids = ids.filter((id) => !gone.has(id));
  }
  return { seed, minCopies, machines, rounds };
}

function roundOf(random: Random, ids: string[], minCopies: number, number: number): Round {
  const lastsMs = between(random, 20_000, 90_000);
  const losers = sample(random, ids, Math.min(minCopies - 1, ids.length - 1));
  const acts: Act[] = [
    ...requests(random, ids, lastsMs, number),
    ...troubles(random, ids, lastsMs),
    ...losses(random, losers, ids.length - minCopies, lastsMs),
  ];
  return { lastsMs, losers, acts: acts.sort((a, b) => a.atMs - b.atMs) };
}

/** What clients ask for: few paths, so that they meet. */
function requests(random: Random, ids: string[], lastsMs: number, round: number): Act[] {
  const paths = Array.from({ length: between(random, 2, 8) }, (_, at) => `/${"abcdefgh"[at]}`);
  return Array.from({ length: between(random, 15, 60) }, (_, at): Act => {
    const where = { atMs: between(random, 0, lastsMs), at: pick(random, ids), path: pick(random, paths) };
    const kind = random();
    if (kind < 0.35) return { do: "read", ...where };
    if (kind < 0.5) return { do: "delete", ...where };
    const body = chance(random, 0.15) ? between(random, 0, 2) : 1000 * (round + 1) + at;
    return { do: "put", ...where, body, size: sizeOf(random) };
  });
}

/** Most bodies are small; some come in many chunks. */
function sizeOf(random: Random): number {
  return chance(random, 0.1) ? between(random, 20_000, 60_000) : between(random, 0, 3_000);
}

/** What may happen to anybody. */
function troubles(random: Random, ids: string[], lastsMs: number): Act[] {
  const someTime = () => between(random, 0, lastsMs);
  const forMs = () => 500 + exponential(random, 12_000);
  const kinds: (() => Act)[] = [
    () => ({
      do: "crash",
      atMs: someTime(),
      at: pick(random, ids),
      forMs: forMs(),
      steps: chance(random, 0.6) ? between(random, 1, 12) : null,
    }),
    () => ({ do: "restart", atMs: someTime(), at: pick(random, ids), forMs: forMs() }),
    () => {
      const shuffled = sample(random, ids, ids.length);
      const border = between(random, 1, ids.length - 1);
      const [from, to] = [shuffled.slice(0, border), shuffled.slice(border)];
      return { do: "cut", atMs: someTime(), from, to, bothWays: chance(random, 0.6), forMs: 2 * forMs() };
    },
    () => {
      const [from, to] = sample(random, ids, 2) as [string, string];
      return { do: "slow", atMs: someTime(), from, to, times: between(random, 5, 200), forMs: forMs() };
    },
    () => ({ do: "weather", atMs: someTime(), weather: badWeather(random), forMs: 2 * forMs() }),
    () => ({ do: "full", atMs: someTime(), at: pick(random, ids), forMs: forMs() }),
    () => ({ do: "clock", atMs: someTime(), at: pick(random, ids), skewMs: between(random, 0, TOLERATED_MS) }),
  ];
  // Each story has its own sorts of trouble: all at once would hide what one alone brings to light.
  const chosen = sample(random, kinds, between(random, 1, kinds.length));
  return Array.from({ length: between(random, 2, 14) }, () => pick(random, chosen)());
}

function badWeather(random: Random): Weather {
  const share = (most: number) => chance(random, 0.5) ? random() * most : 0;
  return {
    lost: share(0.3),
    doubled: share(0.2),
    late: share(0.1),
    broken: share(0.3),
    stalled: share(0.1),
    corrupt: share(0.1),
  };
}

/** What takes away what was confirmed. `spare`: how many machines may go for ever. */
function losses(random: Random, losers: string[], spare: number, lastsMs: number): Act[] {
  let goes = spare;
  return losers.flatMap((at): Act[] => {
    if (chance(random, 0.3)) return [];
    const atMs = between(random, lastsMs / 4, lastsMs);
    const forMs = exponential(random, 8_000);
    const kind = random();
    if (kind < 0.3) return [{ do: "wipe", atMs, at, forMs }];
    if (kind < 0.45) return [{ do: "index", atMs, at, kept: chance(random, 0.5) ? 0 : random(), forMs }];
    if (kind < 0.6 && goes-- > 0) return [{ do: "gone", atMs, at }];
    if (kind < 0.75) {
      const skewMs = pick(random, [HOUR_MS, -HOUR_MS, 87_660 * HOUR_MS, -87_660 * HOUR_MS]);
      return [{ do: "clock", atMs: between(random, 0, lastsMs), at, skewMs }];
    }
    return Array.from({ length: between(random, 1, 4) }, () => ({ do: "rot", atMs: between(random, 0, lastsMs), at }));
  });
}
