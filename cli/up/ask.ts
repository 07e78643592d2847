/** What a viewer, and an operator, can ask of the world: everything that `up` tells comes from here. */
import { createHash } from "node:crypto";
import { CdnError, encodePath, wire } from "../../proto/mod.ts";
import type { PeerClient } from "../../runtime/peer_client.ts";

/** A whole answer of a proxy. */
export interface Answer {
  /** The server that the proxy says it came from (its field Metacdn-Route). */
  server: string;
  sha256: string;
  bytes: number;
  ms: number;
}

/**
 * Downloads a path through a proxy and hashes it on the way.
 * @param onBytes is told, with the bytes so far and the server that answers, as they come
 * @throws {CdnError} where the answer is none, is not 200, or breaks off.
 */
export async function download(
  proxy: string,
  path: string,
  { signal, onBytes = () => {} }: { signal: AbortSignal; onBytes?: (bytes: number, server: string) => void },
): Promise<Answer> {
  const begun = performance.now();
  const hash = createHash("sha256");
  let bytes = 0;
  let server = "";
  try {
    const response = await fetch(proxy + encodePath(path), { headers: { "accept-encoding": "identity" }, signal });
    server = /(?:^|[ ,])server="([^"]*)"/.exec(response.headers.get("metacdn-route") ?? "")?.[1] ?? "";
    if (response.status !== 200 || !response.body) {
      const text = await response.text();
      throw new Error(`it answered ${response.status} ${text.slice(0, 200)}`);
    }
    for await (const chunk of response.body) {
      hash.update(chunk);
      bytes += chunk.length;
      onBytes(bytes, server);
    }
  } catch (cause) {
    throw new CdnError(`Cannot download ${path} through ${proxy}: ${(cause as Error).message}`, {
      source: "peer",
      cause,
    });
  }
  return { server, sha256: hash.digest("hex"), bytes, ms: performance.now() - begun };
}

/** Where the next request for a path would go, and why. */
export function explain(peers: PeerClient, proxy: string, path: string): Promise<wire.Explanation> {
  return peers.ask(`${proxy}/-/explain?path=${encodeURIComponent(path)}`, wire.ExplanationSchema);
}

/** The sheet of a place, as the pricing server has it. */
export function getSheet(peers: PeerClient, pricing: string, place: { provider: string; region: string }) {
  return peers.ask(sheetUrl(pricing, place), wire.SheetSchema);
}

/** Writes a sheet: it counts from the next quote on. */
export async function putSheet(peers: PeerClient, pricing: string, sheet: wire.Sheet): Promise<void> {
  await peers.ask(sheetUrl(pricing, sheet), wire.SheetSchema, {
    method: "PUT",
    question: [wire.SheetSchema, sheet],
  });
}

/** A sheet like another, with one price a GB (1e9 bytes) for every byte from the first on. */
export function flatSheet(sheet: wire.Sheet, nanoPerGb: bigint): wire.Sheet {
  return {
    ...sheet,
    unitBytes: 1_000_000_000n,
    tiers: [{ $typeName: "metacdn.v1.Tier", nanoPerUnit: nanoPerGb }],
    freeBytes: 0n,
    currency: "",
    nanoUsdPerCurrency: 0n,
    source: "a price set here, for trying",
  };
}

/** What a server holds at a path; null where it holds nothing, or does not answer. */
export async function manifestAt(peers: PeerClient, server: string, path: string): Promise<wire.Manifest | null> {
  try {
    return await peers.ask(`${server}/-/v1/objects${encodePath(path)}`, wire.ManifestSchema, { timeoutMs: 5000 });
  } catch (error) {
    if (error instanceof CdnError) return null;
    throw error;
  }
}

function sheetUrl(pricing: string, { provider, region }: { provider: string; region: string }): string {
  return `${pricing}/-/v1/prices/${provider}/${region}`;
}
