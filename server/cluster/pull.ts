/**
 * Brings bodies here by their digest. One flight per digest, however many ask; at most so many at once.
 * What broke off goes on where it stood, also after a restart: the bytes wait in `partial/<sha256>`.
 * Nothing is taken before the store has verified it as a whole.
 */
import { join } from "@std/path";
import { CdnError } from "../../proto/mod.ts";
import type { Logger } from "../../runtime/log.ts";
import type { PeerClient } from "../../runtime/peer_client.ts";
import type { Store } from "../store/store.ts";
import type { Health } from "./health.ts";
import type { Members } from "./members.ts";
import { backoffMs, type ClusterSettings } from "./settings.ts";
import { Slots } from "./slots.ts";
import { lengthOf, transfer } from "./transfer.ts";
import { type Schedule, Wake } from "./wake.ts";

/** What a puller works with. */
export interface PullerOptions {
  store: Pick<Store, "stage">;
  members: Pick<Members, "get">;
  health: Pick<Health, "faulty" | "faultless">;
  peers: PeerClient;
  settings: ClusterSettings;
  random: () => number;
  schedule: Schedule;
  log: Logger;
  signal: AbortSignal;
  /** Where the beginnings of bodies lie; on the store's own disk. */
  folder: string;
}

interface Flight {
  size: number;
  /** Ids of servers that offered the body. */
  sources: Set<string>;
  done: Promise<void>;
}

/** Bytes that a try must bring to count as one that got on. */
const PROGRESS = 64 << 10;
/** Beginnings that nobody went on with for so long are thrown away at the start. */
const STALE_MS = 3 * 24 * 3_600_000;

/** Pulls bodies into the store. */
export class Puller {
  readonly #options: PullerOptions;
  readonly #flights = new Map<string, Flight>();
  readonly #slots: Slots;
  /** Large bodies leave one place to the others. */
  readonly #largeSlots: Slots;

  constructor(options: PullerOptions) {
    this.#options = options;
    this.#slots = new Slots(options.settings.pullsAtOnce);
    this.#largeSlots = new Slots(Math.max(1, options.settings.pullsAtOnce - 1));
  }

  /** Makes the folder, and throws away beginnings that nobody went on with. */
  async prepare(nowMs: number): Promise<void> {
    const { folder } = this.#options;
    await Deno.mkdir(folder, { recursive: true });
    for await (const { name } of Deno.readDir(folder)) {
      const file = join(folder, name);
      const { mtime } = await Deno.stat(file);
      if (nowMs - (mtime?.getTime() ?? 0) > STALE_MS) await Deno.remove(file);
    }
  }

  /**
   * Resolves when the store holds the body. A further source for a body that is on its way ({@link alsoAt})
   * is tried where the first one fails.
   * @param source id of a server that says that it holds the body
   * @throws {CdnError} source "peer" where nobody could give it, with `retry` where only the link is to
   * blame; 507 where there is no room; the signal's reason where the server closes.
   */
  async pull(sha256: string, size: number, source: string): Promise<void> {
    for (let flight; (flight = this.#flights.get(sha256));) {
      if (flight.size === size) {
        flight.sources.add(source);
        return await flight.done;
      }
      // One of the two sizes is wrong: this one has its turn when the other is through.
      await flight.done.catch(() => {});
    }
    const flight: Flight = { size, sources: new Set([source]), done: Promise.resolve() };
    flight.done = this.#fly(sha256, flight).finally(() => this.#flights.delete(sha256));
    this.#flights.set(sha256, flight);
    await flight.done;
  }

  /** Another server that holds a body that is on its way; of no effect where it is not. */
  alsoAt(sha256: string, size: number, source: string): void {
    const flight = this.#flights.get(sha256);
    if (flight?.size === size) flight.sources.add(source);
  }

  async #fly(sha256: string, flight: Flight): Promise<void> {
    const { settings, signal, store } = this.#options;
    if (flight.size === 0) {
      await store.stage((async function* () {})(), { sha256, size: 0 });
      return;
    }
    using _large = flight.size < settings.largeBytes ? null : await this.#largeSlots.acquire(signal);
    using _slot = await this.#slots.acquire(signal);
    const file = join(this.#options.folder, sha256);
    try {
      await this.#bring(sha256, flight, file);
    } catch (error) {
      // Where there is no room, an unfinished body must not take what is left.
      if (error instanceof CdnError && error.status === 507) await discard(file);
      throw error;
    }
  }

  async #bring(sha256: string, flight: Flight, file: string): Promise<void> {
    const { peers, settings, random, schedule, signal, members, health } = this.#options;
    const wake = new Wake(schedule);
    /** Sources that are of no use for this body. */
    const useless = new Set<string>();
    /** Who gave the bytes in the file; "" for those of an earlier run. */
    let givers = new Set(await lengthOf(file) > 0 ? [""] : []);
    let mixing = true;
    let reason = "no server that is known offers it";
    let failures = 0;
    for (let turn = 0; failures < settings.pullTries;) {
      signal.throwIfAborted();
      const sources = [...flight.sources].filter((id) => !useless.has(id) && members.get(id));
      const id = sources[turn % Math.max(1, sources.length)];
      if (id === undefined) break;
      if (!mixing && !givers.has(id)) {
        await discard(file);
        givers = new Set();
      }
      const before = await lengthOf(file);
      const url = members.get(id)!.url;
      const end = await transfer(peers, { url, sha256, size: flight.size, file, idleMs: settings.pullIdleMs, signal });
      const gained = await lengthOf(file) - before;
      if (gained > 0) givers.add(id);
      if (end.kind === "whole") {
        if (await this.#stage(sha256, flight.size, file)) return health.faultless(id, sha256);
        reason = `the bytes are not those of ${sha256}`;
        if (givers.size > 1 || givers.has("")) mixing = false; // somebody's bytes are wrong: now one at a time
        else {
          useless.add(id);
          this.#blame(id, sha256, reason);
        }
        givers = new Set();
        continue;
      }
      signal.throwIfAborted();
      reason = end.reason;
      if (end.kind === "false") {
        await discard(file);
        givers = new Set();
        this.#blame(id, sha256, reason);
      }
      if (end.kind !== "broken") {
        useless.add(id);
        continue;
      }
      failures = gained >= PROGRESS ? 0 : failures + 1;
      if (failures > 0) {
        turn++;
        if (!mixing) useless.add(id); // else two sources that break off could take turns for ever
      }
      await wake.sleep(backoffMs(failures + 1, settings.backoff, random), signal);
    }
    throw new CdnError(`Cannot get the body: ${reason}`, { source: "peer", retry: failures > 0 });
  }

  /** False, and the file is gone, where it is not the body. */
  async #stage(sha256: string, size: number, file: string): Promise<boolean> {
    try {
      await this.#options.store.stage({ file }, { sha256, size });
      await discard(file); // where the store copied it, or held the body already
      return true;
    } catch (error) {
      if (!(error instanceof CdnError) || error.status !== 400) throw error;
      await discard(file);
      return false;
    }
  }

  #blame(id: string, sha256: string, reason: string): void {
    this.#options.log.warn("a server sent a wrong body", { id, sha256, reason });
    this.#options.health.faulty(id, sha256, reason);
  }
}

async function discard(file: string): Promise<void> {
  try {
    await Deno.remove(file);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
