/** One purge on this server: written down, and then done; each once, however often it comes. */
import { CdnError, formatVersion } from "../../proto/mod.ts";
import type { Logger } from "../../runtime/log.ts";
import { words } from "../../runtime/words.ts";
import { everything, type Purge, type Purgeable } from "./purge.ts";
import type { PurgeLog } from "./purge_log.ts";

/** What applying works with. */
export interface ApplierOptions {
  ledger: PurgeLog;
  cache: Purgeable;
  now: () => number;
  log: Logger;
  /** What should be gone is still in the cache. */
  onFailure: () => void;
}

/** The purges that are under way. */
export class Applier {
  readonly #options: ApplierOptions;
  /** By their stamps. */
  readonly #running = new Map<string, Promise<number>>();

  constructor(options: ApplierOptions) {
    this.#options = options;
  }

  /** Durable when it returns. @throws {CdnError} 507 */
  record(purge: Purge): void {
    const { ledger, now } = this.#options;
    ledger.add(purge, now());
  }

  /**
   * Resolves when it was written down and the cache has none of it any more. What cannot be written down is done all
   * the same, and is then an error.
   * @returns how many stored responses it meant
   * @throws {CdnError} where it could not be written down, or done
   */
  take(purge: Purge): Promise<number> {
    const name = formatVersion(purge.version);
    const running = this.#running.get(name);
    if (running) return running;
    const removed = this.#options.ledger.removed(purge.version);
    if (removed !== null) return Promise.resolve(removed);
    const applying = this.#apply(purge).finally(() => this.#running.delete(name));
    this.#running.set(name, applying);
    return applying;
  }

  /** Empties the cache. @returns how many stored responses there were */
  async takeEverything(): Promise<number> {
    return await this.#options.cache.purge(everything, { soft: false });
  }

  /** What was written down and not done, by a process that ended or because the cache failed. False where it still does. */
  async settle(): Promise<boolean> {
    try {
      for (const purge of this.#options.ledger.unsettled()) await this.take(purge);
      return true;
    } catch {
      return false; // it was logged
    }
  }

  /** Resolves when nothing is under way. */
  async ended(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running.values());
  }

  async #apply(purge: Purge): Promise<number> {
    const { ledger, cache, log, onFailure } = this.#options;
    let unwritten: { error: unknown } | null = null;
    try {
      this.record(purge);
    } catch (error) {
      unwritten = { error };
    }
    let removed: number;
    try {
      removed = await cache.purge(purge.selection, { soft: purge.soft });
    } catch (cause) {
      log.error("cannot purge the cache: what it holds counts as stale", { error: cause });
      onFailure();
      const message = `Cannot purge the cache here: ${words(cause)}`;
      throw new CdnError(message, { source: "server", status: 503, retry: true, cause });
    }
    if (unwritten) throw unwritten.error;
    ledger.settle(purge.version, removed);
    return removed;
  }
}
