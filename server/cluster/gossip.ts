/**
 * Drives membership over the network: pings, whole lists now and then, and tries of those who were lost. What it all
 * means is decided in `swim.ts`.
 */
import { create } from "@bufbuild/protobuf";
import { badRequest, CdnError, compareVersions, wire } from "../../proto/mod.ts";
import type { Logger } from "../../runtime/log.ts";
import { words } from "../../runtime/peer_client.ts";
import { CutOff } from "./cut_off.ts";
import type { Life } from "./health.ts";
import type { Members } from "./members.ts";
import type { Ledger, Network } from "./ports.ts";
import { Prober } from "./prober.ts";
import { stampOf } from "./records.ts";
import type { Refusal } from "./referee.ts";
import { type Backoff, backoffMs } from "./settings.ts";
import { SteadyClock } from "./steady_clock.ts";
import { type Change, type State, Swim, type Word, wordFromWire, wordToWire } from "./swim.ts";
import { type SwimSettings, syncWaitMs } from "./swim_settings.ts";
import { Telling } from "./telling.ts";
import { type Schedule, Wake } from "./wake.ts";

/** What gossip works with. */
export interface GossipOptions {
  members: Members;
  network: Network;
  ledger: Pick<Ledger, "fact" | "saveFact">;
  settings: SwimSettings & { exchangeTimeoutMs: number; backoff: Backoff };
  now: () => number;
  random: () => number;
  schedule: Schedule;
  log: Logger;
  signal: AbortSignal;
  /** Our own, told in every ping and pong. */
  content(): wire.ContentSummary;
  /** A server told its own. */
  onContent(id: string, content: wire.ContentSummary): void;
  /** What is believed of a server changed. */
  onState(id: string, state: State): void;
  /** A ping of ours was answered. */
  onRtt?(id: string, ms: number): void;
}

/** Entries of a list, or pieces of news, in one message. */
const MAX_ENTRIES = 1000;
/** How many of the suspected a server looks after itself in one period, before it takes them for dead. */
const LOOKS = 8;
/** Whom a server that leaves tells so. */
const FAREWELLS = 3;

/** The loops of one server, and its answers to the others'. */
export class Gossip {
  readonly #options: GossipOptions;
  readonly #swim: Swim;
  readonly #steady: SteadyClock;
  readonly #telling: Telling;
  readonly #prober: Prober;
  readonly #cutOff: CutOff;
  readonly #tasks = new Set<Promise<unknown>>();
  readonly #syncWake: Wake;
  /** Since the start, or since we were cut off. */
  #syncs = 0;
  /** When each was last heard, by the wall clock; why it did not answer; when it was last pinged out of turn. */
  readonly #heardMs = new Map<string, number>();
  readonly #errors = new Map<string, string>();
  readonly #pokedMs = new Map<string, number>();

  /** Raises our incarnation over that of earlier runs, durably. */
  constructor(options: GossipOptions) {
    this.#options = options;
    const { members, ledger, settings, schedule, now } = options;
    const before = Number(ledger.fact("incarnation") ?? 0);
    this.#swim = new Swim(members.self.id, (Number.isSafeInteger(before) ? before : 0) + 1, settings);
    ledger.saveFact("incarnation", String(this.#swim.self.incarnation));
    this.#steady = new SteadyClock(now, settings.pingMs * 2);
    this.#telling = new Telling({ swim: this.#swim, members, settings });
    this.#cutOff = new CutOff({ swim: this.#swim, settings });
    this.#syncWake = new Wake(schedule);
    this.#prober = new Prober({
      ...options,
      swim: this.#swim,
      question: (to, target) =>
        create(wire.PingSchema, {
          from: members.self.id,
          target,
          content: options.content(),
          ...this.#telling.to(to),
        }),
      onPong: (id, pong) => this.#hear(pong, id),
      onRtt: (id, ms) => options.onRtt?.(id, ms),
      run: (task) => this.#run(task),
    });
  }

  /** Begins; we have announced ourselves. */
  start(): void {
    this.follow();
    this.#cutOff.heard(this.#steady.read());
    this.#run(this.#beat());
    this.#run(this.#sync());
  }

  /** Asks the server at `url` again and again until it has answered once. */
  join(url: string): void {
    this.#run(this.#join(url));
  }

  /** The list changed: pings go to those who are on it, and what is new is told. */
  follow(): void {
    const { members, random } = this.#options;
    for (const id of this.#telling.follow()) this.#swim.hope(id);
    const ids = new Set(members.others().map(({ id }) => id));
    for (const id of this.#swim.follow(ids, this.#steady.read(), random)) {
      this.#prober.forget(id);
      this.#telling.hush(id);
      for (const map of [this.#heardMs, this.#errors, this.#pokedMs]) map.delete(id);
    }
  }

  /** How a server fares, as far as is known here. */
  state(id: string): Life {
    const { self } = this.#swim;
    if (id === self.id) {
      const { incarnation } = self;
      return { state: "self", incarnation, heardMs: this.#options.now(), error: this.#cutOff.words(this.#sinceCut()) };
    }
    const { state, incarnation } = this.#swim.get(id) ?? { state: "unknown", incarnation: 0 } as const;
    return { state, incarnation, heardMs: this.#heardMs.get(id) ?? 0, error: this.#errors.get(id) ?? "" };
  }

  /** A server called us, in whatever matter; the caller has proven who it is. */
  heard(id: string): void {
    const standing = this.#swim.get(id);
    if (!standing) return;
    this.#heardMs.set(id, this.#options.now());
    this.#swim.heard(id, this.#steady.read());
    this.#endCut();
    // It lives, but only it can say so: it hears from our ping what is believed of it.
    if (standing.state !== "alive") this.#poke(id);
  }

  /**
   * Answers POST /-/v1/peer/ping.
   * @param from the proven id of the caller; null where nothing was proven
   * @throws {CdnError} 403 where it speaks for another, or was removed; 409 where it has our own id.
   */
  async answerPing(ping: wire.Ping, from: string | null): Promise<wire.Pong> {
    const { members, content } = this.#options;
    this.#admit(ping.from, from, ping.from);
    this.#hear(ping, ping.from);
    const isUs = ping.target === "" || ping.target === members.self.id;
    const reached = isUs || (members.get(ping.from) !== null && await this.#prober.reach(ping.target));
    return create(wire.PongSchema, {
      from: members.self.id,
      reached,
      content: content(),
      ...this.#telling.to(ping.from),
    });
  }

  /**
   * Answers POST /-/v1/peer/servers: learns the caller's list, which begins with itself, and tells ours.
   * @throws {CdnError} as {@link answerPing}; 403 also where its own record is forged or unsafe.
   */
  answerServers(list: wire.ServerList, from: string | null): wire.ServerList {
    const [speaker] = list.servers;
    if (list.servers.length > MAX_ENTRIES || list.liveness.length > MAX_ENTRIES) {
      throw badRequest(`Malformed ServerList: it must have at most ${MAX_ENTRIES} entries`);
    }
    if (speaker) {
      if (this.#isUs(speaker)) return this.#list();
      this.#admit(speaker.id, from, speaker.url);
      const refusal = this.#hearList(list, speaker.id);
      if (refusal?.fault) {
        throw new CdnError(`Cannot take the word of ${speaker.id}: its record ${refusal.reason}`, {
          source: "client",
          status: 403,
        });
      }
    }
    return this.#list();
  }

  /**
   * Tells the server at `url` our list and learns its own.
   * @returns its own record; ours where it is ourselves
   * @throws {CdnError} source "peer" where it does not answer, or cannot be believed.
   */
  async exchange(url: string): Promise<wire.Server> {
    const { members, network, settings, signal } = this.#options;
    const list = await network.ask(url, "servers", this.#list(), { timeoutMs: settings.exchangeTimeoutMs, signal })
      .catch((error) => {
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
    const refusal = this.#hearList(list, speaker.id);
    if (refusal) {
      throw new CdnError(`Cannot take the word of ${url}: the record of ${speaker.id} ${refusal.reason}`, {
        source: "peer",
      });
    }
    if (newcomer) this.#telling.hushRecords();
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
    const all = Promise.allSettled(told).then(() => wake.call());
    this.#run(all);
    await wake.sleep(timeoutMs, signal);
  }

  /** Resolves when nothing runs any more; the signal must have been aborted. */
  async ended(): Promise<void> {
    while (this.#tasks.size > 0) await Promise.allSettled(this.#tasks);
  }

  get #isOver(): boolean {
    return this.#options.signal.aborted || this.#swim.self.state === "left";
  }

  /** Each period: who is dead by now, one ping, and one try of somebody who was lost. */
  async #beat(): Promise<void> {
    const { settings, random, schedule, signal } = this.#options;
    const wake = new Wake(schedule);
    while (!this.#isOver) {
      const nowMs = this.#steady.read();
      for (const change of this.#swim.expire(nowMs)) this.#changed(change);
      for (const doubted of this.#swim.doubted(nowMs, LOOKS, random)) this.#run(this.#probe(doubted));
      this.#watchCut(nowMs);
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
        if (++failures === 1) log.info("waiting for a server of the config", { url, error: words(error) });
        await wake.sleep(backoffMs(failures, settings.backoff, random), signal);
      }
    }
  }

  async #probe(id: string): Promise<void> {
    const found = await this.#prober.probe(id);
    if (!found || this.#isOver || !this.#swim.get(id)) return;
    this.#setError(id, found.error);
    if (found.reached) return;
    const change = this.#swim.suspect(id, this.#steady.read());
    if (change) this.#changed(change);
  }

  /** True where it answered. */
  async #exchangeWith(id: string): Promise<boolean> {
    const url = this.#options.members.get(id)?.url;
    if (url === undefined) return false;
    try {
      const speaker = await this.exchange(url);
      if (speaker.id !== id) throw new CdnError(`${url} is ${speaker.id}, not ${id}`, { source: "peer", status: 421 });
      this.#setError(id, "");
      return true;
    } catch (error) {
      if (!this.#options.signal.aborted && this.#swim.get(id)) this.#setError(id, words(error));
      return false;
    }
  }

  #setError(id: string, error: string): void {
    const before = this.#errors.get(id) ?? "";
    if (error === "") this.#errors.delete(id);
    else this.#errors.set(id, error);
    if (error !== "" && before === "") this.#options.log.info("a server did not answer", { id, error });
  }

  /** Pings a server out of turn, but no more than once a period. */
  #poke(id: string): void {
    const nowMs = this.#steady.read();
    if (this.#isOver || nowMs - (this.#pokedMs.get(id) ?? -Infinity) < this.#options.settings.pingMs) return;
    this.#pokedMs.set(id, nowMs);
    this.#run(this.#probe(id));
  }

  /** Takes what a ping or a pong says; from servers that are on the list only. */
  #hear({ news, records, content }: wire.Ping | wire.Pong, from: string): void {
    const { members, onContent } = this.#options;
    if (records.length > 0) members.learn(records.slice(0, MAX_ENTRIES), from);
    if (!members.get(from)) return;
    this.#endCut();
    this.#take(news.slice(0, MAX_ENTRIES), from);
    this.heard(from);
    if (content) onContent(from, content);
  }

  /** The same for a whole list. @returns why the speaker's own record was not taken, or null */
  #hearList(list: wire.ServerList, from: string): Refusal | null {
    const { members, onContent } = this.#options;
    const refusal = members.learn(list.servers.slice(0, MAX_ENTRIES), from)
      .find(({ record }) => record.id === from && record.publicKey.length > 0);
    if (refusal) return refusal;
    if (!members.get(from)) return null;
    this.#endCut();
    this.#take(list.liveness.slice(0, MAX_ENTRIES), from, { whole: true });
    this.heard(from);
    if (list.content) onContent(from, list.content);
    return null;
  }

  #take(news: wire.Liveness[], from: string, { whole = false } = {}): void {
    for (const liveness of news) {
      const word = wordFromWire(liveness);
      if (!word) continue;
      const change = this.#swim.merge(this.#softened(word, whole), this.#steady.read());
      if (!change) continue;
      // What a whole list tells of a server of which we knew nothing, others know.
      this.#changed(change, { tell: !(whole && change.before === "unknown") });
      if (change.id === this.#swim.self.id) this.#poke(from);
    }
  }

  /**
   * News of a death as no more than a suspicion, where we have seen otherwise, or where it stands in a whole list: after
   * a partition these have many dead who live. So they can speak up first.
   */
  #softened(word: Word, whole: boolean): Word {
    const known = this.#swim.get(word.id);
    if (word.state !== "dead" || (known?.state !== "alive" && known?.state !== "suspect")) return word;
    const sees = this.#swim.heardWithin(word.id, this.#steady.read());
    return whole || sees ? { ...word, state: "suspect" } : word;
  }

  #changed({ id, state, incarnation, before }: Change, { tell = true } = {}): void {
    const { ledger, log, onState } = this.#options;
    if (id === this.#swim.self.id) {
      ledger.saveFact("incarnation", String(incarnation));
      if (before !== "alive") log.info("refuted that this server does not answer", { said: before, incarnation });
      return;
    }
    if (tell && !this.#cutOff.isCut) this.#telling.tell(id);
    if (state === before) return;
    if (state === "dead") log.warn("a server is dead", { id, error: this.#errors.get(id) ?? "" });
    else log.info(LOGGED[state], { id });
    onState(id, state);
  }

  #watchCut(nowMs: number): void {
    if (!this.#cutOff.watch(nowMs)) return;
    this.#options.log.warn("nobody answers: the others are down, or this server is cut off");
    for (const id of this.#swim.in("alive", "unknown")) {
      const change = this.#swim.suspect(id, nowMs);
      if (change) this.#changed(change);
    }
  }

  /** Somebody was heard: what we believed while we reached nobody is worth nothing. */
  #endCut(): void {
    const sinceMs = this.#cutOff.heard(this.#steady.read());
    if (sinceMs === null) return;
    this.#options.log.info("others answer again");
    for (const id of this.#swim.pardon(sinceMs)) this.#telling.hush(id);
    this.#prober.relax();
    this.#syncs = 0;
    this.#syncWake.call();
  }

  /** Since when nobody answered, by the wall clock. */
  #sinceCut(): number | null {
    const silentMs = this.#cutOff.silentMs(this.#steady.read());
    return silentMs === null ? null : this.#options.now() - silentMs;
  }

  #list(): wire.ServerList {
    const { members, content } = this.#options;
    return create(wire.ServerListSchema, {
      servers: members.records(),
      liveness: this.#swim.words().map(wordToWire),
      content: content(),
    });
  }

  /** Who may speak: itself, where it is on the list or new to it. */
  #admit(id: string, proven: string | null, where: string): void {
    if (proven !== null && proven !== id) {
      throw new CdnError(`${proven} cannot speak for ${id}`, { source: "client", status: 403 });
    }
    this.#refuseTwin(id, where);
    if (!this.#options.members.isRemoved(id)) return;
    throw new CdnError(`${id} was taken off the list of servers; an admin can add it again`, {
      source: "client",
      status: 403,
    });
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
    this.#tasks.add(task);
    task.catch((error) => this.#options.log.error("gossip failed", { error }))
      .finally(() => this.#tasks.delete(task));
  }
}

const LOGGED = { alive: "a server is alive", suspect: "a server is suspected", left: "a server left" } as const;

function jittered(ms: number, random: () => number): number {
  return ms * (0.75 + random() / 2);
}
