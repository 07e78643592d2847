/**
 * How the list is shared, and how we know who can be reached: each server exchanges its whole list with
 * each other one, at a heartbeat and whenever the list changed.
 */
import { CdnError, compareVersions, wire } from "../../proto/mod.ts";
import type { Logger } from "../../runtime/log.ts";
import { type PeerClient, words } from "../../runtime/peer_client.ts";
import type { Health } from "./health.ts";
import type { Members } from "./members.ts";
import { stampOf } from "./records.ts";
import { backoffMs, type ClusterSettings } from "./settings.ts";
import { type Schedule, Wake } from "./wake.ts";

/** What gossip works with. */
export interface GossipOptions {
  members: Members;
  health: Health;
  peers: PeerClient;
  settings: ClusterSettings;
  random: () => number;
  schedule: Schedule;
  log: Logger;
  signal: AbortSignal;
  /** A server answers that did not before. */
  onReached: (id: string) => void;
}

/** The loops of one server: one for each other server, and one for each address of the config until it answered. */
export class Gossip {
  readonly #options: GossipOptions;
  readonly #hearts = new Map<string, { wake: Wake; stop: AbortController }>();
  readonly #loops = new Set<Promise<void>>();

  constructor(options: GossipOptions) {
    this.#options = options;
  }

  /** Asks the server at `url` again and again until it has answered once. */
  join(url: string): void {
    this.#run(this.#join(url));
  }

  /** Follows the list: begins and ends heartbeats, and tells everybody what is new. */
  follow(): void {
    const others = new Set(this.#options.members.others().map(({ id }) => id));
    for (const [id, { stop }] of this.#hearts) {
      if (others.has(id)) continue;
      stop.abort();
      this.#hearts.delete(id);
      this.#options.health.forget(id);
    }
    for (const id of others) {
      const heart = this.#hearts.get(id);
      if (heart) heart.wake.call();
      else {
        const begun = { wake: new Wake(this.#options.schedule), stop: new AbortController() };
        this.#hearts.set(id, begun);
        this.#run(this.#beat(id, begun.wake, AbortSignal.any([begun.stop.signal, this.#options.signal])));
      }
    }
  }

  /** A server that we could not reach called us: try it now. */
  heard(id: string): void {
    this.#options.health.heard(id);
    if (this.#options.health.isMissing(id)) this.#hearts.get(id)?.wake.call();
  }

  /**
   * Tells the server at `url` our list and learns its own.
   * @returns its own record; ours where it is ourselves
   * @throws {CdnError} source "peer" where it does not answer.
   */
  async exchange(url: string, signal: AbortSignal = this.#options.signal): Promise<wire.Server> {
    const { members, peers, settings } = this.#options;
    const list = await peers.ask(`${url}/-/v1/peer/servers`, wire.ServerListSchema, {
      question: [wire.ServerListSchema, members.list()],
      timeoutMs: settings.exchangeTimeoutMs,
      signal,
    });
    const [speaker] = list.servers;
    if (!speaker || speaker.removed) {
      throw new CdnError(`Cannot learn who is at ${url}: its list does not begin with itself`, { source: "peer" });
    }
    this.greet(speaker, url);
    if (speaker.id === members.self.id) return members.self;
    // A removed server's words about others count no longer.
    if (!members.isRemoved(speaker.id)) members.learn(list.servers, speaker.id);
    return speaker;
  }

  /** @throws {CdnError} 409 where another server has our own id. */
  greet(speaker: wire.Server, from: string): void {
    const { self } = this.#options.members;
    if (speaker.id !== self.id) return;
    if (speaker.url === self.url && compareVersions(stampOf(speaker), stampOf(self)) === 0) return;
    this.#options.members.warnOfTwin(from);
    throw new CdnError(`Another server has the same id as this one: ${self.id}`, { source: "peer", status: 409 });
  }

  /** Resolves when no loop runs any more; the signal must have been aborted. */
  async ended(): Promise<void> {
    await Promise.all(this.#loops);
  }

  async #join(url: string): Promise<void> {
    const { settings, random, schedule, signal, log, members } = this.#options;
    const wake = new Wake(schedule);
    for (let failures = 0; !signal.aborted;) {
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

  async #beat(id: string, wake: Wake, signal: AbortSignal): Promise<void> {
    const { members, health, settings, random, log } = this.#options;
    for (let failures = 0; !signal.aborted;) {
      const url = members.get(id)?.url;
      if (url === undefined) return;
      try {
        const speaker = await this.exchange(url, signal);
        if (speaker.id !== id) throw new CdnError(`${url} is ${speaker.id}, not ${id}`, { source: "peer" });
        failures = 0;
        if (health.reached(id)) {
          log.info("a server is reachable", { id, url });
          this.#options.onReached(id);
        }
      } catch (error) {
        if (signal.aborted) return;
        failures++;
        if (health.missed(id, words(error))) log.warn("a server is unreachable", { id, url, error: words(error) });
      }
      const heartbeat = settings.heartbeatMs * (0.75 + random() / 2);
      await wake.sleep(heartbeat + (failures ? backoffMs(failures, settings.backoff, random) : 0), signal);
    }
  }

  #run(loop: Promise<void>): void {
    this.#loops.add(loop);
    loop.finally(() => this.#loops.delete(loop));
  }
}
