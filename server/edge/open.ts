/** An edge with all that it stands on: {@link openEdge}. */
import type { wire } from "../../proto/mod.ts";
import type { Live } from "../../runtime/live.ts";
import type { Logger } from "../../runtime/log.ts";
import type { Cache } from "./cache/cache.ts";
import { openCache } from "./cache/mod.ts";
import { defaultEdgeLimits, Edge, type EdgeLimits } from "./edge.ts";
import { createOrigins, loopGuard, type Origins, type OriginSettings } from "./origins/mod.ts";
import { type Sibling, siblingTransport, withoutSiblings, withSiblings } from "./siblings/mod.ts";
import { edgeStatus } from "./status.ts";
import type { MatchedRules } from "../serve/policy.ts";
import type { RuleSettings } from "./rules/mod.ts";

/** What {@link openEdge} needs to know. */
export interface EdgeSettings {
  /** Base URLs of the origins, the preferred one first. */
  origins: readonly string[];
  /** CAs (PEM) that they are believed by, beside the public ones. */
  originCa?: Live<readonly string[]> | null;
  /** What is not the default about asking them. */
  originSettings?: Partial<OriginSettings>;
  /** Other edges of the cluster are asked before the origins, by who owns a key; true unless given. */
  siblings?: boolean;
  /** The cache's folder; made where it is missing. One process at a time. */
  folder: string;
  /** Bodies on disk, in bytes. */
  diskBytes: number;
  /** Bodies and finished answers in memory, in bytes. */
  memoryBytes: number;
  /** What the operator chooses within the rules of caching; the usual unless given. */
  rules?: Partial<RuleSettings>;
  /** What the operator says of caching by path, in place of the origins; they say it unless given. */
  policy?: MatchedRules;
  /** Those that are not the default. */
  limits?: Partial<EdgeLimits>;
}

/** Where an edge runs. */
export interface EdgeSurroundings {
  /** The edges that live now, which are asked before the origins, and what they are told of purges; null: none. */
  siblings: { edges: () => readonly Sibling[]; stamp: () => string; ca: Live<readonly string[]> | null } | null;
  /** Our name among the servers: what we are called in Via and Cache-Status. */
  id: string;
  now: () => number;
  random: () => number;
  log: Logger;
}

/** The usual: a tenth of the age of what says nothing of its freshness, a day at most; a day of what no origin can say. */
export const edgeDefaults: { readonly rules: RuleSettings } = {
  rules: { heuristicShare: 0.1, heuristicMostMs: 86_400_000, staleOnErrorMs: 86_400_000 },
};

/** An edge and its parts; disposing of it closes them. */
export interface OpenedEdge extends AsyncDisposable {
  edge: Edge;
  cache: Cache;
  origins: Origins;
  /** How it fares now. */
  status(): wire.EdgeStatus;
}

/**
 * Opens an edge, with all that it held when it was last closed or killed.
 * @throws {CdnError} where another process has the folder open, or it cannot be used
 * @throws {Error} for a URL that is none of an origin
 */
export async function openEdge(
  { origins: urls, originCa = null, originSettings, folder, diskBytes, memoryBytes, rules, policy, limits }:
    EdgeSettings,
  { id, siblings, now, random, log }: EdgeSurroundings,
): Promise<OpenedEdge> {
  await using made = new AsyncDisposableStack();
  const own = createOrigins({
    urls,
    ca: originCa,
    ...(originSettings && { settings: originSettings }),
    now,
    random,
    log,
  });
  const asked = siblings && withSiblings(own, {
    self: id,
    edges: siblings.edges,
    stamp: siblings.stamp,
    transport: siblingTransport({ ca: siblings.ca }),
    now,
    random,
    log,
  });
  const origins: Origins = made.adopt(asked ?? withoutSiblings(own), (one) => one.close());
  // Half for finished answers, which have their bodies once more, ready to be sent.
  const cache = made.use(await openCache({ folder, diskBytes, memoryBytes: Math.ceil(memoryBytes / 2), now, log }));
  const allLimits = { ...defaultEdgeLimits, hotBytes: Math.floor(memoryBytes / 2), ...limits };
  const edge = new Edge({
    cache,
    origins,
    signature: { name: id, pseudonym: id },
    loopGuard: loopGuard(id),
    rules: { ...edgeDefaults.rules, ...rules },
    ...(policy && { policy }),
    limits: allLimits,
    now,
    log,
  });
  const owned = made.move();
  const sinceMs = now();
  const status = () =>
    edgeStatus({
      id,
      sinceMs,
      figures: edge.figures,
      cache: cache.figures(),
      hot: { bytes: edge.hotBytes, limit: allLimits.hotBytes },
      origins: origins.states(),
      siblings: asked && asked.figures,
      gate: edge.gate,
    });
  return { edge, cache, origins, status, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
