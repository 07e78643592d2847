/** Trying again: exponential backoff with jitter. */
import { delay } from "@std/async";
import { CdnError } from "../proto/mod.ts";

/** How often and how soon is tried again; each has a default. */
export interface RetryOptions {
  /** Tries in all. */
  attempts?: number;
  /** The first pause, in milliseconds; each further one is twice as long. */
  baseMs?: number;
  /** The longest pause. */
  mostMs?: number;
  /** From 0 up to 1. */
  random?: () => number;
  /** Ends the trying. */
  signal?: AbortSignal | undefined;
  /** Told before each pause. */
  onRetry?: (error: CdnError, pauseMs: number) => void;
}

/** A Retry-After beyond this is not waited for: it is cut. */
const MOST_RETRY_AFTER_MS = 60_000;

/**
 * The pause before try number `attempt` + 1, in milliseconds: half of it fixed, half of it random, so that
 * many clients that failed together do not come back together. What the server asked for is the least.
 */
export function pauseMs(
  attempt: number,
  retryAfterSeconds: number | undefined,
  { baseMs, mostMs, random }: { baseMs: number; mostMs: number; random: () => number },
): number {
  const longest = Math.min(mostMs, baseMs * 2 ** (attempt - 1));
  const asked = Math.min((retryAfterSeconds ?? 0) * 1000, MOST_RETRY_AFTER_MS);
  return Math.max(asked, longest / 2 + random() * longest / 2);
}

/**
 * Does `act` until it succeeds, or fails in a way that trying again does not mend.
 * @throws {CdnError} the last failure, which then says how often was tried.
 */
export async function retrying<T>(
  act: () => Promise<T>,
  { attempts = 9, baseMs = 250, mostMs = 10_000, random = Math.random, signal, onRetry }: RetryOptions = {},
): Promise<T> {
  for (let attempt = 1;; attempt++) {
    signal?.throwIfAborted();
    try {
      return await act();
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof CdnError) || !error.retry) throw error;
      if (attempt >= attempts) {
        throw new CdnError(`${error.message} (gave up after ${attempts} tries)`, {
          source: error.source,
          status: error.status,
          retry: true,
          cause: error,
        });
      }
      const pause = pauseMs(attempt, error.retryAfterSeconds, { baseMs, mostMs, random });
      onRetry?.(error, pause);
      await delay(pause, signal ? { signal } : {});
    }
  }
}
