/**
 * The decision: which servers a request should go to, best first. Pure; docs/routing.md explains it.
 *
 *     time  = (no open connection ? connect : 0) + round trip + bytes / rate        in milliseconds
 *     price = (egress + server, nano-dollars a GB) * bytes / 1e9                    in nano-dollars
 *
 *     network    time                                       ties: the cheaper one
 *     price      price                                      ties: the faster one
 *     combined   time / 1000 * second + price               ties: the faster one
 *
 * `second` is what a second is worth; `weight` w in 0..1 sets it: $0.001 * w / (1 - w). At 0 price alone
 * counts, at 1 time alone. A server without a price comes after those with one wherever the price counts.
 */

/** What decides. */
export type Policy = "network" | "price" | "combined";
/** The policies, as `--policy` takes them. */
export const POLICIES: readonly Policy[] = ["network", "price", "combined"];

/** What the decision needs to know of a server. */
export interface Scored {
  /** What a new connection costs. */
  connectMs: number;
  /** From sending a request on an open connection to the head of its answer. */
  rttMs: number;
  /** What one transfer gets. */
  bytesPerSecond: number;
  /** Until when a connection to it is taken to be open, in milliseconds since 1970. */
  warmUntilMs: number;
  /** Egress and server together; NaN where no price is known. */
  nanoPerGb: number;
  /** Why it is not considered; empty if it is. */
  excluded: string;
}

/** How to decide. */
export interface Criteria {
  policy: Policy;
  /** What one second is worth, in nano-dollars; Infinity where time alone counts. */
  secondNano: number;
}

/** A second at weight 0.5: a tenth of a cent. */
const SECOND_NANO = 1_000_000;

/** What a second is worth under a weight, in nano-dollars. */
export function secondNanoOf(weight: number): number {
  if (!(weight >= 0 && weight <= 1)) throw new RangeError("the weight must be from 0 to 1");
  return weight === 1 ? Infinity : SECOND_NANO * weight / (1 - weight);
}

/** Predicted milliseconds to the last of so many bytes. */
export function predictMs(server: Scored, bytes: number, nowMs: number): number {
  const connect = server.warmUntilMs > nowMs ? 0 : server.connectMs;
  return connect + server.rttMs + bytes / server.bytesPerSecond * 1000;
}

/** What so many bytes cost, in nano-dollars; NaN where no price is known. */
export function priceNano(server: Scored, bytes: number): number {
  return server.nanoPerGb * bytes / 1e9;
}

/** What is minimised; Infinity for a server without a price where the price counts. */
export function scoreOf(timeMs: number, price: number, { policy, secondNano }: Criteria): number {
  if (policy === "network" || (policy === "combined" && secondNano === Infinity)) return timeMs;
  if (Number.isNaN(price)) return Infinity;
  return policy === "price" ? price : timeMs / 1000 * secondNano + price;
}

// Scores of the servers ranked so far: kept from call to call, so that a decision allocates one small array.
let first = new Float64Array(128);
let second = new Float64Array(128);

/**
 * The best `limit` servers for so many bytes, best first; equals stay in the order given. Excluded ones
 * are left out. An answer without a body is decided as if it had one byte, so that price still decides.
 */
export function rank<T extends Scored>(
  servers: readonly T[],
  bytes: number,
  criteria: Criteria,
  nowMs: number,
  limit: number = servers.length,
): T[] {
  if (first.length < servers.length) {
    first = new Float64Array(servers.length);
    second = new Float64Array(servers.length);
  }
  const size = Math.max(1, bytes);
  const byTime = criteria.policy === "network" || (criteria.policy === "combined" && criteria.secondNano === Infinity);
  const ranked: T[] = [];
  let count = 0;
  for (const server of servers) {
    if (server.excluded !== "") continue;
    const time = predictMs(server, size, nowMs);
    const price = priceNano(server, size);
    const score = byTime ? time : scoreOf(time, price, criteria);
    const tie = byTime ? (price === price ? price : Infinity) : time;
    if (count === limit) {
      const last = count - 1;
      if (score > first[last]! || (score === first[last]! && tie >= second[last]!)) continue;
      count--;
    }
    let at = count++;
    for (; at > 0; at--) {
      const before = first[at - 1]!;
      if (before < score || (before === score && second[at - 1]! <= tie)) break;
      first[at] = before;
      second[at] = second[at - 1]!;
      ranked[at] = ranked[at - 1]!;
    }
    first[at] = score;
    second[at] = tie;
    ranked[at] = server;
  }
  return ranked;
}
