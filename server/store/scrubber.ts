/**
 * Reads all bodies again and again, slowly, so that rot is found while another server still has a good copy.
 * It goes in the order of digests, and where it stands outlives the process.
 */
import { delay } from "@std/async";
import { isDigest } from "../../proto/mod.ts";
import type { Logger } from "../../runtime/log.ts";
import { FOLDERS } from "./bodies.ts";

/** What one pass over all bodies found. */
export interface Scrubbed {
  /** How many were read. */
  bodies: number;
  /** Bytes that were read. */
  bytes: number;
  /** Digests of those that were held once and are not any more: rotten, or their file is gone. */
  rotten: string[];
}

/** What the scrubber asks of the store. */
export interface ScrubbedStore {
  /** What is held, or ought to be, in one of the `FOLDERS`: digests in order. */
  digests(folder: string): string[];
  /**
   * Reads one body; what is rotten is dealt with. Its bytes (null where there is none to read), and whether it is
   * lost. `pace` is awaited with the bytes of each read.
   */
  check(sha256: string, pace: (bytes: number) => Promise<void>): Promise<{ bytes: number | null; lost: boolean }>;
}

/** Waits; rejects when `signal` aborts. */
export type Sleep = (ms: number, signal: AbortSignal) => Promise<void>;

/** How fast, and by what clock. */
export interface ScrubberOptions {
  /** Bytes a second of the work in the background; 0 for none. */
  bytesPerSecond: number;
  /** The file that remembers where it stands. */
  stateFile: string;
  now: () => number;
  sleep?: Sleep;
  log: Logger;
}

/** A scrubber at work. */
export interface Scrubber extends AsyncDisposable {
  /** One whole pass, now and as fast as it goes. */
  scrub(): Promise<Scrubbed>;
}

/** Where a pass stands. */
interface Progress extends Scrubbed {
  startedMs: number;
  /** The last body that was read; empty at the beginning. */
  after: string;
}

/** A pass begins this long after the one before began, or later. */
const PASS_MS = 24 * 3_600_000;
/** How often progress is written down. */
const REMEMBER_MS = 60_000;

/** Begins to scrub in the background, without keeping the process alive. */
export function startScrubber(
  store: ScrubbedStore,
  {
    bytesPerSecond,
    stateFile,
    now,
    log,
    sleep = (ms, signal) => delay(ms, { signal, persistent: false }),
  }: ScrubberOptions,
): Scrubber {
  const closing = new AbortController();

  /** Goes on where `progress` stands, to the end. */
  async function pass(progress: Progress, pace: (bytes: number) => Promise<void>): Promise<void> {
    for (const folder of FOLDERS.slice(parseInt(progress.after.slice(0, 2) || "0", 16))) {
      for (const sha256 of store.digests(folder)) {
        if (sha256 <= progress.after) continue;
        closing.signal.throwIfAborted();
        try {
          const { bytes, lost } = await store.check(sha256, pace);
          if (bytes !== null) progress.bodies++;
          progress.bytes += bytes ?? 0;
          if (lost) progress.rotten.push(sha256);
        } catch (error) {
          closing.signal.throwIfAborted();
          log.warn("cannot scrub a body", { sha256, error });
        }
        progress.after = sha256;
      }
      await pace(0);
    }
  }

  async function forEver(): Promise<void> {
    let progress = await recall(stateFile) ?? begin();
    let rememberedMs = now();
    const pace = async (bytes: number) => {
      await sleep(bytes * 1000 / bytesPerSecond, closing.signal);
      if (now() - rememberedMs < REMEMBER_MS) return;
      rememberedMs = now();
      await remember(stateFile, progress);
    };
    try {
      while (true) {
        await pass(progress, pace);
        // It is marked as done until the next one begins.
        if (progress.after !== DONE) report(progress);
        progress.after = DONE;
        await remember(stateFile, progress);
        await sleep(Math.max(0, progress.startedMs + PASS_MS - now()), closing.signal);
        progress = begin();
      }
    } finally {
      await remember(stateFile, progress);
    }
  }

  const begin = (): Progress => ({ startedMs: now(), after: "", bodies: 0, bytes: 0, rotten: [] });

  function report({ bodies, bytes, rotten }: Scrubbed): void {
    log.info("scrubbed all bodies", { bodies, bytes, rotten: rotten.length });
  }

  let running = bytesPerSecond > 0
    ? forEver().catch((error) => {
      if (!closing.signal.aborted) log.error("cannot scrub", { error });
    })
    : Promise.resolve();

  return {
    scrub() {
      const progress = begin();
      const scrubbed = pass(progress, async () => {}).then(() => {
        report(progress);
        return { bodies: progress.bodies, bytes: progress.bytes, rotten: progress.rotten };
      });
      running = Promise.allSettled([running, scrubbed]).then(() => {});
      return scrubbed;
    },

    async [Symbol.asyncDispose]() {
      closing.abort(new Error("the store is closed"));
      await running;
    },
  };
}

/** Above all digests. */
const DONE = "ff~";

async function recall(file: string): Promise<Progress | null> {
  try {
    const { startedMs, after, bodies, bytes, rotten } = JSON.parse(await Deno.readTextFile(file));
    const sound = [startedMs, bodies, bytes].every(Number.isSafeInteger) && Array.isArray(rotten) &&
      (after === "" || after === DONE || isDigest(after));
    return sound ? { startedMs, after, bodies, bytes, rotten } : null;
  } catch {
    return null; // it is missing or torn: we begin anew
  }
}

/** Not synced, and not insisted on: what is not remembered is read once more. */
async function remember(file: string, progress: Progress): Promise<void> {
  try {
    await Deno.writeTextFile(`${file}.new`, JSON.stringify(progress));
    await Deno.rename(`${file}.new`, file);
  } catch { /* no room */ }
}
