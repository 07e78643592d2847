/** Many servers' membership in one process, in virtual time: the same seed gives the same run. */
import { setImmediate } from "node:timers";
import { create } from "@bufbuild/protobuf";
import { CdnError, wire } from "../../../proto/mod.ts";
import { type LogFields, silentLogger } from "../../../runtime/log.ts";
import { HybridClock } from "../../../proto/clock.ts";
import { type Answer, type CallName, type Question } from "../../../server/cluster/calls.ts";
import { Gossip, type GossipOptions } from "../../../server/cluster/gossip.ts";
import { Members } from "../../../server/cluster/members.ts";
import { MemoryLedger } from "../../../server/cluster/memory_ledger.ts";
import type { Keys, Ledger, Network } from "../../../server/cluster/ports.ts";
import { swimDefaults } from "../../../server/cluster/swim_settings.ts";
import type { State } from "../../../server/cluster/swim.ts";
import type { Schedule } from "../../../server/cluster/wake.ts";
import { fakeKeys } from "../../sim/keys.ts";
import { seeded } from "../../sim/prng.ts";

/** A message that goes over the network. */
export interface Sent {
  from: string;
  to: string;
  name: CallName;
  question: boolean;
  message: wire.Ping | wire.Pong | wire.ServerList;
}

/** Between two servers, each way. */
export interface Link {
  delayMs: number;
  /** The chance that a message is lost. */
  loss: number;
}

/** A change of what one server believes of another. */
export interface Belief {
  atMs: number;
  by: string;
  of: string;
  state: State;
}

/** One server. */
export class Member {
  readonly ledger: Ledger;
  readonly warnings: string[] = [];
  readonly marks: string[] = [];
  /** Its clock is off by so much. */
  skewMs = 0;
  /** Until it answers anything. */
  slowMs = 0;
  gossip!: Gossip;
  members!: Members;
  #stop: AbortController | null = null;

  constructor(readonly world: World, readonly id: string, readonly options: MemberOptions) {
    this.ledger = options.ledger ?? new MemoryLedger();
  }

  get url(): string {
    return this.options.url ?? `http://${this.options.host ?? this.id}:4000`;
  }

  get isUp(): boolean {
    return this.#stop !== null;
  }

  now = (): number => Math.floor(1_700_000_000_000 + this.world.nowMs + this.skewMs);

  /** The process begins. */
  start(join: string[] = []): this {
    const { world, id } = this;
    const stop = this.#stop = new AbortController();
    const log = {
      ...silentLogger,
      warn: (message: string, fields?: LogFields) => void this.warnings.push(`${message} ${JSON.stringify(fields)}`),
      error: (message: string, fields?: LogFields) => {
        throw new Error(message, { cause: fields?.error });
      },
    };
    this.members = new Members({
      self: { id, provider: "aws", region: "us-east-1", role: "origin", labels: {}, software: "0.1.0" },
      ledger: this.ledger,
      clock: new HybridClock(id),
      now: this.now,
      log,
      keys: this.options.keys ?? fakeKeys(id),
    });
    this.members.onMark = (from, reason) => this.marks.push(`${from}: ${reason}`);
    this.members.announce(this.url);
    this.gossip = new Gossip({
      members: this.members,
      network: world.network(this),
      ledger: this.ledger,
      settings: {
        ...swimDefaults,
        exchangeTimeoutMs: 5000,
        backoff: { leastMs: 250, mostMs: 30_000 },
        ...world.settings,
      },
      now: this.now,
      random: world.random,
      schedule: world.schedule,
      log,
      signal: stop.signal,
      content: () => create(wire.ContentSummarySchema, { digest: new Uint8Array(8), objects: 1000n }),
      onContent: () => {},
      onState: (of, state) => world.beliefs.push({ atMs: world.nowMs, by: id, of, state }),
    });
    this.members.onChange = () => this.gossip.follow();
    this.gossip.start();
    for (const url of join) this.gossip.join(url);
    return this;
  }

  /** The process ends without a word. */
  kill(): void {
    this.#stop?.abort();
    this.#stop = null;
  }

  /** What it believes of another. */
  sees(id: string): string {
    return this.gossip.state(id).state;
  }
}

/** Where one member differs. */
export interface MemberOptions {
  ledger?: Ledger;
  keys?: Keys;
  /** In its URL; its id unless told. */
  host?: string;
  url?: string;
}

/** The network, the time and all members. */
export class World {
  nowMs = 0;
  readonly random: () => number;
  readonly all: Member[] = [];
  readonly beliefs: Belief[] = [];
  readonly settings: Partial<GossipOptions["settings"]>;
  /** Of each message; may be changed. */
  link: (from: string, to: string) => Link = () => ({ delayMs: 10 + this.random() * 40, loss: 0 });
  /** True where the two cannot reach each other. */
  isCut: (a: string, b: string) => boolean = () => false;
  onSent: (sent: Sent) => void = () => {};
  #queue: { atMs: number; order: number; action: (() => void) | null }[] = [];
  #order = 0;

  constructor(seed = 1, settings: Partial<GossipOptions["settings"]> = {}) {
    this.random = seeded(seed);
    this.settings = settings;
  }

  member(id: string, options: MemberOptions = {}): Member {
    const member = new Member(this, id, options);
    this.all.push(member);
    return member;
  }

  /** Starts `count` members, each told of the first, and runs until all see each other alive. */
  async grown(count: number, certificate: Uint8Array<ArrayBuffer> = new Uint8Array()): Promise<Member[]> {
    const all = Array.from({ length: count }, (_, at) => {
      const id = `s${String(at).padStart(3, "0")}`;
      return this.member(id, { keys: fakeKeys(id, certificate) });
    });
    all.forEach((member, at) => member.start(at === 0 ? [] : [all[0]!.url]));
    await this.until("all see each other", () => this.isWhole());
    return all;
  }

  /** True where every server sees every other alive. */
  isWhole(): boolean {
    return this.all.every((a) => this.all.every((b) => a === b || a.sees(b.id) === "alive"));
  }

  schedule: Schedule = (action, ms) => {
    const entry: { atMs: number; order: number; action: (() => void) | null } = {
      atMs: this.nowMs + Math.max(0, ms),
      order: this.#order++,
      action,
    };
    push(this.#queue, entry);
    return () => entry.action = null;
  };

  /** Lets time pass. */
  async run(ms: number): Promise<void> {
    const endMs = this.nowMs + ms;
    while (this.#queue.length > 0 && this.#queue[0]!.atMs <= endMs) await this.#step();
    this.nowMs = endMs;
  }

  /** Lets time pass until something is so. @returns how long it took */
  async until(what: string, condition: () => boolean, mostMs = 600_000): Promise<number> {
    const begunMs = this.nowMs;
    for (let nextMs = this.nowMs; !condition();) {
      if (this.nowMs - begunMs > mostMs || this.#queue.length === 0) throw new Error(`never came true: ${what}`);
      nextMs += 50;
      await this.run(nextMs - this.nowMs);
    }
    return this.nowMs - begunMs;
  }

  /** Every process ends, and nothing of it runs any more. */
  async close(): Promise<void> {
    for (const member of this.all) member.kill();
    let open = this.all.length;
    for (const { gossip } of this.all) gossip.ended().then(() => open--);
    while (open > 0 && this.#queue.length > 0) await this.#step();
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (open > 0) throw new Error(`${open} members did not end`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  network(member: Member): Network {
    return {
      ask: (url, name, question, options) => this.#ask(member, url, name, question, options),
      openBody: () => Promise.reject(new TypeError("not here")),
      smallBodies: () => Promise.reject(new TypeError("not here")),
    };
  }

  async #step(): Promise<void> {
    const { atMs, action } = pop(this.#queue)!;
    this.nowMs = Math.max(this.nowMs, atMs);
    if (!action) return;
    action();
    // Everything that follows from it at this time happens before anything else does.
    await new Promise<void>((resolve) => setImmediate(resolve));
  }

  #ask<Name extends CallName>(
    from: Member,
    url: string,
    name: Name,
    question: Question<Name>,
    { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal },
  ): Promise<Answer<Name>> {
    return new Promise((resolve, reject) => {
      const fail = (words: string, status = 502) =>
        end(() => reject(new CdnError(`${url} ${words}`, { source: "peer", status, retry: true })));
      const end = (then: () => void) => {
        cancel();
        signal.removeEventListener("abort", abort);
        then();
      };
      const abort = () => fail("is not asked any more");
      const cancel = this.schedule(() => fail("did not answer in time"), timeoutMs);
      if (signal.aborted) return abort();
      signal.addEventListener("abort", abort);
      const to = this.all.find((one) => one.url === url && one.isUp) ?? this.all.find((one) => one.url === url);
      if (!to) return fail("is nobody");
      const carry = (there: boolean, message: Sent["message"], then: () => void) => {
        const [a, b] = there ? [from.id, to.id] : [to.id, from.id];
        this.onSent({ from: a, to: b, name, question: there, message });
        const { delayMs, loss } = this.link(a, b);
        const isLost = this.random() < loss;
        this.schedule(() => isLost || this.isCut(a, b) ? undefined : then(), delayMs);
      };
      carry(true, question as Sent["message"], () => {
        if (!to.isUp) return fail("refused the connection");
        this.schedule(async () => {
          try {
            const answer = name === "ping"
              ? await to.gossip.answerPing(question as wire.Ping, from.id)
              : to.gossip.answerServers(question as wire.ServerList, from.id);
            carry(false, answer, () => end(() => resolve(answer as Answer<Name>)));
          } catch (error) {
            if (!(error instanceof CdnError)) throw error;
            fail(`answered ${error.status}: ${error.message}`, error.status);
          }
        }, to.slowMs);
      });
    });
  }
}

type Entry = { atMs: number; order: number; action: (() => void) | null };

function before(a: Entry, b: Entry): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

/** A binary heap. */
function push(heap: Entry[], entry: Entry): void {
  let at = heap.push(entry) - 1;
  for (let up = (at - 1) >> 1; at > 0 && before(heap[at]!, heap[up]!); at = up, up = (at - 1) >> 1) {
    [heap[at], heap[up]] = [heap[up]!, heap[at]!];
  }
}

function pop(heap: Entry[]): Entry | undefined {
  const first = heap[0];
  const last = heap.pop();
  if (heap.length === 0 || !last) return first;
  heap[0] = last;
  for (let at = 0;;) {
    let least = at;
    for (const child of [2 * at + 1, 2 * at + 2]) {
      if (child < heap.length && before(heap[child]!, heap[least]!)) least = child;
    }
    if (least === at) return first;
    [heap[at], heap[least]] = [heap[least]!, heap[at]!];
    at = least;
  }
}
