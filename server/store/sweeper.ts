/**
 * Frees the bodies that no manifest names, after a grace: an upload stages its body before it puts the
 * manifest, and a peer may be half-way through a body that was just overwritten.
 */
import { delay } from "@std/async";
import type { Logger } from "../../runtime/log.ts";

/** What the sweeper asks of the store; the first two are done when they return. */
export interface SweptStore {
  names(sha256: string): boolean;
  /** Begins at once: no other task runs between the question and the removal. */
  remove(sha256: string): Promise<void>;
  all(): Iterable<string>;
  /** Gives back to the disk what removals have left. */
  tidy(): Promise<void>;
}

/** Knows which bodies are without a name, and since when. */
export interface Sweeper extends AsyncDisposable {
  /** A body was staged, or lost a name: its grace begins anew. */
  touch(sha256: string): void;
  /** A manifest names it now; there is no need to remember it. */
  named(sha256: string): void;
  /** Frees what is due; resolves with how many bodies that were. */
  sweep(): Promise<number>;
}

/**
 * Begins to sweep: every `graceMs` (at most a minute apart), without keeping the process alive.
 *
 * What an earlier process left is found by a walk in the background; its grace begins now, so that an
 * upload that was cut off by a restart finds its body again.
 */
export function startSweeper(
  store: SweptStore,
  { graceMs, now, log, walkFirst = true }: {
    graceMs: number;
    now: () => number;
    log: Logger;
    /** False where what an earlier process left is to be kept. */
    walkFirst?: boolean;
  },
): Sweeper {
  /** Bodies that perhaps no manifest names, and when their grace began. */
  const since = new Map<string, number>();
  let closed = false;
  let running: Promise<unknown> = walkFirst ? run(walk) : Promise.resolve();

  async function walk(): Promise<void> {
    const started = now();
    let seen = 0;
    for (const sha256 of store.all()) {
      if (closed) return;
      if (!since.has(sha256) && !store.names(sha256)) since.set(sha256, started);
      if (++seen % 256 === 0) await delay(1);
    }
  }

  async function sweepDue(): Promise<number> {
    let freed = 0;
    for (const [sha256, sinceMs] of since) {
      if (closed) break;
      if (now() - sinceMs < graceMs) continue;
      since.delete(sha256);
      if (store.names(sha256)) continue;
      try {
        await store.remove(sha256);
      } catch (error) {
        since.set(sha256, sinceMs); // the next sweep tries again
        throw error;
      }
      freed++;
    }
    await store.tidy();
    if (freed > 0) log.info("freed bodies that no manifest names", { bodies: freed });
    return freed;
  }

  function run<T>(work: () => Promise<T>): Promise<T | void> {
    return work().catch((error) => log.error("cannot sweep", { error }));
  }

  const timer = setInterval(() => {
    running = running.then(() => run(sweepDue));
  }, Math.max(1000, Math.min(graceMs, 60_000)));
  Deno.unrefTimer(timer);

  return {
    touch(sha256) {
      since.delete(sha256);
      since.set(sha256, now());
    },
    named: (sha256) => void since.delete(sha256),
    sweep() {
      const swept = running.then(sweepDue);
      running = swept.catch(() => {});
      return swept;
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      clearInterval(timer);
      await running;
    },
  };
}
