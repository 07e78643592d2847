/** How an edge fares, as a message for its operator. Pure. */
import { create } from "@bufbuild/protobuf";
import { wire } from "../../proto/mod.ts";
import type { CacheFigures } from "./cache/cache.ts";
import type { EdgeFigures } from "./edge.ts";
import type { ServingGate } from "./gate.ts";
import type { OriginState } from "./origins/mod.ts";
import type { SiblingFigures } from "./siblings/mod.ts";

/** What a status is made from. */
export interface StatusFacts {
  /** The server's id. */
  id: string;
  /** Since when all is counted: milliseconds since 1970. */
  sinceMs: number;
  figures: EdgeFigures;
  cache: CacheFigures;
  /** Finished answers: what they take, and may take, in bytes. */
  hot: { bytes: number; limit: number };
  origins: readonly OriginState[];
  /** Null where no other edge is asked. */
  siblings: SiblingFigures | null;
  gate: Pick<ServingGate, "waiting" | "staleBeforeMs">;
}

/** The status of an edge. */
export function edgeStatus(
  { id, sinceMs, figures, cache, hot, origins, siblings, gate }: StatusFacts,
): wire.EdgeStatus {
  return create(wire.EdgeStatusSchema, {
    id,
    sinceMs: BigInt(sinceMs),
    hits: BigInt(figures.hits),
    forwarded: Object.fromEntries(Object.entries(figures.forwarded).map(([why, count]) => [why, BigInt(count)])),
    collapsed: BigInt(figures.collapsed),
    staleOnError: BigInt(figures.staleOnError),
    failed: BigInt(figures.failed),
    bytesToViewers: BigInt(figures.bytesSent),
    bytesFromOrigins: BigInt(origins.reduce((sum, { bytes }) => sum + bytes, 0)),
    bytesFromSiblings: BigInt(siblings?.bytes ?? 0),
    siblingRequests: BigInt(siblings?.requests ?? 0),
    siblingFailures: BigInt(siblings?.failures ?? 0),
    cache: {
      entries: BigInt(cache.entries),
      diskBytes: BigInt(cache.diskBytes),
      diskLimit: BigInt(cache.diskLimit),
      memoryBytes: BigInt(cache.memoryBytes),
      memoryLimit: BigInt(cache.memoryLimit),
      hotBytes: BigInt(hot.bytes),
      hotLimit: BigInt(hot.limit),
      evictions: BigInt(cache.evictions),
      diskFails: cache.diskFails,
    },
    origins: origins.map((origin) => ({
      ...origin,
      reason: wellFormed(origin.reason),
      requests: BigInt(origin.requests),
      failures: BigInt(origin.failures),
      bytes: BigInt(origin.bytes),
    })),
    waitingForPurges: gate.waiting !== null,
    staleBeforeMs: BigInt(gate.staleBeforeMs),
  });
}

/** A reason may have words of an origin in it. */
function wellFormed(reason: string): string {
  return reason.slice(0, 1000).toWellFormed();
}
