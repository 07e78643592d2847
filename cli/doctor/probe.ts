/** Asks one program how it is: whether it is ready, how far it is away, and what its clock says. */
import { readAll } from "../../runtime/body.ts";
import { words } from "../../runtime/words.ts";

/** What came of asking. */
export interface Probe {
  url: string;
  /** Null where it did not answer. */
  status: number | null;
  /** The answer's body, or why there was none. */
  text: string;
  /** From the question to the head of the answer, connecting and all. */
  rttMs: number;
  /** How far its clock is ahead of ours; null where it did not say. */
  skew: Skew | null;
}

/** A difference of two clocks, at most `errorMs` off. */
export interface Skew {
  ms: number;
  errorMs: number;
}

/**
 * The difference by a Date field (RFC 9110 §6.6.1: whole seconds, cut off) that was made between `sentMs` and
 * `receivedMs` of our clock: half the round trip is taken for the way here (D. Mills, RFC 5905 §8).
 */
export function skewOf(date: string | null, sentMs: number, receivedMs: number): Skew | null {
  const theirs = date === null ? NaN : Date.parse(date);
  if (Number.isNaN(theirs)) return null;
  const halfMs = Math.max(0, receivedMs - sentMs) / 2;
  return { ms: theirs + 500 - (sentMs + halfMs), errorMs: 500 + halfMs };
}

/** GETs the URL without any secret. Never throws. */
export async function probe(
  url: string,
  { timeoutMs, now, fetch }: { timeoutMs: number; now: () => number; fetch: typeof globalThis.fetch },
): Promise<Probe> {
  const sentMs = now();
  try {
    const response = await fetch(url, { redirect: "error", signal: AbortSignal.timeout(timeoutMs) });
    const receivedMs = now();
    const body = await readAll(response, { limit: 64 << 10, idleMs: timeoutMs });
    return {
      url,
      status: response.status,
      text: new TextDecoder().decode(body),
      rttMs: receivedMs - sentMs,
      skew: skewOf(response.headers.get("date"), sentMs, receivedMs),
    };
  } catch (error) {
    const late = (error as Error).name === "TimeoutError";
    return { url, status: null, text: late ? "no answer in time" : words(error), rttMs: now() - sentMs, skew: null };
  }
}
