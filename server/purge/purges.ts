/**
 * What the rest of a server sees of purging: what came of a purge everywhere, and whether what is stored here may be
 * served. `README.md` says why a server that was away cannot serve what it should have purged.
 */
import { create } from "@bufbuild/protobuf";
import { CdnError, formatVersion, type HybridClock, versionToWire, wire } from "../../proto/mod.ts";
import type { Purging } from "../cluster/ports.ts";
import { Slots } from "../cluster/slots.ts";
import type { Surroundings } from "../cluster/surroundings.ts";
import { Applier } from "./applier.ts";
import { CatchUp } from "./catch_up.ts";
import { deliver } from "./deliver.ts";
import { Gate } from "./gate.ts";
import type { PurgeMembers } from "./members.ts";
import { beginAt } from "./outcome.ts";
import { answerFrom } from "./pull.ts";
import { noCache, type Purge, type Purgeable, purgeFromWire, purgeToWire, selectionOf } from "./purge.ts";
import type { PurgeLog } from "./purge_log.ts";
import { type PurgeSettings, purgeSettings } from "./settings.ts";
import { parseStamp, stampText } from "./stamp.ts";

/** The purges of one server. */
export interface Purges extends Purging, AsyncDisposable {
  /**
   * Begins: asks the others for what was missed, and goes on to compare with them.
   * @param options.expectsOthers there are others, though none may be on the list yet
   */
  start(members: PurgeMembers, options: { expectsOthers: boolean }): void;
  /**
   * Purges here and on every server of the list. Resolves when each has acknowledged, or has had its time.
   * @throws {CdnError} 507 where it could not be written down here: then nobody was told.
   */
  purge(request: wire.PurgeRequest): Promise<wire.PurgeReport>;

  /** Until when nothing may be served from the cache; null where it may. */
  readonly waiting: Promise<void> | null;
  /** Responses that came before this (milliseconds since 1970) count as stale, for purges may be missing; 0: none. */
  readonly staleBeforeMs: number;

  /** What we tell a sibling that we ask, so that it gives us nothing that we know to be purged. */
  stamp(): string;
  /**
   * As {@link waiting}, for a request with such a stamp (null: it has none).
   * It rejects with a `CdnError` 503 where the sibling knows purges that we cannot get.
   */
  waitingFor(stamp: string | null): Promise<void> | null;

  /** Ends what is under way. */
  close(): Promise<void>;
}

/** What purges are made from. */
export interface PurgesOptions extends Omit<Surroundings, "signal"> {
  /** Our id. */
  self: string;
  clock: HybridClock;
  /** It owns it. */
  ledger: PurgeLog;
  /** None unless given. */
  cache?: Purgeable;
  /** Milliseconds that never go back. */
  tick?: () => number;
  settings?: Partial<PurgeSettings>;
}

/**
 * The purges of one server, with or without a cache.
 * @throws {RangeError} for wrong settings.
 */
export function createPurges(options: PurgesOptions): Purges {
  return new RunningPurges(options);
}

class RunningPurges implements Purges {
  readonly #options: PurgesOptions;
  readonly #settings: PurgeSettings;
  readonly #tick: () => number;
  readonly #gate = new Gate();
  readonly #stop = new AbortController();
  readonly #applier: Applier;
  /** Once it is started. */
  #members: PurgeMembers | null = null;
  #catchUp: CatchUp | null = null;
  #closed: Promise<void> | null = null;

  constructor(options: PurgesOptions) {
    this.#options = options;
    this.#settings = purgeSettings(options.settings);
    this.#tick = options.tick ?? (() => performance.now());
    this.#applier = new Applier({
      ...options,
      cache: options.cache ?? noCache,
      onFailure: () => this.#catchUp?.distrust(),
    });
    this.#gate.close();
  }

  get waiting(): Promise<void> | null {
    return this.#gate.waiting;
  }

  get staleBeforeMs(): number {
    return this.#gate.staleBeforeMs;
  }

  start(members: PurgeMembers, { expectsOthers }: { expectsOthers: boolean }): void {
    if (this.#members || this.#stop.signal.aborted) throw new TypeError("purges are started once");
    this.#members = members;
    this.#catchUp = new CatchUp({
      ...this.#options,
      members,
      expectsOthers,
      applier: this.#applier,
      hasCache: this.#options.cache !== undefined && this.#options.cache !== noCache,
      gate: this.#gate,
      settings: this.#settings,
      signal: this.#stop.signal,
    });
  }

  async purge(request: wire.PurgeRequest): Promise<wire.PurgeReport> {
    const { members } = this.#requireOpen();
    const { self, clock, now, log } = this.#options;
    const { signal } = this.#stop;
    const begun = this.#tick();
    const purge: Purge = { version: clock.next(now()), selection: selectionOf(request), soft: request.soft };
    this.#applier.record(purge);
    const order = create(wire.PurgeOrderSchema, { from: self, purge: purgeToWire(purge) });
    const slots = new Slots(this.#settings.atOnce);
    const delivering = { ...this.#options, members, settings: this.#settings, tick: this.#tick, signal };
    const outcomes = await Promise.all([
      this.#purgeHere(purge),
      ...members.servers().filter(({ id }) => id !== self).map(async ({ id, url, health }) => {
        using _slot = await slots.acquire(signal);
        return await deliver(order, { id, url, state: health?.state ?? "unknown" }, delivering);
      }),
    ]);
    const tookMs = this.#tick() - begun;
    const missing = outcomes.filter(({ acknowledged }) => !acknowledged).map(({ id }) => id);
    log[missing.length > 0 ? "warn" : "info"]("purged", {
      version: formatVersion(purge.version),
      ms: Math.round(tookMs),
      missing,
    });
    return create(wire.PurgeReportSchema, { version: versionToWire(purge.version), members: outcomes, tookMs });
  }

  async take({ purge }: wire.PurgeOrder): Promise<wire.PurgeTaken> {
    this.#requireOpen();
    const removed = await this.#applier.take(purgeFromWire(purge!));
    return create(wire.PurgeTakenSchema, { removed: BigInt(removed) });
  }

  list(question: wire.PurgesQuestion): wire.PurgesPage {
    const { catchUp } = this.#requireOpen();
    const { from: id, ownLog: log, ownHead: head } = question;
    // It may have been away, or have heard what we did not.
    if (log !== "" && !catchUp.hasRead({ id, log, head: Number(head) })) catchUp.met(id);
    return answerFrom(this.#options.ledger, question, catchUp.isCurrent);
  }

  met(id: string): void {
    this.#catchUp?.met(id);
  }

  back(): void {
    this.#catchUp?.absent();
  }

  stamp(): string {
    const { self, ledger } = this.#options;
    return stampText({ id: self, log: ledger.id, head: ledger.head });
  }

  waitingFor(text: string | null): Promise<void> | null {
    const stamp = text === null ? null : parseStamp(text);
    if (!this.#catchUp || !stamp || stamp.id === this.#options.self || this.#catchUp.hasRead(stamp)) {
      return this.#gate.waiting;
    }
    return this.#catchUp.read(stamp);
  }

  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  async #close(): Promise<void> {
    this.#stop.abort(closing());
    this.#gate.open(this.#gate.staleBeforeMs);
    await this.#catchUp?.ended();
    await this.#applier.ended();
    this.#options.ledger.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #purgeHere(purge: Purge): Promise<wire.PurgeOutcome> {
    const begun = beginAt({ id: this.#options.self, state: "self" }, this.#tick);
    try {
      return begun.acknowledged(BigInt(await this.#applier.take(purge)));
    } catch (error) {
      return begun.failed(error);
    }
  }

  #requireOpen(): { members: PurgeMembers; catchUp: CatchUp } {
    if (!this.#members || !this.#catchUp || this.#stop.signal.aborted) throw closing();
    return { members: this.#members, catchUp: this.#catchUp };
  }
}

function closing(): CdnError {
  return new CdnError("This server is not ready, or is closing", {
    source: "server",
    status: 503,
    retry: true,
    retryAfterSeconds: 2,
  });
}
