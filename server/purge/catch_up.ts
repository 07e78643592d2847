/**
 * What this server missed: at its start, and after it was cut off, it learns that from the others before it serves from
 * its cache; and now and then it compares with one of them.
 */
import { CdnError, type wire } from "../../proto/mod.ts";
import { jittered } from "../../runtime/jitter.ts";
import { backoffMs } from "../cluster/settings.ts";
import { Slots } from "../cluster/slots.ts";
import type { Surroundings } from "../cluster/surroundings.ts";
import { Tasks } from "../cluster/tasks.ts";
import { Wake } from "../cluster/wake.ts";
import type { Applier } from "./applier.ts";
import type { Gate } from "./gate.ts";
import type { PurgeMembers } from "./members.ts";
import { Puller } from "./pull.ts";
import type { PurgeLog } from "./purge_log.ts";
import type { PurgeSettings } from "./settings.ts";
import type { Stamp } from "./stamp.ts";

/** What catching up works with. */
export interface CatchUpOptions extends Surroundings {
  self: string;
  ledger: PurgeLog;
  members: PurgeMembers;
  /** There are others, though none may be on the list yet. */
  expectsOthers: boolean;
  applier: Pick<Applier, "take" | "takeEverything" | "settle">;
  gate: Gate;
  hasCache: boolean;
  settings: PurgeSettings;
}

/** Times that the wait between two rounds of questions may be longer than that between two tries of one purge. */
const PATIENCE = 10;
/** Between two readings of one log for those who wait for it: a client may pose as a sibling again and again. */
const REST_MS = 50;

/** Runs by itself until the signal aborts. */
export class CatchUp {
  readonly #options: CatchUpOptions;
  readonly #puller: Puller;
  readonly #wake: Wake;
  readonly #tasks = new Tasks();
  /** When each log was last read for somebody who waits. */
  readonly #readMs = new Map<string, number>();
  /** Nothing that others know is missing here, as far as we know. */
  #current = false;
  /** How often something may have been missed: a round that began before does not count. */
  #absences = 0;

  constructor(options: CatchUpOptions) {
    this.#options = options;
    this.#wake = new Wake(options.schedule);
    this.#puller = new Puller(options);
    this.absent();
    this.#run(this.#loop());
  }

  /** True where nothing that others know is missing here, as far as we know. */
  get isCurrent(): boolean {
    return this.#current;
  }

  /** Something may have been missed: closes the gate until we know what the others know, or the time is over. */
  absent(): void {
    const { gate, hasCache, settings, schedule, signal, now, log } = this.#options;
    this.#current = false;
    const absence = ++this.#absences;
    gate.close();
    const end = () => {
      signal.removeEventListener("abort", end);
      cancel();
      if (this.#current || absence !== this.#absences || signal.aborted) return;
      gate.open(now());
      log[hasCache ? "warn" : "debug"](
        "nobody tells yet which purges were missed here: what is cached counts as stale",
      );
    };
    const cancel = schedule(end, settings.startMs);
    signal.addEventListener("abort", end);
    this.#wake.call();
  }

  /** The cache still holds what it should not: nothing in it is trusted until it has been purged. */
  distrust(): void {
    const { gate, now } = this.#options;
    gate.open(now());
    if (!this.#current) return;
    this.#current = false;
    this.#wake.call();
  }

  /** A server is there again, or knows something that we do not. */
  met(id: string): void {
    if (!this.#current) return this.#wake.call();
    const member = this.#other(id);
    if (!member || this.#puller.isReading(id)) return;
    this.#run(this.#puller.pull(member).catch((error) => this.#passOver(error)));
  }

  /** True where we know all that stands in a server's log up to a place. */
  hasRead({ id, log, head }: Stamp): boolean {
    const cursor = this.#options.ledger.cursor(id);
    return head === 0 || (cursor?.log === log && cursor.place >= head);
  }

  /** Resolves when we know that. @throws {CdnError} 503 where it cannot be learnt. */
  async read(stamp: Stamp): Promise<void> {
    await this.#options.gate.waiting;
    const member = this.#other(stamp.id);
    // Twice: the first may join a reading that began before.
    for (let tries = 0; member && tries < 2 && !this.hasRead(stamp); tries++) {
      await this.#rest(stamp.id);
      await this.#puller.pull(member).catch(() => {});
      this.#readMs.set(stamp.id, this.#options.now());
    }
    if (this.hasRead(stamp)) return;
    throw new CdnError(`Cannot answer ${stamp.id}: it knows purges that are not known here`, {
      source: "server",
      status: 503,
      retry: true,
      retryAfterSeconds: 1,
    });
  }

  /** Resolves when nothing runs any more; the signal must have been aborted. */
  async ended(): Promise<void> {
    await this.#tasks.ended();
  }

  async #rest(id: string): Promise<void> {
    const { now, schedule, signal } = this.#options;
    const sinceMs = now() - (this.#readMs.get(id) ?? -Infinity);
    if (sinceMs >= 0 && sinceMs < REST_MS) await new Wake(schedule).sleep(REST_MS - sinceMs, signal);
  }

  async #loop(): Promise<void> {
    const { random, settings, signal, gate } = this.#options;
    const { reconcileMs, backoff } = settings;
    for (let failures = 0; !signal.aborted;) {
      if (this.#current) await this.#compare().catch((error) => this.#passOver(error));
      else {
        const absences = this.#absences;
        const isCaughtUp = await this.#round().catch((error) => this.#passOver(error));
        failures = isCaughtUp ? 0 : failures + 1;
        if (isCaughtUp && absences === this.#absences && !signal.aborted) {
          this.#current = true;
          this.#saveCurrent();
          gate.open(0);
        }
      }
      const patience = { ...backoff, mostMs: backoff.mostMs * PATIENCE };
      await this.#wake.sleep(
        this.#current ? jittered(reconcileMs, random) : backoffMs(failures, patience, random),
        signal,
      );
    }
  }

  /** True where nothing can be missing any more: a server that misses nothing told us all, or every server did. */
  async #round(): Promise<boolean> {
    const { self, members, ledger, expectsOthers, applier, settings, schedule, signal, now } = this.#options;
    if (ledger.currentMs === 0) { // it is new: what the one before it knew of the cache, nobody can say
      await applier.takeEverything();
      ledger.saveCurrent(now());
    }
    if (!await applier.settle()) return false;
    const others = members.servers().filter(({ id }) => id !== self);
    if (others.length === 0) return !expectsOthers;
    const slots = new Slots(settings.atOnce);
    const told = others.map(async (other) => {
      using _slot = await slots.acquire(signal);
      return await this.#puller.pull(other);
    });
    const all = Promise.allSettled(told);
    const enough = Promise.any(told.map(async (one) => {
      if (!await one) throw new TypeError("it may have missed something itself");
    }));
    // What one of them never heard, another may still tell.
    const grace = enough.then(() => new Wake(schedule).sleep(settings.graceMs, signal), () => all);
    this.#run(all);
    const results = await Promise.race([all, grace]);
    if (!results) return true;
    return results.some((one) => one.status === "fulfilled" && one.value) ||
      results.every(({ status }) => status === "fulfilled");
  }

  /** With a random other server. */
  async #compare(): Promise<void> {
    const { self, members, ledger, now, random } = this.#options;
    ledger.prune(now());
    const others = members.servers().filter(({ id }) => id !== self);
    if (others.length === 0) return this.#saveCurrent();
    const alive = others.filter(({ health }) => health?.state !== "dead");
    const other = alive[Math.floor(random() * alive.length)];
    if (other && await this.#puller.pull(other) && this.#current) this.#saveCurrent();
  }

  #saveCurrent(): void {
    const { ledger, now } = this.#options;
    try {
      ledger.saveCurrent(now());
    } catch (error) {
      this.#passOver(error); // the next time will do
    }
  }

  #other(id: string): wire.Server | null {
    const { self, members } = this.#options;
    return members.servers().find((server) => server.id === id && id !== self) ?? null;
  }

  /** One server that did not answer is no news: who fares how, gossip says. */
  #passOver(error: unknown): false {
    const isNews = !(error instanceof CdnError && error.source === "peer");
    if (isNews && !this.#options.signal.aborted) {
      this.#options.log.warn("cannot learn purges from others now", { error });
    }
    return false;
  }

  #run(work: Promise<unknown>): void {
    this.#tasks.run(work, (error) => this.#options.log.error("catching up with purges failed", { error }));
  }
}
