/** Finds out whether a server answers: us, or others in our stead (SWIM §3.1). */
import { CdnError, type wire } from "../../proto/mod.ts";
import { words } from "../../runtime/words.ts";
import type { Members } from "./members.ts";
import type { Network } from "./ports.ts";
import { RoundTrips } from "./round_trips.ts";
import type { Surroundings } from "./surroundings.ts";
import type { Swim } from "./swim.ts";
import type { SwimSettings } from "./swim_settings.ts";
import { Wake } from "./wake.ts";

/** What a probe works with. */
export interface ProberOptions extends Omit<Surroundings, "log"> {
  swim: Swim;
  members: Members;
  network: Network;
  settings: SwimSettings;
  /** The message to `to`; where `target` is another server, to ping that one. */
  question(to: string, target: string): wire.Ping;
  /** `id` answered. */
  onPong(id: string, pong: wire.Pong): void;
  onRtt(id: string, ms: number): void;
  /** What goes on in the background, to be awaited at the end. */
  run(task: Promise<unknown>): void;
}

/** What a probe found. */
export interface Found {
  reached: boolean;
  /** Why it did not answer us; "" where it did. */
  error: string;
}

/** How much we doubt ourselves at most (the local health multiplier of Lifeguard: A. Dadgar et al., 2017). */
const MAX_STRAIN = 4;
/** How much longer than its timeout a ping stays open: so a slow server's round trip is measured, and waited for the next time. */
const PATIENCE = 10;

/** Pings. Whatever fails, nothing is thrown. */
export class Prober {
  readonly #options: ProberOptions;
  readonly #trips: RoundTrips;
  readonly #busy = new Set<string>();
  readonly #reaching = new Map<string, Promise<boolean>>();
  /** Grows where not even our helpers answer: then it is likely us. */
  #strain = 0;

  constructor(options: ProberOptions) {
    this.#options = options;
    this.#trips = new RoundTrips(options.settings.pingTimeoutMs);
  }

  /** By how much we are slower to ping and to judge; 1 where all is well. */
  get slowness(): number {
    return 1 + this.#strain;
  }

  /** All is well again. */
  relax(): void {
    this.#strain = 0;
  }

  /** True while it is being probed. */
  isBusy(id: string): boolean {
    return this.#busy.has(id);
  }

  forget(id: string): void {
    this.#trips.forget(id);
  }

  /** Pings a server; where it does not answer in time, others are asked to. Null where it is being probed already. */
  async probe(id: string): Promise<Found | null> {
    if (this.#busy.has(id)) return null;
    this.#busy.add(id);
    try {
      return await this.#probe(id);
    } finally {
      this.#busy.delete(id);
    }
  }

  /** Pings a server in the stead of another; those who ask at the same time share one ping. */
  reach(id: string): Promise<boolean> {
    const running = this.#reaching.get(id);
    if (running) return running;
    const reached = this.ping(id, this.#timeoutMs(id)).then(() => true, () => false)
      .finally(() => this.#reaching.delete(id));
    this.#reaching.set(id, reached);
    return reached;
  }

  /** One ping. @throws {CdnError} where it does not answer, or another server does. */
  async ping(id: string, timeoutMs: number, target = id): Promise<wire.Pong> {
    const { members, network, signal, now, question, onPong, onRtt } = this.#options;
    const url = members.get(id)?.url;
    if (url === undefined) throw new CdnError(`Cannot ping ${id}: it is not on the list`, { source: "peer" });
    const begunMs = now();
    const pong = await network.ask(url, "ping", question(id, target), { timeoutMs, signal });
    if (pong.from !== id) throw new CdnError(`${url} is ${pong.from}, not ${id}`, { source: "peer", status: 421 });
    const tookMs = now() - begunMs;
    // Anything else is the clock's doing, which was set meanwhile.
    if (target === id && tookMs >= 0 && tookMs <= 2 * timeoutMs) {
      this.#trips.add(id, tookMs);
      onRtt(id, tookMs);
    }
    onPong(id, pong);
    return pong;
  }

  async #probe(id: string): Promise<Found> {
    const { swim, settings, random, schedule, signal, run } = this.#options;
    const timeoutMs = this.#timeoutMs(id);
    const alarm = new Wake(schedule);
    let error: string | null = null;
    const direct = this.ping(id, timeoutMs * PATIENCE).then(() => {
      error = "";
      return true;
    }, (failure) => {
      error = words(failure);
      return false;
    });
    run(direct.then(() => alarm.call()));
    await alarm.sleep(timeoutMs, signal);
    if (error === "") {
      this.#strain = Math.max(0, this.#strain - 1);
      return { reached: true, error };
    }
    const helpers = swim.some(settings.indirect, random, id);
    let silent = helpers.length;
    const helped = helpers.map(async (helper) => {
      const waitMs = 2 * Math.max(this.#timeoutMs(helper), timeoutMs);
      const pong = await this.ping(helper, waitMs, id).catch(() => null);
      if (pong) silent--;
      return pong?.reached ?? false;
    });
    // It has twice its time in all, and it may still answer us while the helpers try.
    const late = error === null ? alarm.sleep(timeoutMs, signal).then(() => error === "") : Promise.resolve(false);
    const reached = await anyTrue([direct, ...helped], [late, ...helped]);
    const why = error ?? `no answer within ${Math.round(timeoutMs)} ms`;
    if (reached) return { reached, error: error === "" ? "" : `it answers others, but not this server: ${why}` };
    this.#strain = Math.min(MAX_STRAIN, this.#strain + (helpers.length > 0 ? silent : 1));
    return { reached, error: why };
  }

  #timeoutMs(id: string): number {
    return this.#trips.timeoutMs(id) * this.slowness;
  }
}

/** True as soon as one of `signs` is; false when all of `ends` have come and none was. */
function anyTrue(signs: Promise<boolean>[], ends: Promise<boolean>[]): Promise<boolean> {
  return new Promise((resolve) => {
    for (const sign of [...signs, ...ends]) sign.then((so) => so && resolve(true));
    Promise.all(ends).then(() => resolve(false));
  });
}
