/**
 * Hands on what is new here: a sender for each other origin, and the tree that says which of them get what from us
 * (`spread.ts`).
 */
import type { Manifest, wire } from "../../proto/mod.ts";
import { type Egress, usualEgress } from "./paths.ts";
import { Sender, type SenderOptions } from "./replicate.ts";
import type { ClusterSettings } from "./settings.ts";
import { SpreadTrees } from "./spread.ts";
import type { State } from "./swim.ts";

/** What spreading works with. */
export interface SpreadingOptions {
  /** Our own id. */
  self: string;
  /** For each sender. */
  sending: SenderOptions;
  settings: ClusterSettings;
  egress?: Egress | undefined;
  /** Of the wall clock, by which manifests are stamped. */
  now: () => number;
  /** Ourselves, then the others on the list. */
  everybody: () => wire.Server[];
  isAlive: (id: string) => boolean;
  /** True where a server is known to hold this very version. */
  holds: (id: string, manifest: Manifest) => boolean;
}

/** The hot path's sending side. */
export class Spreading {
  readonly #options: SpreadingOptions;
  readonly #senders = new Map<string, Sender>();
  readonly #ending = new Set<Promise<void>>();
  #trees: SpreadTrees | null = null;

  constructor(options: SpreadingOptions) {
    this.#options = options;
  }

  /** Brings senders in line with the list. */
  follow(): void {
    this.#trees = null;
    const { self, sending, everybody } = this.#options;
    const fed = new Set(everybody().filter(({ id, role }) => role === "origin" && id !== self).map(({ id }) => id));
    for (const id of this.#senders.keys()) if (!fed.has(id)) this.#end(id);
    for (const id of fed) {
      if (!this.#senders.has(id)) this.#senders.set(id, new Sender(id, sending));
    }
  }

  /** What is believed of a server changed. */
  stateChanged(id: string, state: State): void {
    this.#trees = null;
    if (state === "alive") this.#senders.get(id)?.reached();
    else if (state !== "suspect") this.#senders.get(id)?.lost();
  }

  /** Offers what is new here to those that get it from us. */
  offer(manifest: Manifest): void {
    const { self, now, settings, isAlive, holds } = this.#options;
    const writer = manifest.version.server;
    // What is old came by repair, and will go on by repair.
    if (writer !== self && now() - manifest.version.wallMs > settings.hotMs) return;
    const root = writer === self || isAlive(writer) ? writer : self;
    for (const sender of this.#senders.values()) {
      if (holds(sender.id, manifest) || !isAlive(sender.id)) continue;
      if (this.#treesOfNow().parentOf(sender.id, root, manifest.sha256) === self) sender.offer(manifest);
    }
  }

  /** Offers it to everybody who is not known to hold it. */
  offerToAll(manifest: Manifest): void {
    for (const sender of this.#senders.values()) {
      if (!this.#options.holds(sender.id, manifest)) sender.offer(manifest);
    }
  }

  /** Manifests that a server has not answered for. */
  waiting(id: string): number {
    return this.#senders.get(id)?.waiting ?? 0;
  }

  /** Resolves when nothing of it runs any more. */
  async close(): Promise<void> {
    for (const id of [...this.#senders.keys()]) this.#end(id);
    await Promise.all(this.#ending);
  }

  #treesOfNow(): SpreadTrees {
    if (this.#trees) return this.#trees;
    const { self, settings, egress = usualEgress, everybody, isAlive } = this.#options;
    const branch = ({ id, provider, region }: wire.Server) => ({ id, place: { provider, region } });
    const servers = everybody();
    const origins = servers.filter(({ id, role }) => role === "origin" && (id === self || isAlive(id)));
    const known = new Map(servers.map((server) => [server.id, branch(server)]));
    return this.#trees = new SpreadTrees(origins.map(branch), {
      fanOut: Math.max(settings.fanOut, settings.minCopies - 1),
      egress,
      strangers: (id) => known.get(id) ?? null,
    });
  }

  #end(id: string): void {
    const ending = this.#senders.get(id)!.close().finally(() => this.#ending.delete(ending));
    this.#senders.delete(id);
    this.#ending.add(ending);
  }
}
