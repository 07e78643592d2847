/**
 * Brings what is known and not held: in the background, from several servers at once, for as long as anything is
 * wanted. What is asked for by somebody who waits ({@link Filler.bring}) goes before; both share one flight a body.
 */
import { CdnError, formatVersion, type Manifest } from "../../proto/mod.ts";
import { words } from "../../runtime/words.ts";
import type { WantedTable } from "./ports.ts";
import type { Puller } from "./pull.ts";
import { backoffMs, type ClusterSettings } from "./settings.ts";
import { isFull, SMALL_BYTES } from "./small_bodies.ts";
import type { Surroundings } from "./surroundings.ts";
import { Wake } from "./wake.ts";

/** What a filler works with. */
export interface FillerOptions extends Surroundings {
  wanted: WantedTable;
  puller: Pick<Puller, "pull" | "alsoAt" | "together">;
  /** The body was staged: makes visible what names it. */
  settle: (sha256: string) => Promise<unknown>;
  settings: ClusterSettings;
  /** Nobody who could be asked has the body. */
  onMissing: (manifest: Manifest) => void;
}

/** Why a wanted object could not be had, and when it is tried again. */
interface Failure {
  version: string;
  reason: string;
  times: number;
  dueMs: number;
}

/** Failures that are remembered; what is beyond them is simply tried again. */
const MOST_FAILURES = 10_000;
const PAGE = 256;
/** Requests for several bodies at once: while one is written, the next one comes. */
const SHARED_LANES = 2;
/** Between two words about how much is left. */
const TELL_MS = 10_000;
/** Between two looks at the whole table. */
const LEAST_PAUSE_MS = 20;

/** Fills a server. */
export class Filler {
  readonly #options: FillerOptions;
  readonly #wake: Wake;
  readonly #failures = new Map<string, Failure>();
  /** Bodies that are being brought. */
  readonly #running = new Set<string>();
  /** What brings them: one body each, or several small ones together. */
  readonly #lanes = new Set<Promise<void>>();
  readonly #sharedLanes = new Set<Promise<void>>();
  /** Small bodies that will be asked for together. */
  #gathered: Manifest[] = [];
  #gatheredBytes = 0;
  #loop: Promise<void> = Promise.resolve();
  #toldMs = -Infinity;
  /** Bytes that may be fetched in the background before a pause, and as of when. */
  #allowance = 0;
  #allowedMs: number;

  constructor(options: FillerOptions) {
    this.#options = options;
    this.#wake = new Wake(options.schedule);
    this.#allowedMs = options.now();
  }

  start(): void {
    this.#loop = this.#run();
  }

  /** Something is wanted, or a server can be reached again: what failed may go well now. */
  changed(again = false): void {
    if (again) { for (const failure of this.#failures.values()) failure.dueMs = 0; }
    this.#wake.call();
  }

  /**
   * Brings the body of a manifest now; resolves when it is here and visible.
   * @throws {CdnError} as `Puller.pull` does.
   */
  async bring(manifest: Manifest, ...hints: string[]): Promise<void> {
    const { puller, settle, onMissing } = this.#options;
    const { path, version, sha256, size } = manifest;
    try {
      await puller.pull(sha256, size, ...hints);
      await settle(sha256);
      this.#failures.delete(path);
      this.#tell();
    } catch (error) {
      this.#failed(path, formatVersion(version), error);
      if (error instanceof CdnError && error.source === "peer" && !error.retry) onMissing(manifest);
      throw error;
    }
  }

  /**
   * Begins to bring the small ones among several by few requests; each is then to be brought by {@link bring}. Resolves
   * when none of them is on its way any more.
   * @param options.hints ids of servers that say that they hold all of them
   * @param options.given bodies that came unasked, by digest
   */
  async together(manifests: readonly Manifest[], options: Parameters<Puller["together"]>[1]): Promise<void> {
    const asked: Promise<void>[] = [];
    let group: Manifest[] = [];
    let bytes = 0;
    const ask = () => {
      asked.push(this.#options.puller.together(group, options));
      [group, bytes] = [[], 0];
    };
    for (const manifest of manifests) {
      if (manifest.size > SMALL_BYTES) continue;
      if (isFull(group.length, bytes, manifest.size)) ask();
      group.push(manifest);
      bytes += manifest.size;
    }
    ask();
    await Promise.all(asked);
  }

  /** Another server that holds a body that is on its way. */
  alsoAt({ sha256, size }: Manifest, source: string): void {
    this.#options.puller.alsoAt(sha256, size, source);
  }

  /** Why an object could not be had; "" where nobody failed. */
  reason(path: string): string {
    return this.#failures.get(path)?.reason ?? "";
  }

  /** Resolves when nothing of it runs any more; the signal must have been aborted. */
  async ended(): Promise<void> {
    await this.#loop;
    await Promise.allSettled(this.#lanes);
  }

  async #run(): Promise<void> {
    const { wanted, settings, signal, log, random } = this.#options;
    const pause = new Wake(this.#options.schedule);
    let errors = 0;
    while (!signal.aborted) {
      let waitMs = settings.scanMs;
      try {
        let after = 0;
        for (let page; !signal.aborted && (page = wanted.next(after, PAGE)).length > 0;) {
          for (const { manifest, place } of page) {
            after = place;
            waitMs = Math.min(waitMs, await this.#consider(manifest));
            if (signal.aborted) break;
          }
        }
        await this.#bringGathered();
        errors = 0;
      } catch (error) {
        if (signal.aborted) return;
        log.error("cannot read what is wanted", { error });
        waitMs = backoffMs(++errors, settings.backoff, random);
      }
      // What came in while we looked was seen at the table's end; whatever comes later calls. Who called may be about to
      // bring it from where it was offered: he goes first.
      await this.#wake.sleep(waitMs, signal);
      await pause.sleep(LEAST_PAUSE_MS, signal);
    }
  }

  /** Begins to bring one, where it is due and there is a place. @returns when it should be looked at again, in ms */
  async #consider(manifest: Manifest): Promise<number> {
    const { settings, now, signal } = this.#options;
    const { path, sha256, size, version } = manifest;
    if (this.#running.has(sha256)) return settings.scanMs;
    const failure = this.#failures.get(path);
    if (failure && failure.version === formatVersion(version) && failure.dueMs > now()) return failure.dueMs - now();
    await this.#pace(size);
    if (signal.aborted) return 0;
    this.#running.add(sha256);
    // What failed is asked for by itself, and from others.
    if (failure || size > SMALL_BYTES) {
      while (this.#lanes.size >= settings.fillsAtOnce && !signal.aborted) await Promise.race(this.#lanes);
      this.#open([manifest], this.#lanes);
    } else await this.#gather(manifest);
    return settings.scanMs;
  }

  async #gather(manifest: Manifest): Promise<void> {
    if (isFull(this.#gathered.length, this.#gatheredBytes, manifest.size)) await this.#bringGathered();
    this.#gathered.push(manifest);
    this.#gatheredBytes += manifest.size;
  }

  async #bringGathered(): Promise<void> {
    const { puller, signal } = this.#options;
    while (this.#sharedLanes.size >= SHARED_LANES && !signal.aborted) await Promise.race(this.#sharedLanes);
    const gathered = this.#gathered;
    this.#gathered = [];
    this.#gatheredBytes = 0;
    if (gathered.length === 0) return;
    this.#open(gathered, this.#sharedLanes, puller.together(gathered));
  }

  #open(manifests: Manifest[], kind: Set<Promise<void>>, before: Promise<void> = Promise.resolve()): void {
    const bring = (manifest: Manifest) =>
      this.bring(manifest).catch(() => {}).finally(() => this.#running.delete(manifest.sha256));
    const lane = before.then(() => Promise.all(manifests.map(bring))).then(() => {
      this.#lanes.delete(lane);
      this.#sharedLanes.delete(lane);
    });
    this.#lanes.add(lane);
    kind.add(lane);
  }

  /** Waits until so many bytes more are within the rate (a token bucket of one second). */
  async #pace(bytes: number): Promise<void> {
    const { settings: { syncBytesPerSecond: rate }, now, signal } = this.#options;
    if (rate <= 0) return;
    const refill = () => {
      this.#allowance = Math.min(rate, this.#allowance + (now() - this.#allowedMs) * rate / 1000);
      this.#allowedMs = now();
    };
    refill();
    // A body larger than the bucket goes when the bucket is full, and leaves a debt.
    const need = Math.min(bytes, rate);
    // What is within the rate need not wait for what is not.
    if (this.#allowance < need) await this.#bringGathered();
    const pause = new Wake(this.#options.schedule);
    while (this.#allowance < need && !signal.aborted) {
      await pause.sleep((need - this.#allowance) * 1000 / rate, signal);
      refill();
    }
    this.#allowance -= bytes;
  }

  /** Now and then while there is much to do, and once when it is done. */
  #tell(): void {
    const { wanted, log, now } = this.#options;
    if (now() - this.#toldMs < TELL_MS) return;
    const { objects, bytes } = wanted.total();
    if (objects === 0 && this.#toldMs === -Infinity) return;
    this.#toldMs = objects === 0 ? -Infinity : now();
    log.info(objects === 0 ? "all that is known is here" : "filling", objects === 0 ? {} : { objects, bytes });
  }

  #failed(path: string, version: string, error: unknown): void {
    const { settings, now, random, log, signal } = this.#options;
    if (signal.aborted) return;
    const before = this.#failures.get(path);
    const times = before?.version === version ? before.times + 1 : 1;
    const reason = words(error);
    if (before?.reason !== reason || before.version !== version) {
      log.warn("cannot bring an object yet", { path, error: reason });
    }
    const { leastMs, mostMs } = settings.failed;
    const retry = error instanceof CdnError && error.retry;
    // Where only a link was to blame, soon; else at least half of the wait is certain.
    const waitMs = retry
      ? backoffMs(times, settings.backoff, random)
      : Math.min(mostMs, leastMs * 2 ** Math.min(times - 1, 30)) * (0.5 + random() / 2);
    this.#failures.delete(path);
    this.#failures.set(path, { version, reason, times, dueMs: now() + waitMs });
    if (this.#failures.size > MOST_FAILURES) this.#failures.delete(this.#failures.keys().next().value!);
    this.#wake.call();
  }
}
