/** The flags of a server that is an edge: where it pulls content from, and where it keeps it. */
import { join } from "@std/path";
import { choiceFlag, type Flag, listFlag, numberFlag, sizeFlag, stringFlag, UsageError } from "../runtime/flags.ts";
import type { Logger } from "../runtime/log.ts";
import { openTlsClient } from "../runtime/tls_client.ts";
import { edgeDefaults, type EdgeSettings, type MatchedRules, ORIGIN_DEFAULTS, parseOriginUrl } from "../server/mod.ts";
import { atStart } from "./ca.ts";

/** Several origins, each as it is asked. */
function originsFlag(): Flag<string[]> {
  const flag = listFlag("URL[,URL]…", "with --role edge: serve what these origins have; the preferred one first");
  return {
    ...flag,
    parse: (texts) => [...new Set(texts.flatMap((text) => text.split(",")).filter(Boolean).map(parseOriginUrl))],
  };
}

/** The flags of an edge. */
export const edgeFlags = {
  "origin": originsFlag(),
  "origin-ca": stringFlag("FILE", null, "CA certificates (PEM) that origins are believed by, beside the public ones"),
  "origin-timeout": numberFlag("MS", ORIGIN_DEFAULTS.headTimeoutMs, "how long an origin may take to begin its answer", {
    least: 100,
    most: 3_600_000,
  }),
  "origin-connections": numberFlag("N", ORIGIN_DEFAULTS.maxActive, "most requests at a time to one origin", {
    least: 1,
    most: 10_000,
  }),
  "origin-probe": stringFlag(
    "PATH",
    ORIGIN_DEFAULTS.probeTarget,
    "what an origin that failed is asked for, to see whether it is back",
  ),
  "cache": stringFlag("DIR", null, "where the edge keeps what it pulled; cache in the data folder unless given"),
  "cache-size": sizeFlag("20GB", "bytes on disk for what the edge pulled", { least: 1 << 20 }),
  "memory-size": sizeFlag("512MB", "memory for what the edge is often asked for", { least: 8 << 20 }),
  "siblings": choiceFlag(
    ["auto", "none"],
    "auto",
    "auto: before the origin, ask the edge of the cluster that owns the key; none: do not",
  ),
  "stale-on-error": numberFlag(
    "SECONDS",
    edgeDefaults.rules.staleOnErrorMs / 1000,
    "serve what is stale for so long while no origin answers, where its fields do not forbid it",
    { least: 0, most: 2_592_000 },
  ),
};

/** What of the command line is about the edge. */
export interface EdgeFlags {
  role: "origin" | "edge";
  data: string;
  origin: string[];
  "origin-ca": string | null;
  "origin-timeout": number;
  "origin-connections": number;
  "origin-probe": string;
  cache: string | null;
  "cache-size": number;
  "memory-size": number;
  siblings: "auto" | "none";
  "stale-on-error": number;
  "no-front": boolean;
}

/**
 * The edge that the flags mean; null where they mean none. Its CA file is followed until it is disposed of.
 * @throws {UsageError} where they do not fit together
 */
export function edgeOf(
  flags: EdgeFlags,
  { log, policy }: { log: Logger; policy: MatchedRules | null },
): (Disposable & { settings: EdgeSettings }) | null {
  if (flags.origin.length === 0) {
    if (flags.cache !== null) {
      throw new UsageError("--cache is for --role edge with --origin: there is nothing to pull from");
    }
    return null;
  }
  if (flags.role !== "edge") throw new UsageError("--origin is for --role edge: an origin serves what it holds itself");
  const file = flags["origin-ca"];
  const trust = file === null ? null : atStart(() => openTlsClient(file, { log }));
  return {
    settings: {
      origins: flags.origin,
      originCa: trust?.pem ?? null,
      originSettings: {
        headTimeoutMs: flags["origin-timeout"],
        maxActive: flags["origin-connections"],
        probeTarget: flags["origin-probe"],
      },
      siblings: flags.siblings === "auto",
      folder: flags.cache ?? join(flags.data, "cache"),
      diskBytes: flags["cache-size"],
      memoryBytes: flags["memory-size"],
      rules: { staleOnErrorMs: flags["stale-on-error"] * 1000 },
      ...(policy && { policy }),
      // Finished answers are for the front: without it they would be made for nobody.
      ...(flags["no-front"] && { limits: { hotBytes: 0 } }),
    },
    [Symbol.dispose]: () => trust?.[Symbol.dispose](),
  };
}
