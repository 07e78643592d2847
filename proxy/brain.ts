/**
 * What a proxy knows, and how it comes to know it: it follows the list of servers, measures each, asks what
 * their bytes cost, reports what left them, and publishes it all as a {@link View}. It decides nothing itself.
 */
import { type Codec, jsonCodec, wire } from "../proto/mod.ts";
import { create } from "@bufbuild/protobuf";
import { jittered } from "../runtime/jitter.ts";
import type { Logger } from "../runtime/log.ts";
import { PeerClient } from "../runtime/peer_client.ts";
import { words } from "../runtime/words.ts";
import { Directory, type Member } from "./directory.ts";
import type { Observation } from "./forwarding.ts";
import { Health } from "./health.ts";
import { type Loop, startLoop } from "./loop.ts";
import { Prices } from "./prices.ts";
import { PricingServers } from "./pricing_servers.ts";
import { probe, sampleRate } from "./probe.ts";
import { Quota } from "./quota.ts";
import type { ProxySettings } from "./settings.ts";
import type { Transport } from "../runtime/http1/transport.ts";
import { UsageMeter } from "./usage.ts";
import { emptyView, type ServerView, type View } from "./view.ts";
import { LinkWindow } from "./window.ts";

/** What a {@link Brain} needs of the world. */
export interface BrainOptions {
  settings: ProxySettings;
  /** Between our programs; null where none is set. */
  clusterKey: Uint8Array | null;
  /** Sent only where no cluster key is set, and only to the servers and pricing servers that were given. */
  token: string | null;
  /** A new transport for one probe. */
  openTransport(): Transport;
  log: Logger;
  /** Milliseconds since 1970, with a fraction. */
  now(): number;
  random(): number;
  fetch: typeof fetch;
  codec?: Codec;
  /** A name that no other run of any proxy has. */
  reporter: string;
}

/** One server and what was measured of it. */
interface Link {
  member: Member;
  window: LinkWindow;
  health: Health;
  /** When its rate was last measured. */
  rateMs: number;
  warmUntilMs: number;
  loop: Loop;
}

/** Measures and publishes. */
export class Brain {
  readonly #options: BrainOptions;
  readonly #settings: ProxySettings;
  readonly #links = new Map<string, Link>();
  readonly #prices: Prices;
  readonly #quota = new Quota();
  readonly #usage: UsageMeter;
  readonly #directory: Directory;
  readonly #pricing: PricingServers;
  readonly #given: PeerClient;
  readonly #learned: PeerClient;
  readonly #listeners = new Set<(view: View) => void>();
  readonly #leaving = new Set<Promise<void>>();
  #loops: { list: Loop; prices: Loop | null; usage: Loop | null } | null = null;
  #publishTimer: ReturnType<typeof setTimeout> | undefined;
  #view: View;
  #listTrouble = "the servers have not been asked yet";
  #priceTrouble = "";
  /** A tier's end was passed: ask again once usage is reported. */
  #priceChanged = false;

  constructor(options: BrainOptions) {
    this.#options = options;
    const { settings, clusterKey, token, fetch, now, codec, reporter, log } = options;
    this.#settings = settings;
    const common = { clusterKey, fetch, now, ...(codec ? { codec } : {}) };
    this.#given = new PeerClient({ ...common, token: clusterKey ? null : token });
    this.#learned = new PeerClient(common);
    const { servers, pricing: urls, avoidMs } = settings;
    this.#directory = new Directory(servers, { given: this.#given, learned: this.#learned, avoidMs, now });
    this.#pricing = new PricingServers({ urls, peers: this.#given, codec: codec ?? jsonCodec, avoidMs, now, log });
    this.#prices = new Prices(Math.max(3 * settings.priceIntervalMs, 1000));
    this.#usage = new UsageMeter(reporter);
    this.#view = emptyView(settings.policy, settings.weight);
  }

  /** Begins to learn. */
  start(): void {
    if (this.#loops) throw new Error("the brain runs already");
    const { listIntervalMs, priceIntervalMs, usageIntervalMs, pricing } = this.#settings;
    const { random } = this.#options;
    const priced = pricing.length > 0;
    this.#loops = {
      list: startLoop((signal) => this.#followList(signal), () => jittered(listIntervalMs, random)),
      prices: priced ? startLoop((signal) => this.#askPrices(signal), () => jittered(priceIntervalMs, random)) : null,
      usage: priced ? startLoop((signal) => this.#reportUsage(signal), () => jittered(usageIntervalMs, random)) : null,
    };
  }

  /** Ends it, after a last report of usage. */
  async close(): Promise<void> {
    const loops = this.#loops;
    this.#loops = null;
    clearTimeout(this.#publishTimer);
    const probes = [...this.#links.values()].map(({ loop }) => loop.close());
    this.#links.clear();
    await Promise.all([
      loops?.list.close(),
      loops?.prices?.close(),
      loops?.usage?.close(),
      ...probes,
      ...this.#leaving,
    ]);
    clearTimeout(this.#publishTimer);
    if (loops?.usage) await this.#reportUsage(AbortSignal.timeout(3000));
  }

  /** What is known now. */
  view(): View {
    return this.#view;
  }

  /** Calls back with each new view until the function that comes back is called. */
  onView(listener: (view: View) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Takes note of how an attempt at a server went. */
  observe(observation: Observation): void {
    const link = this.#links.get(observation.serverId);
    if (!link) return;
    const { outcome, atMs, bytes } = observation;
    const { log, random, now } = this.#options;
    this.#count(link, bytes);
    if (outcome === "ok" || outcome === "viewer-left") {
      if (outcome === "ok") {
        link.warmUntilMs = atMs + this.#settings.warmMs;
        this.#wentWell(link);
      }
      if (link.window.observe(observation)) link.rateMs = atMs;
      this.#publishSoon();
      return;
    }
    const wasUp = link.health.excluded === "";
    if (!link.health.failed(outcome, now(), random()) || !wasUp) return;
    link.warmUntilMs = 0;
    log.warn("a server is down", { server: link.member.id, why: link.health.excluded });
    // Its next probe is due earlier or later than it was.
    link.loop.wake();
    this.#publish();
  }

  async #followList(signal: AbortSignal): Promise<void> {
    try {
      const up = [...this.#links.values()].filter(({ health }) => health.excluded === "");
      const members = await this.#directory.ask(up.map(({ member }) => member.origin), { signal });
      if (signal.aborted) return;
      this.#listTrouble = members.length ? "" : "the list of servers is empty";
      this.#keep(members);
    } catch (error) {
      if (signal.aborted) return;
      const trouble = `no server tells the list of servers: ${words(error)}`;
      if (this.#listTrouble !== trouble) this.#options.log.warn(trouble, { known: this.#links.size });
      this.#listTrouble = trouble;
      this.#publish();
    }
  }

  /** Begins with servers that are new, ends with those that are gone, and keeps what is known of the others. */
  #keep(members: Member[]): void {
    let changed = false;
    const ids = new Set(members.map(({ id }) => id));
    for (const [id, link] of this.#links) {
      const member = members.find((one) => one.id === id);
      if (ids.has(id) && member!.origin === link.member.origin) continue;
      this.#links.delete(id);
      const gone = link.loop.close().finally(() => this.#leaving.delete(gone));
      this.#leaving.add(gone);
      changed = true;
    }
    for (const member of members) {
      const known = this.#links.get(member.id);
      if (known) {
        changed ||= (["provider", "region", "lastResort"] as const).some((one) => known.member[one] !== member[one]);
        known.member = member;
      } else {
        this.#links.set(member.id, this.#begin(member));
        changed = true;
      }
    }
    if (!changed) return;
    this.#options.log.info("the servers are", { ids: members.map(({ id }) => id).join(",") || "none" });
    this.#publish();
    this.#loops?.prices?.wake();
  }

  #begin(member: Member): Link {
    const { probeIntervalMs } = this.#settings;
    const { random, now } = this.#options;
    const link: Link = {
      member,
      window: new LinkWindow({
        halfLifeMs: 1.5 * probeIntervalMs,
        rateHalfLifeMs: Math.max(30_000, 1.5 * probeIntervalMs),
      }),
      health: new Health({ firstMs: Math.min(1000, probeIntervalMs), mostMs: Math.max(30_000, probeIntervalMs) }),
      rateMs: -Infinity,
      warmUntilMs: 0,
      loop: undefined as unknown as Loop,
    };
    link.loop = startLoop((signal) => this.#measure(link, signal), () => {
      const { retryAtMs } = link.health;
      return retryAtMs === null ? jittered(probeIntervalMs, random) : Math.max(10, retryAtMs - now());
    });
    return link;
  }

  async #measure(link: Link, closing: AbortSignal): Promise<void> {
    const { openTransport, now, random, log } = this.#options;
    const { probeTimeoutMs, sampleIntervalMs, sampleBytes } = this.#settings;
    const { member, window, health } = link;
    if (!health.mayProbe(now())) return;
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), probeTimeoutMs);
    const signal = AbortSignal.any([closing, late.signal]);
    try {
      const { connectMs, rttMs } = await probe(member.origin, openTransport(), signal);
      window.connected(now(), connectMs);
      window.answered(now(), rttMs);
      this.#wentWell(link);
      this.#publishSoon();
    } catch (error) {
      if (closing.aborted) return;
      const wasUp = health.excluded === "";
      const why = late.signal.aborted ? `no answer to a probe in ${probeTimeoutMs} ms` : words(error);
      health.failed("connect-failed", now(), random(), why);
      link.warmUntilMs = 0;
      if (wasUp) log.warn("a server is down", { server: member.id, why });
      this.#publish();
      return;
    } finally {
      clearTimeout(timer);
    }
    if (now() - link.rateMs < sampleIntervalMs) return;
    // Whatever comes of it, not again before its time: bytes cost money.
    link.rateMs = now();
    try {
      const timeoutMs = 4 * probeTimeoutMs;
      const { bytes, ms } = await sampleRate(member.origin, {
        peers: this.#learned,
        bytes: sampleBytes,
        now,
        timeoutMs,
        signal: closing,
      });
      window.transferred(now(), bytes, ms);
      this.#count(link, bytes);
      this.#publishSoon();
    } catch (error) {
      if (!closing.aborted) log.debug("cannot sample a rate", { server: member.id, why: words(error) });
    }
  }

  #wentWell(link: Link): void {
    const wasDown = link.health.excluded !== "";
    link.health.succeeded();
    if (!wasDown) return;
    this.#options.log.info("a server is back", { server: link.member.id });
    this.#publish();
  }

  #count({ member }: Link, bytes: number): void {
    this.#usage.add(member, bytes, this.#options.now());
    if (!this.#quota.spend(member.provider, bytes)) return;
    // The report goes first, and prices are asked after it: a quote is made from what has been reported.
    this.#priceChanged = true;
    this.#loops?.usage?.wake();
  }

  async #askPrices(signal: AbortSignal): Promise<void> {
    const members = [...this.#links.values()].map(({ member }) => member);
    if (members.length === 0) return;
    const question = create(wire.QuoteRequestSchema, {
      bytes: BigInt(this.#settings.assumedBytes),
      places: members.map(({ provider, region, id }) => ({ provider, region, server: id })),
    });
    try {
      const answer = await this.#pricing.quote(question, signal);
      if (this.#priceTrouble) this.#options.log.info("prices are fresh again");
      this.#priceTrouble = "";
      this.#prices.learn(answer, this.#options.now());
      this.#quota.quoted(members.flatMap((member) => {
        const until = this.#prices.of(member)?.bytesUntilChange;
        return until === null || until === undefined ? [] : [[member.provider, until] as [string, number]];
      }));
    } catch (error) {
      if (signal.aborted) return;
      const trouble = `no pricing server answers: ${words(error)}`;
      if (!this.#priceTrouble) this.#options.log.warn(trouble, { prices: this.#prices.state(this.#options.now()) });
      this.#priceTrouble = trouble;
    }
    this.#publish();
  }

  async #reportUsage(signal: AbortSignal): Promise<void> {
    const askAgain = () => {
      if (this.#priceChanged) this.#loops?.prices?.wake();
      this.#priceChanged = false;
    };
    await this.#pricing.report(this.#usage, signal, askAgain);
    askAgain(); // where nobody took it, prices may have become others all the same
  }

  /** Many small changes make one view. */
  #publishSoon(): void {
    this.#publishTimer ??= setTimeout(() => this.#publish(), this.#settings.publishIntervalMs);
  }

  #publish(): void {
    clearTimeout(this.#publishTimer);
    this.#publishTimer = undefined;
    if (!this.#loops) return;
    const now = this.#options.now();
    const servers = [...this.#links.values()].map((link) => this.#serverView(link, now));
    this.#view = {
      policy: this.#settings.policy,
      weight: this.#settings.weight,
      prices: servers.some(({ nanoPerGb }) => !Number.isNaN(nanoPerGb)) ? this.#prices.state(now) : "none",
      servers: servers.sort((a, b) => a.id < b.id ? -1 : 1),
      trouble: [this.#listTrouble, this.#priceTrouble].filter(Boolean).join("; "),
    };
    for (const listener of this.#listeners) listener(this.#view);
  }

  #serverView({ member, window, health, warmUntilMs }: Link, nowMs: number): ServerView {
    const price = this.#prices.of(member);
    return {
      ...member,
      ...window.estimate(nowMs),
      warmUntilMs,
      egressNanoPerGb: price?.egressNanoPerGb ?? 0,
      serverNanoPerGb: price?.serverNanoPerGb ?? 0,
      nanoPerGb: price ? price.egressNanoPerGb + price.serverNanoPerGb : NaN,
      priceConfidence: price?.confidence ?? "none",
      excluded: health.excluded,
    };
  }
}
