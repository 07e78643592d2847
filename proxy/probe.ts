/** Active measurements: light ones for the round trip, and now and then some bytes for the rate. */
import { readChunks } from "../runtime/body.ts";
import type { PeerClient } from "../runtime/peer_client.ts";
import { type Transport, UpstreamError, type UpstreamResponse } from "../runtime/http1/transport.ts";

/** What a probe found, in milliseconds. */
export interface ProbeResult {
  /** What a new connection costs beside the request's own round trip. */
  connectMs: number;
  /** One request and its answer on an open connection. */
  rttMs: number;
}

/**
 * Asks a server for its health twice on one connection of its own: once as it opens, once when it stands. The
 * second is the round trip; by how much the first took longer is the cost of a new connection. (The handshake
 * alone would be the round trip to whatever accepts connections, which may be a relay right here.)
 * @param transport a new one, with no connection yet; it is closed here
 * @throws {UpstreamError} where there is no healthy answer.
 */
export async function probe(origin: string, transport: Transport, signal: AbortSignal): Promise<ProbeResult> {
  try {
    const ask = async () => {
      const response = await transport.send({
        origin,
        method: "GET",
        target: "/-/healthz",
        headers: [["accept", "application/json"]],
        body: null,
        bodyLength: null,
        signal,
      });
      await drain(response);
      if (response.status >= 300) throw new UpstreamError(`it answered ${response.status}`, "broken", false);
      return response.timing;
    };
    const opening = await ask();
    const standing = await ask();
    const rttMs = standing.headMs - standing.connectMs;
    return { connectMs: Math.max(0, opening.headMs - rttMs), rttMs };
  } finally {
    transport.close();
  }
}

/** What a sample of the rate found. */
export interface RateSample {
  bytes: number;
  /** From the head of the answer to its last byte. */
  ms: number;
}

/** Fetches so many bytes from a server, signed. */
export async function sampleRate(
  origin: string,
  { peers, bytes, now, timeoutMs, signal }: {
    peers: Pick<PeerClient, "send">;
    bytes: number;
    now: () => number;
    timeoutMs: number;
    signal: AbortSignal;
  },
): Promise<RateSample> {
  const response = await peers.send({ url: `${origin}/-/v1/peer/probe?bytes=${bytes}`, timeoutMs, signal });
  const begun = now();
  let received = 0;
  for await (const chunk of readChunks(response.body, { limit: 2 * bytes, idleMs: timeoutMs })) {
    received += chunk.byteLength;
  }
  return { bytes: received, ms: now() - begun };
}

async function drain({ body }: UpstreamResponse): Promise<void> {
  const into = new Uint8Array(4096);
  while (body && !body.done && await body.read(into) !== null) { /* only its end counts */ }
}
