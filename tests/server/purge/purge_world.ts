/** Servers with caches in virtual time: what they say to each other takes time, gets lost, and goes through the codec. */
import { join } from "@std/path";
import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { CdnError, HybridClock, protobufCodec, wire } from "../../../proto/mod.ts";
import { silentLogger } from "../../../runtime/log.ts";
import type { CallName } from "../../../server/cluster/calls.ts";
import { calls } from "../../../server/cluster/calls.ts";
import type { Selection } from "../../../server/edge/cache/cache.ts";
import { RecentPurges } from "../../../server/edge/recent_purges.ts";
import {
  createPurges,
  openPurgeLog,
  type PurgeMembers,
  type Purges,
  purgeSettings,
} from "../../../server/purge/mod.ts";
import type { Purgeable, PurgeSettings } from "../../../server/purge/mod.ts";
import { World } from "../../sim/world.ts";

/** What a cache holds for a key. */
export interface Stored {
  content: string;
  tags: readonly string[];
  responseMs: number;
}

/** A cache that takes its time, and may be broken. It outlives its server's process. */
export class FakeCache implements Purgeable {
  readonly stored = new Map<string, Stored>();
  /** Purges that it was given. */
  readonly purges: { selection: Selection; soft: boolean }[] = [];
  broken = false;
  /** As an edge's cache has them. */
  readonly recent = new RecentPurges();

  constructor(readonly pause: () => Promise<void>) {}

  async purge(selection: Selection, { soft }: { soft: boolean }): Promise<number> {
    this.recent.note(selection, soft);
    await this.pause();
    if (this.broken) throw new Error("the disk is on fire");
    this.purges.push({ selection, soft });
    let count = 0;
    for (const [key, { tags }] of this.stored) {
      const isMeant = selection.keys.includes(key) || selection.prefixes.some((prefix) => key.startsWith(prefix)) ||
        selection.tags.some((tag) => tags.includes(tag));
      if (!isMeant) continue;
      this.stored.delete(key);
      count++;
    }
    return count;
  }

  put(key: string, content: string, tags: readonly string[] = [], responseMs = 0): void {
    this.stored.set(key, { content, tags, responseMs });
  }
}

/** One server. */
export class Member {
  readonly cache: FakeCache;
  /** Null while it does not run. */
  purges: Purges | null = null;
  /** What the others take it for. */
  state = "alive";
  /** Calls that it answered. */
  readonly calls: string[] = [];

  constructor(readonly world: PurgeWorld, readonly id: string, readonly role: "edge" | "origin") {
    this.cache = new FakeCache(() => world.pause(5));
  }

  /** The running purges. */
  get up(): Purges {
    return this.purges!;
  }

  async start({ expectsOthers = false } = {}): Promise<void> {
    const { world } = this;
    const settings = purgeSettings(world.settings);
    const ledger = await openPurgeLog(join(world.folder, `${this.id}.sqlite`), settings, {
      now: world.now,
      log: silentLogger,
    });
    this.purges = createPurges({
      self: this.id,
      clock: new HybridClock(this.id),
      ledger,
      ...(this.role === "edge" && { cache: this.cache }),
      now: world.now,
      tick: world.now,
      random: world.random,
      schedule: world.schedule,
      log: silentLogger,
      settings: world.settings,
    });
    this.purges.start(world.membersOf(this), { expectsOthers });
  }

  async stop(): Promise<void> {
    const { purges } = this;
    this.purges = null;
    await purges?.close();
  }
}

/** All of them, and the network between them. */
export class PurgeWorld implements AsyncDisposable {
  readonly world = new World({ events: 2_000_000, virtualMs: 1000 * 24 * 3_600_000 });
  readonly members: Member[] = [];
  readonly folder: string = Deno.makeTempDirSync({ prefix: "metacdn-purge-" });
  /** "a b": nothing gets from a to b. */
  readonly cuts = new Set<string>();
  readonly startMs = Date.UTC(2026, 10, 25);

  /** @param random from 0 up to 1 */
  constructor(readonly random: () => number = () => 0.5, readonly settings: Partial<PurgeSettings> = {}) {}

  now = (): number => this.startMs + Math.floor(this.world.nowMs);
  schedule = (action: () => void, ms: number): () => void => this.world.after(ms, action);

  /** Adds a server that runs. */
  async add(id: string, role: "edge" | "origin" = "edge"): Promise<Member> {
    const member = new Member(this, id, role);
    this.members.push(member);
    await member.start();
    return member;
  }

  /** Up to `ms`. */
  pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.world.after(this.random() * ms, resolve));
  }

  /** Nothing gets from one to the other, either way. */
  cut(a: Member, b: Member): void {
    this.cuts.add(`${a.id} ${b.id}`).add(`${b.id} ${a.id}`);
  }

  heal(a: Member, b: Member): void {
    this.cuts.delete(`${a.id} ${b.id}`);
    this.cuts.delete(`${b.id} ${a.id}`);
  }

  /** Cuts one off from all others; `hears` ends that, as gossip would tell it. */
  isolate(member: Member): { hears: () => void } {
    const others = this.members.filter((other) => other !== member);
    for (const other of others) this.cut(member, other);
    return {
      hears: () => {
        for (const other of others) this.heal(member, other);
        member.purges?.back();
        for (const other of others) other.purges?.met(member.id);
      },
    };
  }

  run<T>(what: string, promise: Promise<T>, ms = 60_000): Promise<T> {
    // What needs no time settles at the next event: there must be one.
    this.world.after(0, () => {});
    return this.world.until(what, promise, ms);
  }

  purge(at: Member, request: { urls?: string[]; prefixes?: string[]; tags?: string[]; soft?: boolean }) {
    return this.run(`purge at ${at.id}`, at.up.purge(create(wire.PurgeRequestSchema, request)));
  }

  /** What is said reaches the other, and comes back; or there is no answer in time. */
  async carry<T>(
    from: Member,
    to: Member | undefined,
    timeoutMs: number,
    work: (to: Member) => Promise<T>,
  ): Promise<T> {
    const isCut = () => this.cuts.has(`${from.id} ${to?.id}`);
    await this.pause(5);
    if (!to?.purges && !isCut()) throw unreachable(`${to?.id} refuses connections`);
    if (isCut()) await this.lost(timeoutMs, to!);
    const answer = await work(to!);
    await this.pause(5);
    if (this.cuts.has(`${to!.id} ${from.id}`)) await this.lost(timeoutMs, to!);
    return answer;
  }

  async lost(timeoutMs: number, to: Member): Promise<never> {
    await new Promise<void>((resolve) => void this.world.after(timeoutMs, resolve));
    throw unreachable(`${to.id} does not answer`);
  }

  membersOf(self: Member): PurgeMembers {
    return {
      servers: () =>
        [self, ...this.members.filter((other) => other !== self)].map((member) =>
          create(wire.ServerSchema, {
            id: member.id,
            url: `http://${member.id}`,
            role: member.role,
            health: { state: member === self ? "self" : member.state },
          })
        ),
      ask: (url, name, question, { timeoutMs }) => {
        const to = this.members.find(({ id }) => url === `http://${id}`);
        return this.carry(self, to, timeoutMs, async (to) => {
          to.calls.push(name);
          const { question: asked, answer } = calls[name as CallName];
          const sent = overTheWire(asked, question as never);
          const purges = to.purges;
          if (!purges) throw unreachable(`${to.id} is gone`);
          const said = name === "purge" ? await purges.take(sent as never) : purges.list(sent as never);
          return overTheWire(answer, said as never) as never;
        });
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closing = Promise.all(this.members.map((member) => member.stop()));
    await this.run("closing", closing);
    await Deno.remove(this.folder, { recursive: true });
  }
}

function overTheWire<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): MessageShape<Desc> {
  return protobufCodec.decode(schema, protobufCodec.encode(schema, message));
}

function unreachable(message: string): CdnError {
  return new CdnError(message, { source: "peer", status: 502, retry: true });
}
