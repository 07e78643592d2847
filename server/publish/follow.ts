/**
 * Follows a published folder: looks at all of it at the start and now and then (the guarantee), and between at what the
 * system says has changed (the speed). One file at a time, so that requests come first.
 */
import type { Logger } from "../../runtime/log.ts";
import { words } from "../../runtime/words.ts";
import { type Schedule, Wake } from "../cluster/wake.ts";
import type { Publishing, ScanReport } from "./publishing.ts";
import type { Watch } from "./watch.ts";

/** Publishing in the background. */
export interface Publisher {
  /** Begins. */
  start(): void;
  /** Ends; resolves when nothing of it runs any more. */
  close(): Promise<void>;
}

/** No folder is published: absence is an implementation. */
export const noPublisher: Publisher = { start() {}, close: () => Promise.resolve() };

/** What {@link followFolder} works with. */
export interface FollowOptions {
  publishing: Publishing;
  /** Ends it; the publishing goes by the same. */
  stop: AbortController;
  /** False while we may not know yet what is at a path: then nothing is published. */
  isReady: () => boolean;
  watch: Watch;
  /** Between two scans, in milliseconds; more where scans take long. */
  rescanMs: number;
  now: () => number;
  schedule: Schedule;
  log: Logger;
}

/** Scans take at most a tenth of the time. */
const REST_SHARE = 9;
/** How often it is asked whether we know enough to begin. */
const READY_MS = 500;
/** Most names that are remembered; where more change, all is looked at. */
const MOST_CHANGED = 10_000;

/** A follower, which does nothing before it is started. */
export function followFolder(options: FollowOptions): Publisher {
  const follower = new Follower(options);
  let running: Promise<void> | undefined;
  return {
    start: () => void (running ??= follower.run()),
    async close() {
      options.stop.abort();
      await running;
    },
  };
}

class Follower {
  readonly #options: FollowOptions;
  readonly #wake: Wake;
  readonly #changed = new Set<string>();
  #watched: { identity: string; watching: Disposable | null } | null = null;
  #nextScanMs = -Infinity;
  #isFirst = true;

  constructor(options: FollowOptions) {
    this.#options = options;
    this.#wake = new Wake(options.schedule);
  }

  async run(): Promise<void> {
    const { log, now, rescanMs, schedule, stop: { signal } } = this.#options;
    /** What went wrong last, which is said once. */
    let said = "";
    await this.#untilReady();
    while (!signal.aborted) {
      try {
        if (now() >= this.#nextScanMs) await this.#scan();
        else await this.#follow();
        said = "";
      } catch (error) {
        if (signal.aborted) break;
        const message = words(error);
        if (said !== message) log.warn("cannot publish now", { error: message });
        said = message;
        this.#nextScanMs = -Infinity;
        // Changes do not end this pause: the scan after it sees them.
        await new Wake(schedule).sleep(rescanMs, signal);
      }
    }
    this.#unwatch();
  }

  async #untilReady(): Promise<void> {
    const { isReady, log, stop: { signal } } = this.#options;
    for (let asked = 0; !isReady() && !signal.aborted; asked++) {
      if (asked === 1) log.info("publishing waits until it is known what the other servers have");
      await this.#wake.sleep(READY_MS, signal);
    }
  }

  async #scan(): Promise<void> {
    const { publishing, now, rescanMs } = this.#options;
    const began = now();
    this.#changed.clear();
    // Before the scan, so that what changes while it runs is heard of.
    await this.#watch();
    this.#nextScanMs = Infinity; // whoever sets it meanwhile wants another scan
    const report = await publishing.scan();
    const restMs = Math.max(rescanMs, REST_SHARE * (now() - began));
    this.#nextScanMs = Math.min(this.#nextScanMs, now() + restMs);
    if (report) this.#tell(report);
  }

  /** Looks at what has changed, or waits for a change. */
  async #follow(): Promise<void> {
    const { publishing, now, stop: { signal } } = this.#options;
    for (const name of this.#changed) {
      this.#changed.delete(name);
      // It is looked at in its time, however often it changes until then.
      if (!publishing.moving.has(name)) return void await publishing.look(name);
    }
    const { name, nextMs } = publishing.moving.due();
    if (name !== null) await publishing.look(name);
    else await this.#wake.sleep(Math.min(this.#nextScanMs, nextMs) - now(), signal);
  }

  #onChange(name: string | null): void {
    if (name === null || this.#changed.size >= MOST_CHANGED) {
      this.#changed.clear();
      this.#nextScanMs = -Infinity;
    } else this.#changed.add(name);
    this.#wake.call();
  }

  /** Watches the folder that is there now: another one may have been mounted or put in its place. */
  async #watch(): Promise<void> {
    const { publishing, watch, log } = this.#options;
    const folder = await publishing.folder();
    if (folder?.identity === this.#watched?.identity) return;
    this.#unwatch();
    if (!folder) return;
    let watching: Disposable | null = null;
    try {
      watching = watch(folder.root, (name) => this.#onChange(name));
    } catch (error) {
      log.warn("cannot watch the published folder; changes are found by scans alone", { folder: folder.root, error });
    }
    this.#watched = { identity: folder.identity, watching };
  }

  #unwatch(): void {
    this.#watched?.watching?.[Symbol.dispose]();
    this.#watched = null;
  }

  #tell(report: ScanReport): void {
    const { log } = this.#options;
    const { published, deleted, failed } = report;
    if (!this.#isFirst && published + deleted === 0) return;
    this.#isFirst = false;
    const files = Object.values(report).reduce((sum, count) => sum + count, 0) - deleted - report["held back"];
    log.info(`published ${published + report.same} of ${files} files`, {
      written: published,
      deleted,
      waiting: report.moving,
      passedOver: report["passed over"],
      failed,
      heldBack: report["held back"],
    });
  }
}
