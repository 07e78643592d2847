/**
 * What a decision is made from: all that is known at one moment, as plain data, never changed once it is
 * published. It travels to workers by `postMessage` as it is.
 */
import type { PriceState } from "./prices.ts";
import { type Criteria, type Policy, rank, type Scored, secondNanoOf } from "./score.ts";

/** One server, as far as it is known. */
export interface ServerView extends Scored {
  /** Its name. */
  id: string;
  /** Its base URL. */
  origin: string;
  /** Whose price sheet counts for it. */
  provider: string;
  /** The region of that sheet. */
  region: string;
  /** 0 (a guess) to 1 (many fresh samples), when the view was made. */
  confidence: number;
  /** When the newest sample was taken; null where there is none. */
  newestMs: number | null;
  /** Of the next byte; 0 where no price is known. */
  egressNanoPerGb: number;
  /** The server's hourly price spread over its bytes; 0 where no price is known. */
  serverNanoPerGb: number;
  /** "high", "medium", "low", or "none" where no price is known. */
  priceConfidence: string;
  /** Why it is chosen only where no other is left; empty where it is one like the others. */
  lastResort: string;
}

/** All that is known at one moment. */
export interface View {
  /** What decides, where prices are known. */
  policy: Policy;
  /** 0: price alone; 1: time alone. */
  weight: number;
  /** How far to trust the prices. */
  prices: PriceState;
  /** By id. */
  servers: readonly ServerView[];
  /** What stands in the way, for people; empty where nothing does. */
  trouble: string;
}

/** A view in which nothing is known yet. */
export function emptyView(policy: Policy, weight: number): View {
  return { policy, weight, prices: "none", servers: [], trouble: "the servers have not been asked yet" };
}

/** How to decide by a view: where no price is known at all, the network decides whatever the policy. */
export function criteriaOf({ policy, weight, prices }: View): Criteria {
  return { policy: prices === "none" ? "network" : policy, secondNano: secondNanoOf(weight) };
}

/**
 * The best servers for so many bytes, best first; those that are a last resort come after all others. Where every one
 * is excluded, all of them: a server that was down may be back, and an attempt costs less than an error.
 */
export function decide(view: View, bytes: number, nowMs: number, limit?: number): readonly ServerView[] {
  const best = view.servers.some(isLastResort)
    ? [false, true].flatMap((last) =>
      rank(view.servers.filter((server) => isLastResort(server) === last), bytes, criteriaOf(view), nowMs, limit)
    ).slice(0, limit)
    : rank(view.servers, bytes, criteriaOf(view), nowMs, limit);
  if (best.length > 0 || view.servers.length === 0) return best;
  return rank(view.servers.map((server) => ({ ...server, excluded: "" })), bytes, criteriaOf(view), nowMs, limit);
}

/** True where a decision rests on a measurement: some server that is up has been measured. */
export function isReady({ servers }: View): boolean {
  return servers.some(({ excluded, newestMs }) => excluded === "" && newestMs !== null);
}

function isLastResort({ lastResort }: ServerView): boolean {
  return lastResort !== "";
}
