/**
 * Anti-entropy: finds what went past the hot path (a server that was away, a disk that was emptied, a message that was
 * lost), by comparing what we know with one other server at a time. Whose content differs from ours for longer than
 * news takes is compared with; who failed is left alone for a while; where a comparison came to nothing, it is not done
 * again until one of both has changed.
 */
import { CdnError, type Manifest, type wire } from "../../proto/mod.ts";
import { words } from "../../runtime/words.ts";
import type { Catalog } from "./catalog.ts";
import type { Network, Peer } from "./ports.ts";
import { reconcile, type Tally } from "./reconcile.ts";
import { backoffMs, type ClusterSettings } from "./settings.ts";
import { type Staleness, verdict } from "./stale.ts";
import type { Surroundings } from "./surroundings.ts";
import { answerLacks, answerManifests, type AnswerOptions, answerTree } from "./tree_answers.ts";
import { Wake } from "./wake.ts";

/** Those of the cluster's figures that repair goes by. */
export type RepairSettings = Pick<
  ClusterSettings,
  "repairAfterMs" | "repairsAtOnce" | "repairTimeoutMs" | "repairBackoff" | "tombstoneMs" | "staleGraceMs"
>;

/** What repair works with. */
export interface RepairOptions extends Surroundings {
  /** Our id. */
  self: string;
  catalog: Catalog;
  wanted: { list(after: string, limit: number): Manifest[] };
  staleness: Staleness;
  network: Pick<Network, "ask">;
  trust: { check(manifest: Manifest, from: string): string | null | Promise<string | null> };
  /** A comparison begins; what it gives hears of each version that the peer shows to be older than ours, or of none. */
  onOlder?: (peer: string) => (ours: Manifest, knownThere: boolean) => void;
  /** Tells a peer of manifests by an Offer call. Some may be wanted here (`Catalog.isWanted`). */
  offer: (peer: string, manifests: Manifest[], signal: AbortSignal) => Promise<void>;
  /** Who can be reached now; null where it cannot, or is not on the list. */
  reach: (id: string) => Peer | null;
  /** Puts those first that are best to ask at the start; random unless told. */
  prefer?: (peers: Peer[]) => Peer[];
  /** Why a body could not be had. */
  reason?: (manifest: Manifest) => string;
  settings: RepairSettings;
  /** Of the wall clock, by which tombstones age; `now` is of one that never goes back, for waits. The same unless given. */
  wall?: () => number;
}

interface Heard {
  digest: string;
  stale: boolean;
  /** Since when its content differs from ours; null where it does not. */
  differsMs: number | null;
  failures: number;
  /** Not to be compared with before. */
  notBeforeMs: number;
  /** Of the last comparison that came to nothing (`#pair`). */
  fruitless: string;
  /** When it last asked what we know: it compares with us, which works both ways. */
  askedMs: number;
}

const unheard: Heard = {
  digest: "",
  stale: true,
  differsMs: null,
  failures: 0,
  notBeforeMs: 0,
  fruitless: "",
  askedMs: -Infinity,
};

/** Who is asked all the time does compare after so long. */
const LONGEST_ASKED_MS = 60_000;
/** Between two looks for what is due without any news. */
const LOOK_MS = 60_000;
/** Between two pages of tombstones past their time. */
const EXPIRE_MS = 1_000;

/** Compares what we know with other servers. */
export class Repair {
  readonly #options: RepairOptions;
  readonly #wake: Wake;
  readonly #heard = new Map<string, Heard>();
  readonly #busy = new Map<string, Promise<void>>();
  readonly #answers: AnswerOptions;
  #loop: Promise<void> | null = null;
  /** We have compared with somebody, or know the same: no need to hurry any more. */
  #settled = false;
  #expireMs = 0;

  constructor(options: RepairOptions) {
    this.#options = options;
    this.#wake = new Wake(options.schedule);
    this.#answers = {
      catalog: options.catalog,
      mayTell: (manifest) => options.staleness.mayOffer(manifest),
      reason: options.reason ?? (() => ""),
    };
  }

  /** Begins to compare in the background. */
  start(): void {
    this.#loop ??= this.#run();
  }

  /** We have compared with somebody, or know the same as somebody. */
  get settled(): boolean {
    return this.#settled;
  }

  /** Resolves when nothing runs any more; the signal must have been aborted. */
  async ended(): Promise<void> {
    await this.#loop;
    await Promise.all(this.#busy.values());
  }

  /** What a peer says of its content; with every ping. */
  peerContent(id: string, { digest, stale }: wire.ContentSummary): void {
    const { now, staleness, catalog } = this.#options;
    staleness.contact();
    const heard: Heard = this.#heard.get(id) ?? { ...unheard };
    Object.assign(heard, { digest: digest.length === 8 ? digest.toHex() : "", stale });
    this.#heard.set(id, heard);
    if (heard.digest === "" || !catalog.ready) return;
    if (heard.digest === this.#mine()) {
      heard.differsMs = null;
      this.#settled = true;
      staleness.compared(heard);
    } else {
      heard.differsMs ??= now();
      this.#wake.call();
    }
  }

  /** POST /-/v1/peer/tree. @throws {CdnError} 400, or 503 while the catalog is read. */
  answerTree(question: wire.TreeQuestion): Promise<wire.TreeAnswer> {
    this.#asked(question);
    return answerTree(this.#answers, question);
  }

  /** POST /-/v1/peer/manifests. @throws {CdnError} 400, or 503 while the catalog is read. */
  answerManifests(question: wire.ManifestsQuestion): Promise<wire.ManifestPage> {
    this.#asked(question);
    return answerManifests(this.#answers, question);
  }

  /** POST /-/v1/peer/lacks. */
  answerLacks(question: wire.LacksQuestion): wire.LacksPage {
    return answerLacks(this.#answers, this.#options.wanted, question);
  }

  /**
   * Compares everything with one peer, both ways. What was learned stays where it fails in the middle.
   * @throws {CdnError} source "peer" where it cannot be asked or answers what it must not; 503 while our catalog is
   * read; 507 where there is no room here.
   */
  async reconcile({ id, url }: Peer, signal: AbortSignal): Promise<Tally> {
    const { catalog, staleness, network, trust, offer, onOlder, settings, self, log } = this.#options;
    const older = onOlder?.(id);
    const peerStale = () => this.#heard.get(id)?.stale ?? true;
    const startedStale = peerStale();
    const tally = await reconcile({
      catalog,
      self,
      peer: id,
      ask: (name, question) => network.ask(url, name, question, { timeoutMs: settings.repairTimeoutMs, signal }),
      check: (manifest) => trust.check(manifest, id),
      offer: (manifests) => offer(id, manifests, signal),
      verdict: (ours, knownThere) => {
        older?.(ours, knownThere);
        const { deleted, version: { wallMs } } = ours;
        return staleness.stale
          ? verdict({ deleted, wallMs, knownThere, peerStale: peerStale(), doubtMs: staleness.doubtMs })
          : "offer";
      },
      setAside: (manifests) =>
        staleness.setAside(manifests, { peer: id, forget: ({ path, version }) => catalog.forget(path, version) }),
      log,
      signal,
    });
    staleness.compared({ stale: startedStale || peerStale() });
    return tally;
  }

  async #run(): Promise<void> {
    const { signal, log } = this.#options;
    while (!signal.aborted) {
      let waitMs = LOOK_MS;
      try {
        waitMs = await this.#look();
      } catch (error) {
        log.error("repair failed", { error: words(error) });
      }
      await this.#wake.sleep(waitMs, signal);
    }
  }

  /** Begins what is due; resolves with how long there is nothing to do. */
  async #look(): Promise<number> {
    const { catalog, staleness, settings, now } = this.#options;
    staleness.tick([...this.#heard].filter(([id]) => this.#options.reach(id)).map(([, heard]) => heard));
    if (now() >= this.#expireMs) {
      const { more } = await catalog.expire((this.#options.wall ?? now)());
      this.#expireMs = now() + (more ? EXPIRE_MS : LOOK_MS);
    }
    while (this.#busy.size < settings.repairsAtOnce && !this.#options.signal.aborted) {
      const peer = this.#choose();
      if (!peer) break;
      const done = this.#repair(peer).finally(() => {
        this.#busy.delete(peer.id);
        this.#wake.call();
      });
      this.#busy.set(peer.id, done);
    }
    return Math.max(0, Math.min(this.#expireMs, this.#nextDueMs()) - now());
  }

  /** Somebody whose content differs; the best at the start, later anybody. */
  #choose(): Peer | null {
    const { catalog, random, now, reach, prefer } = this.#options;
    if (!catalog.ready) return null;
    const due: Peer[] = [];
    for (const [id, heard] of this.#heard) {
      const peer = !this.#busy.has(id) && this.#dueMs(heard) <= now() ? reach(id) : null;
      if (peer) due.push(peer);
    }
    for (let at = due.length - 1; at > 0; at--) { // Fisher and Yates
      const other = Math.floor(random() * (at + 1));
      [due[at], due[other]] = [due[other]!, due[at]!];
    }
    return (this.#settled ? due : prefer?.(due) ?? due)[0] ?? null;
  }

  async #repair(peer: Peer): Promise<void> {
    const { signal, log, now, random, settings } = this.#options;
    const heard = this.#heard.get(peer.id)!;
    const begun = this.#pair(heard);
    try {
      const tally = await this.reconcile(peer, signal);
      this.#settled = true;
      Object.assign(heard, { failures: 0, differsMs: null });
      const { learned, offered } = tally;
      heard.fruitless = learned + offered + tally.aside === 0 ? begun : "";
      if (learned + offered > 0) log.info("compared what is known with a server", { id: peer.id, ...tally });
    } catch (error) {
      if (signal.aborted) return;
      heard.failures++;
      const after = error instanceof CdnError && error.retryAfterSeconds ? error.retryAfterSeconds * 1000 : 0;
      heard.notBeforeMs = now() + Math.max(after, backoffMs(heard.failures, settings.repairBackoff, random));
      log.warn("could not compare what is known with a server", { id: peer.id, error: words(error) });
    }
  }

  #asked({ from }: { from: string }): void {
    const heard = this.#heard.get(from);
    if (heard) heard.askedMs = this.#options.now();
  }

  #dueMs(heard: Heard): number {
    const { digest, differsMs, notBeforeMs, fruitless, askedMs } = heard;
    if (digest === "" || differsMs === null) return Infinity;
    if (this.#mine() === digest || fruitless === this.#pair(heard)) return Infinity;
    const { repairAfterMs } = this.#options.settings;
    const whileAsked = Math.min(askedMs + repairAfterMs, differsMs + LONGEST_ASKED_MS);
    return Math.max(notBeforeMs, differsMs + (this.#settled ? repairAfterMs : 0), whileAsked);
  }

  #nextDueMs(): number {
    if (this.#busy.size >= this.#options.settings.repairsAtOnce || !this.#options.catalog.ready) return Infinity;
    const { now } = this.#options;
    let next = Infinity;
    for (const [id, heard] of this.#heard) {
      const dueMs = this.#busy.has(id) ? Infinity : this.#dueMs(heard);
      // Who is due and cannot be reached is looked at again with its next ping.
      if (dueMs > now()) next = Math.min(next, dueMs);
    }
    return next;
  }

  /** What a comparison depends on: it comes to the same where this is the same. */
  #pair({ digest, stale }: Heard): string {
    return `${this.#mine()} ${digest} ${this.#options.staleness.stale} ${stale}`;
  }

  #mine(): string {
    return this.#options.catalog.summary().digest.toHex();
  }
}
