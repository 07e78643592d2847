/**
 * What one server believes of the others: it takes what pings, pongs and lists say, and knows what is to be told on.
 * Which word counts is decided in `swim.ts`.
 */
import { create } from "@bufbuild/protobuf";
import { wire } from "../../proto/mod.ts";
import type { Logger } from "../../runtime/log.ts";
import { CutOff } from "./cut_off.ts";
import type { Life } from "./health.ts";
import type { Members } from "./members.ts";
import type { Ledger } from "./ports.ts";
import type { Refusal } from "./referee.ts";
import { SteadyClock } from "./steady_clock.ts";
import { type Change, type State, Swim, type Word, wordFromWire, wordToWire } from "./swim.ts";
import type { SwimSettings } from "./swim_settings.ts";
import { Telling } from "./telling.ts";

/** What beliefs are made from. */
export interface BeliefsOptions {
  members: Members;
  ledger: Pick<Ledger, "fact" | "saveFact">;
  settings: SwimSettings;
  now: () => number;
  random: () => number;
  log: Logger;
  /** Our own, told in every message. */
  content(): wire.ContentSummary;
  /** A server told its own. */
  onContent(id: string, content: wire.ContentSummary): void;
  /** What is believed of a server changed. */
  onState(id: string, state: State): void;
  /** It should hear soon what is believed of it, or of us. */
  onDoubt(id: string): void;
  /** After a time in which nobody answered, somebody does. */
  onBack(): void;
}

/** Entries of a list, or pieces of news, in one message. */
export const MAX_ENTRIES = 1000;

const LOGGED = { alive: "a server is alive", suspect: "a server is suspected", left: "a server left" } as const;

/** The beliefs of one server. */
export class Beliefs {
  readonly swim: Swim;
  readonly #options: BeliefsOptions;
  readonly #steady: SteadyClock;
  readonly #telling: Telling;
  readonly #cutOff: CutOff;
  /** When each was last heard, by the wall clock; why it did not answer. */
  readonly #heardMs = new Map<string, number>();
  readonly #errors = new Map<string, string>();

  /** Raises our incarnation over that of earlier runs, durably. */
  constructor(options: BeliefsOptions) {
    this.#options = options;
    const { members, ledger, settings, now } = options;
    const before = Number(ledger.fact("incarnation") ?? 0);
    this.swim = new Swim(members.self.id, (Number.isSafeInteger(before) ? before : 0) + 1, settings);
    ledger.saveFact("incarnation", String(this.swim.self.incarnation));
    this.#steady = new SteadyClock(now, settings.pingMs * 2);
    this.#telling = new Telling({ swim: this.swim, members, settings });
    this.#cutOff = new CutOff({ swim: this.swim, settings });
  }

  /** The time by which suspicions are measured. */
  steadyMs(): number {
    return this.#steady.read();
  }

  /** Brings itself in line with the list. @returns who is not on it any more */
  follow(): string[] {
    const { members, random } = this.#options;
    for (const id of this.#telling.follow()) this.swim.hope(id);
    const gone = this.swim.follow(new Set(members.others().map(({ id }) => id)), this.steadyMs(), random);
    for (const id of gone) {
      this.#telling.hush(id);
      this.#heardMs.delete(id);
      this.#errors.delete(id);
    }
    return gone;
  }

  /** What we learned as newcomers is known to the others: only our own record is news. */
  hushRecords(): void {
    this.#telling.hushRecords();
  }

  /** How a server fares, as far as is known here. */
  state(id: string): Life {
    const { self } = this.swim;
    if (id === self.id) {
      const silentMs = this.#cutOff.silentMs(this.steadyMs());
      const nowMs = this.#options.now();
      const error = silentMs === null
        ? ""
        : `nobody answers since ${new Date(nowMs - silentMs).toISOString()}: the others are down, ` +
          "or this server is cut off";
      return { state: "self", incarnation: self.incarnation, heardMs: nowMs, error };
    }
    const { state, incarnation } = this.swim.get(id) ?? { state: "unknown", incarnation: 0 } as const;
    return { state, incarnation, heardMs: this.#heardMs.get(id) ?? 0, error: this.#errors.get(id) ?? "" };
  }

  /** A server spoke to us. It lives, but only it can say so: where we believe otherwise, it should hear that. */
  heard(id: string): void {
    const standing = this.swim.get(id);
    if (!standing) return;
    this.#heardMs.set(id, this.#options.now());
    this.swim.heard(id, this.steadyMs());
    this.#endCut();
    if (standing.state !== "alive") this.#options.onDoubt(id);
  }

  /** Takes what a ping or a pong says; from servers that are on the list only. */
  hear({ news, records, content }: wire.Ping | wire.Pong, from: string): void {
    const { members, onContent } = this.#options;
    if (records.length > 0) members.learn(records.slice(0, MAX_ENTRIES), from);
    if (!members.get(from)) return;
    this.#endCut();
    this.#take(news, from, { whole: false });
    this.heard(from);
    if (content) onContent(from, content);
  }

  /** The same for a whole list. @returns why the speaker's own record was not taken, or null */
  hearList({ servers, liveness, content, keys }: wire.ServerList, from: string): Refusal | null {
    const { members, onContent } = this.#options;
    const refusal = members.learn(servers.slice(0, MAX_ENTRIES), from)
      .find(({ record }) => record.id === from && record === servers[0]);
    if (refusal) return refusal;
    if (!members.get(from)) return null;
    members.noteKeys(keys.slice(0, MAX_ENTRIES));
    this.#endCut();
    this.#take(liveness, from, { whole: true });
    this.heard(from);
    if (content) onContent(from, content);
    return null;
  }

  /** What a message to `id` carries beside its addresses. */
  message(id: string): { news: wire.Liveness[]; records: wire.Server[]; content: wire.ContentSummary } {
    return { ...this.#telling.to(id), content: this.#options.content() };
  }

  /** The whole list, with what we believe of all. */
  list(): wire.ServerList {
    const { members, content } = this.#options;
    return create(wire.ServerListSchema, {
      keys: members.formerKeys(),
      servers: members.records(),
      liveness: this.swim.words().map(wordToWire),
      content: content(),
    });
  }

  /** It did not answer us, and why; "" where it did. */
  answered(id: string, error: string): void {
    if (!this.swim.get(id)) return;
    const before = this.#errors.get(id) ?? "";
    if (error === "") this.#errors.delete(id);
    else this.#errors.set(id, error);
    if (error !== "" && before === "") this.#options.log.info("a server did not answer", { id, error });
  }

  /** Nobody reached it. */
  suspect(id: string): void {
    this.#changed(this.swim.suspect(id, this.steadyMs()));
  }

  /** Some time has passed: buries whose time is over, and finds out whether we are cut off. */
  tick(): void {
    const nowMs = this.steadyMs();
    for (const change of this.swim.expire(nowMs)) this.#changed(change);
    if (!this.#cutOff.watch(nowMs)) return;
    this.#options.log.warn("nobody answers: the others are down, or this server is cut off");
    for (const id of this.swim.in("alive", "unknown")) this.suspect(id);
  }

  #take(news: wire.Liveness[], from: string, { whole }: { whole: boolean }): void {
    for (const liveness of news.slice(0, MAX_ENTRIES)) {
      const word = wordFromWire(liveness);
      const change = word && this.swim.merge(this.#softened(word, whole), this.steadyMs());
      if (!change) continue;
      // What a whole list tells of a server of which we knew nothing, others know.
      this.#changed(change, { tell: !(whole && change.before === "unknown") });
      if (change.id === this.swim.self.id) this.#options.onDoubt(from);
    }
  }

  /**
   * News of a death as no more than a suspicion, where we have seen otherwise, or where it stands in a whole list: after
   * a partition these have many dead who live. So they can speak up first.
   */
  #softened(word: Word, whole: boolean): Word {
    const known = this.swim.get(word.id);
    if (word.state !== "dead" || (known?.state !== "alive" && known?.state !== "suspect")) return word;
    return whole || this.swim.heardWithin(word.id, this.steadyMs()) ? { ...word, state: "suspect" } : word;
  }

  #changed(change: Change | null, { tell = true } = {}): void {
    if (!change) return;
    const { id, state, incarnation, before } = change;
    const { ledger, log, onState } = this.#options;
    if (id === this.swim.self.id) {
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

  /** Somebody was heard: what we believed while we reached nobody is worth nothing. */
  #endCut(): void {
    const sinceMs = this.#cutOff.heard(this.steadyMs());
    if (sinceMs === null) return;
    this.#options.log.info("others answer again");
    for (const id of this.swim.pardon(sinceMs)) this.#telling.hush(id);
    this.#options.onBack();
  }
}
