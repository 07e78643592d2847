/**
 * Who is alive, as a pure state machine: A. Das, I. Gupta, A. Motivala, "SWIM: Scalable Weakly-consistent
 * Infection-style Process Group Membership Protocol", 2002.
 *
 * Of each server the newest word counts. Words are ordered by incarnation, then ALIVE < SUSPECT < DEAD < LEFT: that one
 * order is all the rules of §4.2 of the paper together, so that the order in which news arrives does not matter. Only a
 * server itself raises its incarnation: at each start, and to refute that it is suspected or dead.
 *
 * Times are of a steady clock (`steady_clock.ts`), not of the wall.
 */
import { wire } from "../../proto/mod.ts";
import { suspicionMs, type SwimSettings } from "./swim_settings.ts";

/** What is said of a server. */
export type State = "alive" | "suspect" | "dead" | "left";
/** What is known of one: nothing, until it answered or somebody told us. */
export type Known = State | "unknown";

/** A word about a server. */
export interface Word {
  id: string;
  state: State;
  incarnation: number;
}

/** What is known of a server, and since when. */
export interface Standing {
  state: Known;
  incarnation: number;
  sinceMs: number;
}

/** Something that changed; where `id` is ourselves, we raised our incarnation. */
export interface Change extends Word {
  before: Known;
}

const RANK: Record<Known, number> = { unknown: -1, alive: 0, suspect: 1, dead: 2, left: 3 };

/**
 * How far an incarnation may lie above the one that we know. A server raises it by one at a time; whoever tells of a
 * leap lies, and would leave the server no higher number with which to refute.
 */
const MAX_LEAP = 1 << 20;

/** How often the wait for a dead server is doubled. */
const RETRY_DOUBLINGS = 2;

/** True where `a` is the newer word of the two about one server (SWIM §4.2). */
export function supersedes(
  a: { state: Known; incarnation: number },
  b: { state: Known; incarnation: number },
): boolean {
  return a.incarnation !== b.incarnation ? a.incarnation > b.incarnation : RANK[a.state] > RANK[b.state];
}

interface Member extends Standing {
  /** When it was last heard itself; -Infinity where never. */
  heardMs: number;
  /** True where we looked after it ourselves since it is suspected. */
  looked: boolean;
  /** When it is tried again, where it is dead or left; how often it was. */
  retryMs: number;
  retries: number;
}

/** What one server knows of all others. */
export class Swim {
  readonly #settings: SwimSettings;
  readonly #members = new Map<string, Member>();
  /** Whom to ping, from the end on; when it is used up it is drawn anew (SWIM §4.3). */
  #round: string[] = [];
  #self: Word;

  /** @param incarnation higher than in any earlier run */
  constructor(id: string, incarnation: number, settings: SwimSettings) {
    this.#self = { id, incarnation, state: "alive" };
    this.#settings = settings;
  }

  /** Our own word about ourselves. */
  get self(): Word {
    return this.#self;
  }

  /** We are going. @returns what we tell the others */
  leave(): Word {
    return this.#self = { ...this.#self, state: "left" };
  }

  /** How many take part, ourselves among them: all but the dead and those who left. */
  get size(): number {
    let size = 1;
    for (const { state } of this.#members.values()) if (RANK[state] < RANK.dead) size++;
    return size;
  }

  /** Brings the others in line with the list. @returns whom it no longer knows */
  follow(ids: ReadonlySet<string>, nowMs: number, random: () => number): string[] {
    const gone = [...this.#members.keys()].filter((id) => !ids.has(id));
    for (const id of gone) this.#members.delete(id);
    for (const id of ids) {
      if (id === this.#self.id || this.#members.has(id)) continue;
      this.#members.set(id, {
        state: "unknown",
        incarnation: 0,
        sinceMs: nowMs,
        heardMs: -Infinity,
        looked: false,
        retryMs: 0,
        retries: 0,
      });
      this.#round.splice(Math.floor(random() * (this.#round.length + 1)), 0, id);
    }
    return gone;
  }

  /** What is known of another; null where it is not on the list. */
  get(id: string): Standing | null {
    return this.#members.get(id) ?? null;
  }

  /** Every word that there is to tell, our own first. */
  words(): Word[] {
    const others = [...this.#members].flatMap(([id, { state, incarnation }]) =>
      state === "unknown" ? [] : [{ id, state, incarnation }]
    );
    return [this.#self, ...others];
  }

  /**
   * Takes a word where it is news. News of ourselves that is not so is refuted by a higher incarnation; of servers that
   * are not on the list nothing is known.
   */
  merge(word: Word, nowMs: number): Change | null {
    if (word.id === this.#self.id) return this.#refute(word);
    const member = this.#members.get(word.id);
    if (!member || !supersedes(word, member) || word.incarnation > member.incarnation + MAX_LEAP) return null;
    return this.#set(word, member, nowMs);
  }

  /** It did not answer, and nobody reached it. */
  suspect(id: string, nowMs: number): Change | null {
    const member = this.#members.get(id);
    if (!member || RANK[member.state] >= RANK.suspect) return null;
    return this.#set({ id, state: "suspect", incarnation: member.incarnation }, member, nowMs);
  }

  /** It spoke to us itself, whatever it said. */
  heard(id: string, nowMs: number): void {
    const member = this.#members.get(id);
    if (member) member.heardMs = nowMs;
  }

  /** True where it spoke to us within the time of a suspicion: then it cannot have died before. */
  heardWithin(id: string, nowMs: number): boolean {
    return nowMs - (this.#members.get(id)?.heardMs ?? -Infinity) < suspicionMs(this.size, this.#settings);
  }

  /**
   * Up to `most` of the suspected whose time is half over, each once: whoever takes them for dead looks first, and they
   * hear from this what is said of them.
   */
  doubted(nowMs: number, most: number, random: () => number): string[] {
    const half = suspicionMs(this.size, this.#settings) / 2;
    const due = [...this.#members].filter(([, { state, sinceMs, looked }]) =>
      state === "suspect" && !looked && nowMs - sinceMs >= half
    );
    return draw(due, most, random).map(([id, member]) => {
      member.looked = true;
      return id;
    });
  }

  /** Whose suspicion was not refuted in time, and who was not heard meanwhile: they are dead now. */
  expire(nowMs: number): Change[] {
    const least = suspicionMs(this.size, this.#settings);
    return [...this.#members].flatMap(([id, member]) =>
      member.state === "suspect" && nowMs - Math.max(member.sinceMs, member.heardMs) >= least
        ? [this.#set({ id, state: "dead", incarnation: member.incarnation }, member, nowMs)]
        : []
    );
  }

  /** Takes back what we only believed because we reached nobody since `sinceMs`. @returns of whom nothing is known now */
  pardon(sinceMs: number): string[] {
    const pardoned = [...this.#members].filter(([, { state, sinceMs: at }]) =>
      at >= sinceMs && (state === "suspect" || state === "dead")
    );
    for (const [, member] of pardoned) [member.state, member.incarnation] = ["unknown", 0];
    return pardoned.map(([id]) => id);
  }

  /** Whom to ping next: everybody who takes part once a round, in an order drawn anew for each. Null: nobody. */
  next(random: () => number, passOver: (id: string) => boolean = () => false): string | null {
    for (let rounds = 0; rounds < 2; rounds++) {
      for (let id = this.#round.pop(); id !== undefined; id = this.#round.pop()) {
        const member = this.#members.get(id);
        if (member && RANK[member.state] < RANK.dead && !passOver(id)) return id;
      }
      this.#round = draw([...this.#members.keys()], this.#members.size, random);
    }
    return null;
  }

  /** Random ones of those who are alive, but `except`. */
  some(count: number, random: () => number, except?: string): string[] {
    const alive = [...this.#members].filter(([id, { state }]) => state === "alive" && id !== except);
    return draw(alive.map(([id]) => id), count, random);
  }

  /** Those of a state. */
  in(...states: Known[]): string[] {
    return [...this.#members].filter(([, { state }]) => states.includes(state)).map(([id]) => id);
  }

  /** One of the dead, or of those who left, that is due to be tried again; it is put off. */
  retry(nowMs: number, random: () => number): string | null {
    const due = [...this.#members].filter(([, { state, retryMs }]) => RANK[state] >= RANK.dead && retryMs <= nowMs);
    const [chosen] = draw(due, 1, random);
    if (!chosen) return null;
    const [id, member] = chosen;
    member.retries++;
    this.#putOff(member, nowMs, random);
    return id;
  }

  /** It may be back: tries it again soon. */
  hope(id: string): void {
    const member = this.#members.get(id);
    if (member) [member.retryMs, member.retries] = [0, 0];
  }

  #putOff(member: Member, nowMs: number, random: () => number): void {
    const waitMs = this.#settings.deadRetryMs * 2 ** Math.min(member.retries, RETRY_DOUBLINGS);
    member.retryMs = nowMs + waitMs * (0.5 + random());
  }

  #refute(word: Word): Change | null {
    const { state, incarnation } = this.#self;
    if (state === "left" || word.incarnation > incarnation + MAX_LEAP) return null;
    if (!supersedes(word, this.#self)) return null;
    this.#self = { ...this.#self, incarnation: word.incarnation + 1 };
    return { ...this.#self, before: word.state };
  }

  #set({ id, state, incarnation }: Word, member: Member, nowMs: number): Change {
    const before = member.state;
    Object.assign(member, { state, incarnation });
    if (before === state && state !== "suspect") return { id, state, incarnation, before };
    [member.sinceMs, member.looked] = [nowMs, false];
    if (RANK[state] >= RANK.dead && RANK[before] < RANK.dead) {
      [member.retries, member.retryMs] = [0, nowMs + this.#settings.deadRetryMs];
    }
    return { id, state, incarnation, before };
  }
}

/** Up to `count` of them in random order (Fisher and Yates). */
function draw<T>(all: T[], count: number, random: () => number): T[] {
  for (let at = 0; at < Math.min(count, all.length - 1); at++) {
    const other = at + Math.floor(random() * (all.length - at));
    [all[at], all[other]] = [all[other]!, all[at]!];
  }
  return all.slice(0, count);
}

const TO_WIRE: Record<State, wire.Liveness_State> = {
  alive: wire.Liveness_State.ALIVE,
  suspect: wire.Liveness_State.SUSPECT,
  dead: wire.Liveness_State.DEAD,
  left: wire.Liveness_State.LEFT,
};
const FROM_WIRE = new Map(Object.entries(TO_WIRE).map(([state, value]) => [value, state as State]));

/** A word as a message has it, but for its type. */
export function wordToWire({ id, state, incarnation }: Word) {
  return { id, state: TO_WIRE[state], incarnation: BigInt(incarnation) };
}

/** The inverse; null for what no server of this version says. */
export function wordFromWire({ id, state, incarnation }: wire.Liveness): Word | null {
  const known = FROM_WIRE.get(state);
  if (!known || incarnation < 0n || incarnation > BigInt(Number.MAX_SAFE_INTEGER - MAX_LEAP)) return null;
  return { id, state: known, incarnation: Number(incarnation) };
}
