/** Reads the logs of other servers: what stands there and not in ours is taken. */
import { create } from "@bufbuild/protobuf";
import { formatVersion, versionFromWire, versionToWire, wire } from "../../proto/mod.ts";
import type { Surroundings } from "../cluster/surroundings.ts";
import type { Applier } from "./applier.ts";
import type { PurgeMembers } from "./members.ts";
import { purgeFromWire, purgeToWire } from "./purge.ts";
import type { PurgeLog } from "./purge_log.ts";
import type { PurgeSettings } from "./settings.ts";

/** What pulling works with. */
export interface PullerOptions extends Pick<Surroundings, "now" | "signal" | "log"> {
  self: string;
  ledger: PurgeLog;
  members: Pick<PurgeMembers, "ask">;
  settings: Pick<PurgeSettings, "askMs">;
  applier: Pick<Applier, "take" | "takeEverything">;
}

/** Stamps in one question. */
const PAGE = 1000;
/** How far two clocks may be apart. */
const SKEW_MS = 10 * 60_000;

/** One reading at a time of each log. */
export class Puller {
  readonly #options: PullerOptions;
  readonly #running = new Map<string, Promise<boolean>>();

  constructor(options: PullerOptions) {
    this.#options = options;
  }

  /** True while a log is being read. */
  isReading(id: string): boolean {
    return this.#running.has(id);
  }

  /**
   * Takes all that another server knows and we do not; joins a reading that is under way.
   * @returns whether that server itself has missed nothing, as far as it knows
   * @throws {CdnError} where it does not answer, or what it knows could not be taken.
   */
  pull(to: { id: string; url: string }): Promise<boolean> {
    let running = this.#running.get(to.id);
    if (!running) {
      running = this.#pull(to).finally(() => this.#running.delete(to.id));
      this.#running.set(to.id, running);
    }
    return running;
  }

  async #pull({ id, url }: { id: string; url: string }): Promise<boolean> {
    const { ledger } = this.#options;
    for (;;) {
      const cursor = ledger.cursor(id) ?? { log: "", place: 0 };
      const page = await this.#ask(url, { log: cursor.log, after: BigInt(cursor.place), limit: PAGE });
      const place = page.log === cursor.log && cursor.place <= page.head ? cursor.place : 0;
      if (place < page.floor) await this.#mindTheGap(Number(page.floorMs), id);
      const lacking = page.versions.filter((version) => ledger.removed(versionFromWire(version)) === null);
      await this.#fetch(url, lacking);
      const next = Number(page.next);
      ledger.saveCursor(id, { log: page.log, place: next });
      if (next >= page.head || next <= place) return page.complete;
    }
  }

  async #fetch(url: string, lacking: wire.Version[]): Promise<void> {
    while (lacking.length > 0) {
      const { purges } = await this.#ask(url, { wanted: lacking });
      const wanted = new Set(lacking.map((version) => formatVersion(versionFromWire(version))));
      const found = purges.map(purgeFromWire).filter(({ version }) => wanted.delete(formatVersion(version)));
      // What it has forgotten since it told us of it, it will not tell the next time either.
      if (found.length === 0) return;
      for (const purge of found) await this.#options.applier.take(purge);
      lacking = lacking.filter((version) => wanted.has(formatVersion(versionFromWire(version))));
    }
  }

  /** Where the other may have forgotten what we missed, nothing that is stored here can be trusted. */
  async #mindTheGap(floorMs: number, from: string): Promise<void> {
    const { ledger, now, log, applier } = this.#options;
    if (ledger.currentMs >= floorMs + SKEW_MS) return;
    const nowMs = now();
    const removed = await applier.takeEverything();
    ledger.saveCurrent(Math.max(nowMs, floorMs + SKEW_MS));
    if (removed === 0) return;
    log.warn("emptied the cache: purges that were missed here may be forgotten elsewhere", { from, removed });
  }

  async #ask(
    url: string,
    question: { log?: string; after?: bigint; limit?: number; wanted?: wire.Version[] },
  ): Promise<wire.PurgesPage> {
    const { self, ledger, members, settings, signal } = this.#options;
    const message = create(wire.PurgesQuestionSchema, {
      from: self,
      ownLog: ledger.id,
      ownHead: BigInt(ledger.head),
      ...question,
    });
    return await members.ask(url, "purges", message, { timeoutMs: settings.askMs, signal });
  }
}

/** What one answer with purges may come to, in characters; one purge is always in it. */
const PAGE_CHARACTERS = 1 << 20;

/** Answers {@link Puller}'s questions. */
export function answerFrom(ledger: PurgeLog, question: wire.PurgesQuestion, complete: boolean): wire.PurgesPage {
  const place = question.log === ledger.id ? Number(question.after) : 0;
  const head = ledger.head;
  const isWanted = question.wanted.length > 0;
  const { versions, next } = isWanted
    ? { versions: [], next: 0 }
    : ledger.after(place <= head ? place : 0, Number(question.limit) || PAGE);
  return create(wire.PurgesPageSchema, {
    log: ledger.id,
    versions: versions.map(versionToWire),
    next: BigInt(next),
    head: BigInt(head),
    floor: BigInt(ledger.floor.place),
    floorMs: BigInt(ledger.floor.ms),
    complete,
    purges: isWanted ? wantedOf(ledger, question.wanted) : [],
  });
}

function wantedOf(ledger: PurgeLog, wanted: readonly wire.Version[]): wire.Purge[] {
  const purges: wire.Purge[] = [];
  let left = PAGE_CHARACTERS;
  for (const version of wanted) {
    const purge = ledger.get(versionFromWire(version));
    if (!purge) continue;
    const { keys, prefixes, tags } = purge.selection;
    left -= [keys, prefixes, tags].flat().reduce((sum, name) => sum + name.length + 8, 64);
    if (left < 0 && purges.length > 0) break;
    purges.push(purgeToWire(purge));
  }
  return purges;
}
