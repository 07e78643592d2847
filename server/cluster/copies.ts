/** How many servers hold a manifest on disk, and waiting until enough do. */
import { CdnError, compareVersions, type Manifest } from "../../proto/mod.ts";
import type { Holders } from "./holders.ts";
import type { Schedule } from "./wake.ts";

/** What counting works with. */
export interface CopiesOptions {
  holders: Holders;
  /** The other servers whose copies count: origins on the list that are not being drained. */
  counted: () => readonly string[];
  /** 1 where our own copy counts, 0 where not (an edge). */
  own: () => number;
  /** How many copies an acknowledged write has. */
  least: () => number;
  waitMs: number;
  schedule: Schedule;
  signal: AbortSignal;
}

/** A write that waits for its copies. */
interface Waiting {
  manifest: Manifest;
  /** We have taken it back: whatever others know, it is not this. */
  withdrawn: boolean;
}

/** Counts copies. */
export class Copies {
  readonly #options: CopiesOptions;
  readonly #waiting = new Map<() => void, Waiting>();

  constructor(options: CopiesOptions) {
    this.#options = options;
  }

  /** Servers that are known to hold this very version on disk; ourselves among them. */
  count(manifest: Manifest): number {
    const { holders, counted, own } = this.#options;
    return own() + counted().filter((id) => holders.has(id, manifest)).length;
  }

  /** A server said that it holds something, or the list changed. */
  changed(): void {
    for (const look of [...this.#waiting.keys()]) look();
  }

  /** A server knows just what we know, and lacks nothing of it. */
  confirm(id: string): void {
    for (const { manifest } of this.#waiting.values()) this.#options.holders.note(id, manifest);
    this.changed();
  }

  /** Something newer of a path is here now: whoever waits for copies of an older version waits for copies of this. */
  replaced(newer: Manifest): void {
    for (const waiting of this.#waiting.values()) {
      const { manifest } = waiting;
      if (manifest.path === newer.path && compareVersions(manifest.version, newer.version) < 0) {
        waiting.manifest = newer;
      }
    }
  }

  /** A version was taken back here: nobody may be told that it is safe. */
  withdraw({ path, version }: Manifest): void {
    for (const [look, waiting] of [...this.#waiting]) {
      if (waiting.manifest.path !== path || compareVersions(waiting.manifest.version, version) !== 0) continue;
      waiting.withdrawn = true;
      look();
    }
  }

  /**
   * Resolves with the number of copies once they are enough.
   * @throws {CdnError} 503 where they are not in time: the write is kept and goes on spreading, but it is not
   * acknowledged.
   */
  async secure(manifest: Manifest): Promise<number> {
    const { least, waitMs, schedule, signal } = this.#options;
    const waiting = { manifest, withdrawn: false };
    const enough = () => !waiting.withdrawn && this.count(waiting.manifest) >= least();
    if (!enough()) {
      await new Promise<void>((resolve) => {
        const end = () => {
          cancel();
          this.#waiting.delete(look);
          signal.removeEventListener("abort", end);
          resolve();
        };
        const look = () => (enough() || waiting.withdrawn) && end();
        const cancel = schedule(end, waitMs);
        this.#waiting.set(look, waiting);
        signal.addEventListener("abort", end);
      });
    }
    const copies = this.count(waiting.manifest);
    if (enough()) return copies;
    throw new CdnError(
      `Cannot acknowledge ${
        manifest.path.slice(0, 200)
      }: ${copies} of ${least()} servers that must hold it do so far; ` +
        "it is kept here and goes on spreading",
      { source: "server", status: 503, retry: true, retryAfterSeconds: 5, headers: { "metacdn-copies": `${copies}` } },
    );
  }
}
