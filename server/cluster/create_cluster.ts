/** Puts the pieces together: members and gossip, a sender for each other server, and the receiver. */
import { clone, create } from "@bufbuild/protobuf";
import { join } from "@std/path";
import { CdnError, type HybridClock, type Manifest, normalAuthority, splitTarget, wire } from "../../proto/mod.ts";
import type { Logger } from "../../runtime/log.ts";
import type { PeerClient } from "../../runtime/peer_client.ts";
import type { Store } from "../store/store.ts";
import type { Cluster } from "./cluster.ts";
import { Gossip } from "./gossip.ts";
import { Health } from "./health.ts";
import { Holders } from "./holders.ts";
import { Ledger } from "./ledger.ts";
import { Members, type Self } from "./members.ts";
import { Puller } from "./pull.ts";
import { Receiver } from "./receive.ts";
import { Sender } from "./replicate.ts";
import { type ClusterSettings, clusterSettings } from "./settings.ts";
import { byTimer, type Schedule } from "./wake.ts";

/** What a cluster is made from. Time, chance, timers and the network come from outside. */
export interface ClusterDeps {
  self: Self;
  /** For `cluster.sqlite` and `partial/`; on the store's own disk, so that a whole body need only be moved. */
  folder: string;
  store: Store;
  clock: HybridClock;
  /** Carries the encoding and the cluster key. */
  peers: PeerClient;
  random?: () => number;
  now?: () => number;
  schedule?: Schedule;
  log: Logger;
  settings?: Partial<ClusterSettings>;
}

/**
 * One server's view of its cluster.
 * @throws {RangeError} for wrong settings.
 */
export async function createCluster(deps: ClusterDeps): Promise<Cluster> {
  const given = { random: Math.random, now: Date.now, schedule: byTimer, ...deps };
  const settings = clusterSettings(deps.settings);
  const { self, folder, clock, now, log } = given;
  await Deno.mkdir(folder, { recursive: true });
  const ledger = new Ledger(join(folder, "cluster.sqlite"));
  try {
    const members = new Members({ self, ledger, clock, now, log });
    const cluster = new RunningCluster({ ...given, settings, ledger, members });
    await cluster.prepare();
    return cluster;
  } catch (error) {
    ledger.close();
    throw error;
  }
}

type Parts = Required<Omit<ClusterDeps, "settings">> & { settings: ClusterSettings; ledger: Ledger; members: Members };

class RunningCluster implements Cluster {
  readonly #parts: Parts;
  readonly #stop = new AbortController();
  readonly #health: Health;
  readonly #holders = new Holders();
  readonly #gossip: Gossip;
  readonly #puller: Puller;
  readonly #receiver: Receiver;
  readonly #senders = new Map<string, Sender>();
  /** Senders that are ending; the next one for the same server begins after them. */
  readonly #ending = new Map<string, Promise<void>>();
  /** Requests of others that are being answered. */
  readonly #answering = new Set<Promise<unknown>>();
  #started = false;

  constructor(parts: Parts) {
    this.#parts = parts;
    const { signal } = this.#stop;
    const { members } = parts;
    this.#health = new Health(parts.now);
    this.#gossip = new Gossip({
      ...parts,
      health: this.#health,
      signal,
      onReached: (id) => this.#senders.get(id)?.reached(),
    });
    this.#puller = new Puller({ ...parts, health: this.#health, signal, folder: join(parts.folder, "partial") });
    this.#receiver = new Receiver({
      ...parts,
      holders: this.#holders,
      puller: this.#puller,
      signal,
      onStored: () => this.changed(),
    });
    members.onChange = () => this.#follow();
    members.onAdmin = (id) => this.#forget(id);
  }

  async prepare(): Promise<void> {
    await this.#puller.prepare(this.#parts.now());
  }

  start(url: string, peers: readonly string[]): void {
    if (this.#started || this.#stop.signal.aborted) throw new TypeError("a cluster is started once");
    this.#started = true;
    this.#parts.members.announce(url);
    this.#follow();
    for (const peer of new Set(peers)) if (peer !== url) this.#gossip.join(peer);
  }

  async close(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort(new CdnError("The server is closing", { source: "server", status: 503, retry: true }));
    await Promise.all([
      this.#gossip.ended(),
      this.#receiver.ended(),
      ...[...this.#senders.values()].map((sender) => sender.close()),
      ...this.#ending.values(),
    ]);
    await Promise.allSettled(this.#answering);
    this.#parts.ledger.close();
  }

  changed(): void {
    for (const sender of this.#senders.values()) sender.changed();
  }

  servers(): wire.Server[] {
    const { members, now } = this.#parts;
    const self = clone(wire.ServerSchema, members.self);
    self.health = create(wire.ServerHealthSchema, { state: "self", lastHeardMs: BigInt(now()) });
    return [self, ...members.others().map((server) => this.#withHealth(server))];
  }

  isAnother(authority: string): boolean {
    const { members } = this.#parts;
    const has = ({ url }: wire.Server) => normalAuthority(splitTarget(url)) === authority;
    return !has(members.self) && members.others().some(has);
  }

  async addServer(url: string): Promise<wire.Server> {
    this.#requireOpen();
    const record = await this.#gossip.exchange(url);
    this.#requireOpen();
    const { members } = this.#parts;
    if (record.id === members.self.id) {
      throw new CdnError(`Cannot add ${url}: it is this server itself`, { source: "peer", status: 409 });
    }
    members.add(record, url);
    const listed = members.get(record.id);
    if (!listed) throw new CdnError(`Cannot add ${url}: the list is full, or its clock is wrong`, { source: "peer" });
    return this.#withHealth(listed);
  }

  // deno-lint-ignore require-await -- so that what it throws is a rejection
  async removeServer(id: string): Promise<boolean> {
    this.#requireOpen();
    return this.#parts.members.remove(id);
  }

  // deno-lint-ignore require-await -- so that what it throws is a rejection
  async exchangeServers({ servers }: wire.ServerList): Promise<wire.ServerList> {
    this.#requireOpen();
    const { members } = this.#parts;
    const [speaker] = servers;
    if (speaker) {
      this.#gossip.greet(speaker, speaker.url);
      if (members.isRemoved(speaker.id)) {
        throw new CdnError(`${speaker.id} was taken off the list of servers; an admin can add it again`, {
          source: "client",
          status: 403,
        });
      }
      members.learn(servers, speaker.id);
      if (members.get(speaker.id)) this.#gossip.heard(speaker.id);
    }
    return members.list();
  }

  async receiveOffer(offer: wire.Offer): Promise<wire.OfferAnswer> {
    this.#requireOpen();
    const answer = this.#receiver.receive(offer);
    this.#answering.add(answer);
    try {
      return await answer;
    } finally {
      this.#answering.delete(answer);
    }
  }

  copies(manifest: Manifest): number {
    return 1 + this.#parts.members.others().filter(({ id }) => this.#holders.has(id, manifest)).length;
  }

  /** Brings heartbeats and senders in line with the list. */
  #follow(): void {
    if (!this.#started || this.#stop.signal.aborted) return;
    this.#gossip.follow();
    const fed = new Set(this.#parts.members.others().filter(({ role }) => role === "origin").map(({ id }) => id));
    for (const id of this.#senders.keys()) if (!fed.has(id)) this.#end(id, () => {});
    for (const id of fed) {
      if (this.#senders.has(id) || this.#ending.has(id)) continue;
      this.#senders.set(id, new Sender(id, { ...this.#parts, health: this.#health, holders: this.#holders }));
    }
  }

  /** A server that was removed, or let in again, is fed from the beginning: its disk may be another one. */
  #forget(id: string): void {
    this.#holders.forget(id);
    this.#end(id, () => this.#parts.ledger.dropCursor(id));
  }

  #end(id: string, then: () => void): void {
    const sender = this.#senders.get(id);
    const before = this.#ending.get(id);
    this.#senders.delete(id);
    const ending: Promise<void> = Promise.resolve(before).then(async () => {
      try {
        await sender?.close();
        then();
      } catch (error) {
        this.#parts.log.error("cannot end replication to a server", { id, error });
      }
      if (this.#ending.get(id) !== ending) return;
      this.#ending.delete(id);
      this.#follow();
    });
    this.#ending.set(id, ending);
  }

  #withHealth(server: wire.Server): wire.Server {
    const copy = clone(wire.ServerSchema, server);
    copy.health = this.#health.report(server.id, this.#senders.get(server.id)?.lag ?? 0);
    return copy;
  }

  #requireOpen(): void {
    if (this.#started && !this.#stop.signal.aborted) return;
    throw new CdnError("This server is not ready, or is closing", {
      source: "server",
      status: 503,
      retry: true,
      retryAfterSeconds: 2,
    });
  }
}
