/** Servers without a network or a disk: what they know, and how they compare it. Every message passes both codecs. */
import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { delay } from "@std/async";
import {
  CdnError,
  compareVersions,
  jsonCodec,
  type Manifest,
  manifestFromWire,
  manifestToWire,
  protobufCodec,
  tombstone,
  type Version,
  wire,
} from "../../../proto/mod.ts";
import { silentLogger } from "../../../runtime/log.ts";
import { type Answer, type CallName, calls, type Question } from "../../../server/cluster/calls.ts";
import { Catalog, type Known } from "../../../server/cluster/catalog.ts";
import { MemoryLedger } from "../../../server/cluster/memory_ledger.ts";
import type { Peer } from "../../../server/cluster/ports.ts";
import { Repair, type RepairSettings } from "../../../server/cluster/repair.ts";
import { clusterDefaults } from "../../../server/cluster/settings.ts";
import { Staleness } from "../../../server/cluster/stale.ts";
import type { Schedule } from "../../../server/cluster/wake.ts";
import { memoryStore } from "../../../server/store/memory.ts";
import type { Store } from "../../../server/store/store.ts";
import { manifestOf, pattern } from "../../suite/store_suite.ts";

export const HOUR = 3_600_000;
export const DAY = 24 * HOUR;
/** A whole hour. */
export const START = 500_000 * HOUR;

/** Time that passes only where it is told to. */
export class VirtualTime {
  nowMs = START;
  readonly #timers = new Set<{ atMs: number; action: () => void }>();
  readonly now = (): number => this.nowMs;

  readonly schedule: Schedule = (action, ms) => {
    const timer = { atMs: this.nowMs + ms, action };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  };

  /** As if every process had stood still for `ms`. */
  leap(ms: number): void {
    this.nowMs += ms;
  }

  /** Lets `ms` pass, timer by timer. */
  async pass(ms: number): Promise<void> {
    const endMs = this.nowMs + ms;
    while (true) {
      await delay(0); // everything that needs no timer has its turn
      const [next] = [...this.#timers].filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs);
      if (!next) break;
      this.#timers.delete(next);
      this.nowMs = Math.max(this.nowMs, next.atMs);
      next.action();
    }
    this.nowMs = endMs;
  }
}

/** Timers that do not wait, for what never sleeps. */
export const atOnce: Schedule = (action) => {
  let off = false;
  queueMicrotask(() => off || action());
  return () => void (off = true);
};

/** A store that can lose bodies. */
export type LosingStore = Store & { lose(sha256: string): void };

export function losingStore(store: Store = memoryStore({ graceMs: Infinity })): LosingStore {
  const lost = new Set<string>();
  const held = (manifest: Manifest) => manifest.deleted || !lost.has(manifest.sha256);
  return {
    get: (path) => store.get(path),
    list: (query) => store.list(query),
    forget: (path, version) => store.forget(path, version),
    open: (sha256, range) => lost.has(sha256) ? Promise.resolve(null) : store.open(sha256, range),
    async stage(source, expected) {
      const staged = await store.stage(source, expected);
      lost.delete(staged.sha256);
      return staged;
    },
    async put(manifest) {
      const known = await store.get(manifest.path);
      const isNews = !known || compareVersions(known.version, manifest.version) < 0;
      if (isNews && !held(manifest)) throw new CdnError("no body", { source: "client", status: 409 });
      return await store.put(manifest);
    },
    onLost: () => {},
    lose(sha256) {
      lost.add(sha256);
      this.onLost({ sha256, reason: "test" });
    },
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

export function stampOf(wallMs: number, server = "a", counter = 0): Version {
  return { wallMs, counter, server };
}

/** A live manifest of a small body that its version tells. */
export function live(path: string, version: Version): Manifest {
  return manifestOf(path, version, pattern(10, version.wallMs % 1000));
}

export { tombstone };

/** What passed between servers. */
export interface Traffic {
  messages: number;
  /** Questions and answers, encoded. */
  json: number;
  protobuf: number;
}

/** Replaces an answer, or throws. */
export type Meddle = <Name extends CallName>(
  name: Name,
  question: Question<Name>,
  answer: () => Promise<Answer<Name>>,
) => Promise<Answer<Name>>;

/** Servers by their URL. */
export class Net {
  readonly sites = new Map<string, Site>();
  readonly traffic: Traffic = { messages: 0, json: 0, protobuf: 0 };
  /** The largest message in either encoding, in bytes. */
  largest = 0;
  meddle: Meddle = (_name, _question, answer) => answer();

  async ask<Name extends CallName>(url: string, name: Name, question: Question<Name>): Promise<Answer<Name>> {
    const site = this.sites.get(url);
    if (!site) throw new CdnError("no answer", { source: "peer", retry: true });
    this.traffic.messages++;
    const heard = this.#pass(calls[name].question as DescMessage, question as never) as Question<Name>;
    const answer = await this.meddle(name, heard, () => site.answer(name, heard));
    await Promise.resolve();
    return this.#pass(calls[name].answer as DescMessage, answer as never) as Answer<Name>;
  }

  #pass<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): MessageShape<Desc> {
    const json = jsonCodec.encode(schema, message);
    const protobuf = protobufCodec.encode(schema, message);
    this.traffic.json += json.length;
    this.traffic.protobuf += protobuf.length;
    this.largest = Math.max(this.largest, json.length, protobuf.length);
    return this.traffic.messages % 2 ? jsonCodec.decode(schema, json) : protobufCodec.decode(schema, protobuf);
  }
}

export interface SiteOptions {
  net: Net;
  id: string;
  time?: VirtualTime;
  store?: LosingStore;
  ledger?: MemoryLedger;
  settings?: Partial<RepairSettings>;
  hasMembers?: boolean;
  check?: (manifest: Manifest) => string | null;
}

/** One server. */
export class Site implements Peer {
  readonly id: string;
  readonly url: string;
  readonly store: LosingStore;
  readonly ledger: MemoryLedger;
  readonly catalog: Catalog;
  readonly staleness: Staleness;
  readonly repair: Repair;
  readonly stop = new AbortController();
  readonly aside: Manifest[] = [];
  /** Others that it can reach. */
  readonly peers = new Map<string, Peer>();

  constructor({ net, id, time, store, ledger, settings, hasMembers = false, check = () => null }: SiteOptions) {
    this.id = id;
    this.url = `http://${id}`;
    this.store = store ?? losingStore();
    this.ledger = ledger ?? new MemoryLedger();
    const all = { ...clusterDefaults, ...settings };
    const now = time?.now ?? (() => START);
    const common = { now, log: silentLogger, signal: this.stop.signal, schedule: time?.schedule ?? atOnce };
    this.staleness = new Staleness({
      ...common,
      ledger: this.ledger,
      settings: all,
      setAside: (manifests) => Promise.resolve(void this.aside.push(...manifests)),
    }, hasMembers);
    this.catalog = new Catalog({
      ...common,
      store: this.store,
      ledger: this.ledger,
      settings: all,
      stale: () => this.staleness.told,
    });
    this.repair = new Repair({
      ...common,
      self: id,
      catalog: this.catalog,
      wanted: this.ledger.wanted,
      staleness: this.staleness,
      network: net,
      trust: { check },
      offer: async (peer, manifests) => {
        const offer = create(wire.OfferSchema, {
          from: id,
          url: `${this.url}:80`,
          manifests: manifests.map(manifestToWire),
        });
        await net.ask(this.peers.get(peer)?.url ?? `http://${peer}`, "offers", offer);
      },
      reach: (peer) => this.peers.get(peer) ?? null,
      settings: all,
      random: () => 0.5,
    });
    net.sites.set(this.url, this);
  }

  /** As the endpoints would. */
  async answer<Name extends CallName>(name: Name, question: Question<Name>): Promise<Answer<Name>> {
    const one: Record<string, () => unknown> = {
      tree: () => this.repair.answerTree(question as wire.TreeQuestion),
      manifests: () => this.repair.answerManifests(question as wire.ManifestsQuestion),
      lacks: () => this.repair.answerLacks(question as wire.LacksQuestion),
      offers: async () => {
        const { manifests } = question as wire.Offer;
        await Promise.all(manifests.map((manifest) => this.catalog.learn(manifestFromWire(manifest))));
        const results = manifests.map(() => ({ outcome: wire.OfferAnswer_Outcome.PULLING, reason: "" }));
        return create(wire.OfferAnswerSchema, { results });
      },
    };
    return await one[name]!() as Answer<Name>;
  }

  async learn(manifests: Manifest[]): Promise<void> {
    for (let at = 0; at < manifests.length; at += 1000) {
      await Promise.all(manifests.slice(at, at + 1000).map((manifest) => this.catalog.learn(manifest)));
    }
  }

  /** Everything that is known, in order. */
  async all(): Promise<Known[]> {
    return (await this.catalog.knows(0, 2 ** 48, 1e9)).entries;
  }

  async close(): Promise<void> {
    this.stop.abort();
    await Promise.all([this.repair.ended(), this.catalog.ended()]);
  }
}

/** A site whose catalog was read. */
export async function openSite(options: SiteOptions): Promise<Site> {
  const site = new Site(options);
  const opened = site.catalog.open();
  await options.time?.pass(0);
  await opened;
  return site;
}
