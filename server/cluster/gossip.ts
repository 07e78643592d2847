/**
 * Drives membership over the network: pings, whole lists now and then, and tries of those who were lost. What comes of
 * it is kept in `beliefs.ts`.
 */
import { create } from "@bufbuild/protobuf";
import { badRequest, CdnError, compareVersions, wire } from "../../proto/mod.ts";
import { jittered } from "../../runtime/jitter.ts";
import { words } from "../../runtime/words.ts";
import { Beliefs, type BeliefsOptions, MAX_ENTRIES } from "./beliefs.ts";
import type { Life } from "./health.ts";
import type { Network } from "./ports.ts";
import { Prober } from "./prober.ts";
import { stampOf } from "./records.ts";
import { type Backoff, backoffMs } from "./settings.ts";
import type { Surroundings } from "./surroundings.ts";
import type { Swim } from "./swim.ts";
import { type SwimSettings, syncWaitMs } from "./swim_settings.ts";
import { Tasks } from "./tasks.ts";
import { Wake } from "./wake.ts";

/** What gossip works with. */
export interface GossipOptions extends Surroundings, Omit<BeliefsOptions, "onDoubt" | "onBack"> {
  network: Network;
  settings: SwimSettings & { exchangeTimeoutMs: number; backoff: Backoff };
  /** A ping of ours was answered. */
  onRtt?(id: string, ms: number): void;
  /** After a time in which nobody answered, somebody does. */
  onBack?(): void;
}

/** How many of the suspected a server looks after itself in one period, before it takes them for dead. */
const LOOKS = 8;
/** Whom a server that leaves tells so. */
const FAREWELLS = 3;

/** The loops of one server, and its answers to the others'. */
export class Gossip {
  readonly #options: GossipOptions;
  readonly #beliefs: Beliefs;
  readonly #swim: Swim;
  readonly #prober: Prober;
  readonly #tasks = new Tasks();
  readonly #syncWake: Wake;
  /** Whole lists since the start, or since we were cut off. */
  #syncs = 0;
  /** When each was last pinged out of turn. */
  readonly #pokedMs = new Map<string, number>();

  /** Raises our incarnation over that of earlier runs, durably. */
  constructor(options: GossipOptions) {
    this.#options = options;
    this.#beliefs = new Beliefs({
      ...options,
      onDoubt: (id) => this.#poke(id),
      onBack: () => {
        this.#prober.relax();
        this.#syncs = 0;
        this.#syncWake.call();
        options.onBack?.();
      },
    });
    this.#swim = this.#beliefs.swim;
    this.#syncWake = new Wake(options.schedule);
    this.#prober = new Prober({
      ...options,
      swim: this.#swim,
      question: (to, target) =>
        create(wire.PingSchema, { from: options.members.self.id, target, ...this.#beliefs.message(to) }),
      onPong: (id, pong) => this.#beliefs.hear(pong, id),
      onRtt: (id, ms) => options.onRtt?.(id, ms),
      run: (task) => this.#run(task),
    });
  }

  /** Begins; we have announced ourselves. */
  start(): void {
    this.follow();
    this.#run(this.#beat());
    this.#run(this.#sync());
  }

  /** Asks the server at `url` again and again until it has answered once. */
  join(url: string): void {
    this.#run(this.#join(url));
  }

  /** The list changed: pings go to those who are on it, and what is new is told. */
  follow(): void {
    for (const id of this.#beliefs.follow()) {
      this.#prober.forget(id);
      this.#pokedMs.delete(id);
    }
  }

  /** How a server fares, as far as is known here; of ourselves: whether we seem to be cut off. */
  state(id: string): Life {
    return this.#beliefs.state(id);
  }

  /**
   * Answers POST /-/v1/peer/ping.
   * @param from the proven id of the caller; null where nothing was proven
   * @throws {CdnError} 403 where it speaks for another, or was removed; 409 where it has our own id.
   */
  async answerPing(ping: wire.Ping, from: string | null): Promise<wire.Pong> {
    const { members } = this.#options;
    this.#admit(ping.from, from, ping.from);
    this.#beliefs.hear(ping, ping.from);
    const isUs = ping.target === "" || ping.target === members.self.id;
    const reached = isUs || (members.get(ping.from) !== null && await this.#prober.reach(ping.target));
    return create(wire.PongSchema, { from: members.self.id, reached, ...this.#beliefs.message(ping.from) });
  }

  /**
   * Answers POST /-/v1/peer/servers: learns the caller's list, which begins with itself, and tells ours.
   * @throws {CdnError} as {@link answerPing}; 403 also where its own record is forged or unsafe.
   */
  answerServers(list: wire.ServerList, from: string | null): wire.ServerList {
    if (list.servers.length > MAX_ENTRIES || list.liveness.length > MAX_ENTRIES) {
      throw badRequest(`Malformed ServerList: it must have at most ${MAX_ENTRIES} entries`);
    }
    const [speaker] = list.servers;
    if (!speaker || this.#isUs(speaker)) return this.#beliefs.list();
    this.#admit(speaker.id, from, speaker.url);
    const refusal = this.#beliefs.hearList(list, speaker.id);
    if (refusal?.fault) {
      throw forbidden(`Cannot take the word of ${speaker.id}: its record ${refusal.reason}`);
    }
    return this.#beliefs.list();
  }

  /**
   * Tells the server at `url` our list and learns its own.
   * @returns its own record; ours where it is ourselves
   * @throws {CdnError} source "peer" where it does not answer, or cannot be believed.
   */
  async exchange(url: string): Promise<wire.Server> {
    const { members, network, settings, signal } = this.#options;
    const options = { timeoutMs: settings.exchangeTimeoutMs, signal };
    const list = await network.ask(url, "servers", this.#beliefs.list(), options).catch((error) => {
      // It says what `#refuseTwin` does.
      if (error instanceof CdnError && error.status === 409) members.warnOfTwin(url);
      throw error;
    });
    const [speaker] = list.servers;
    if (!speaker || speaker.removed) {
      throw new CdnError(`Cannot learn who is at ${url}: its list does not begin with itself`, { source: "peer" });
    }
    if (this.#isUs(speaker)) return members.self;
    this.#refuseTwin(speaker.id, url);
    // A removed server's words about others count no longer.
    if (members.isRemoved(speaker.id)) return speaker;
    const newcomer = members.others().length === 0;
    const refusal = this.#beliefs.hearList(list, speaker.id);
    if (refusal) {
      throw new CdnError(`Cannot take the word of ${url}: the record of ${speaker.id} ${refusal.reason}`, {
        source: "peer",
      });
    }
    if (newcomer) this.#beliefs.hushRecords();
    return speaker;
  }

  /** Tells a few servers that we are going, within the time of two pings; nothing is asked of others any more. */
  async leave(): Promise<void> {
    const { settings, schedule, signal, random } = this.#options;
    this.#swim.leave();
    this.#syncWake.call();
    const timeoutMs = settings.pingTimeoutMs * 2;
    const told = this.#swim.some(FAREWELLS, random).map((id) => this.#prober.ping(id, timeoutMs));
    const wake = new Wake(schedule);
    this.#run(Promise.allSettled(told).then(() => wake.call()));
    await wake.sleep(timeoutMs, signal);
  }

  /** Resolves when nothing runs any more; the signal must have been aborted. */
  async ended(): Promise<void> {
    await this.#tasks.ended();
  }

  get #isOver(): boolean {
    return this.#options.signal.aborted || this.#swim.self.state === "left";
  }

  /** Each period: who is dead by now, one ping, and one try of somebody who was lost. */
  async #beat(): Promise<void> {
    const { settings, random, schedule, signal } = this.#options;
    const wake = new Wake(schedule);
    while (!this.#isOver) {
      this.#beliefs.tick();
      const nowMs = this.#beliefs.steadyMs();
      for (const doubted of this.#swim.doubted(nowMs, LOOKS, random)) this.#run(this.#probe(doubted));
      const id = this.#swim.next(random, (other) => this.#prober.isBusy(other));
      if (id !== null) this.#run(this.#probe(id));
      const lost = this.#swim.retry(nowMs, random);
      if (lost !== null) this.#run(this.#exchangeWith(lost));
      await wake.sleep(jittered(settings.pingMs, random) * this.#prober.slowness, signal);
    }
  }

  /** Whole lists with a random server: often at the start and after we were cut off, then more and more rarely. */
  async #sync(): Promise<void> {
    const { settings, random, signal } = this.#options;
    for (let failures = 0; !this.#isOver;) {
      const others = this.#swim.in("unknown", "suspect");
      const id = this.#swim.some(1, random)[0] ?? others[Math.floor(random() * others.length)];
      failures = id === undefined || await this.#exchangeWith(id) ? 0 : failures + 1;
      const restMs = Math.min(syncWaitMs(this.#swim.size, settings), settings.pingMs * 2 ** ++this.#syncs);
      const waitMs = failures > 0 ? backoffMs(failures, settings.backoff, random) : jittered(restMs, random);
      await this.#syncWake.sleep(waitMs, signal);
    }
  }

  async #join(url: string): Promise<void> {
    const { settings, random, schedule, signal, log, members } = this.#options;
    const wake = new Wake(schedule);
    for (let failures = 0; !this.#isOver;) {
      try {
        const { id } = await this.exchange(url);
        if (members.isRemoved(id)) log.warn("a server of the config was taken off the list", { url, id });
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (++failures === 1) {
          // One that refuses us will do so until an admin has done something.
          const refused = error instanceof CdnError && [401, 403, 409].includes(error.status);
          log[refused ? "warn" : "info"]("waiting for a server of the config", { url, error: words(error) });
        }
        await wake.sleep(backoffMs(failures, settings.backoff, random), signal);
      }
    }
  }

  async #probe(id: string): Promise<void> {
    const found = await this.#prober.probe(id);
    if (!found || this.#isOver) return;
    this.#beliefs.answered(id, found.error);
    if (!found.reached) this.#beliefs.suspect(id);
  }

  /** Pings a server out of turn, but no more than once a period. */
  #poke(id: string): void {
    const nowMs = this.#beliefs.steadyMs();
    if (this.#isOver || nowMs - (this.#pokedMs.get(id) ?? -Infinity) < this.#options.settings.pingMs) return;
    this.#pokedMs.set(id, nowMs);
    this.#run(this.#probe(id));
  }

  /** True where it answered. */
  async #exchangeWith(id: string): Promise<boolean> {
    const url = this.#options.members.get(id)?.url;
    if (url === undefined) return false;
    try {
      const speaker = await this.exchange(url);
      if (speaker.id !== id) throw new CdnError(`${url} is ${speaker.id}, not ${id}`, { source: "peer", status: 421 });
      this.#beliefs.answered(id, "");
      return true;
    } catch (error) {
      if (!this.#options.signal.aborted) this.#beliefs.answered(id, words(error));
      return false;
    }
  }

  /** Who may speak: each for itself, unless it was removed. */
  #admit(id: string, proven: string | null, where: string): void {
    if (proven !== null && proven !== id) throw forbidden(`${proven} cannot speak for ${id}`);
    this.#refuseTwin(id, where);
    if (!this.#options.members.isRemoved(id)) return;
    throw forbidden(`${id} was taken off the list of servers; an admin can add it again`);
  }

  #isUs(speaker: wire.Server): boolean {
    const { self } = this.#options.members;
    return speaker.id === self.id && speaker.url === self.url &&
      compareVersions(stampOf(speaker), stampOf(self)) === 0;
  }

  #refuseTwin(id: string, where: string): void {
    const { members } = this.#options;
    if (id !== members.self.id) return;
    members.warnOfTwin(where);
    throw new CdnError(`Another server has the same id as this one: ${id}`, { source: "peer", status: 409 });
  }

  #run(task: Promise<unknown>): void {
    this.#tasks.run(task, (error) => this.#options.log.error("gossip failed", { error }));
  }
}

function forbidden(message: string): CdnError {
  return new CdnError(message, { source: "client", status: 403 });
}
