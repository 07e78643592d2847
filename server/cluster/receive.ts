/** The other end of replication: takes from an offer what is news to us. */
import { isDeepStrictEqual } from "node:util";
import { create } from "@bufbuild/protobuf";
import {
  CdnError,
  compareVersions,
  formatVersion,
  type Manifest,
  manifestFromWire,
  versionToWire,
  wire,
} from "../../proto/mod.ts";
import { sha256 } from "../../runtime/signature.ts";
import { words } from "../../runtime/words.ts";
import type { HybridClock } from "../../proto/clock.ts";
import type { Catalog } from "./catalog.ts";
import type { Filler } from "./fill.ts";
import type { Holders } from "./holders.ts";
import type { ClusterSettings } from "./settings.ts";
import type { Surroundings } from "./surroundings.ts";
import { malformed, type Trust } from "./trust.ts";

/** What a receiver works with. */
export interface ReceiverOptions extends Omit<Surroundings, "random"> {
  catalog: Pick<Catalog, "get" | "learn" | "isWanted">;
  /** True for a server that is on the list. */
  isListed: (id: string) => boolean;
  holders: Holders;
  filler: Pick<Filler, "bring" | "together" | "alsoAt">;
  trust: Trust;
  clock: HybridClock;
  settings: ClusterSettings;
  /** A server was caught at something. */
  onMark: (id: string, reason: string) => void;
  /** It is known of one server more what it holds. */
  onHolder: () => void;
}

type Result = { outcome: wire.OfferAnswer_Outcome; reason: string; newer?: wire.Version };

/** A manifest whose body is on its way. */
interface Arrival {
  result: Result;
  done: Promise<void>;
}

/** How long what is offered may take to come before it counts as wanted. */
const SOON_MS = 250;

const { HELD, PULLING, FAILED, REFUSED, AHEAD } = wire.OfferAnswer_Outcome;
const held: Result = { outcome: HELD, reason: "" };
const pulling: Result = { outcome: PULLING, reason: "" };

/** Takes offers. */
export class Receiver {
  readonly #options: ReceiverOptions;
  readonly #arrivals = new Map<string, Arrival>();

  constructor(options: ReceiverOptions) {
    this.#options = options;
  }

  /**
   * Answers an offer: one outcome a manifest, in the order of the offer.
   * @throws {CdnError} 403 where the one that offers is not on the list.
   */
  async receive(offer: wire.Offer): Promise<wire.OfferAnswer> {
    // Bodies are pulled from the URL of the list, never from one that merely came with a message.
    if (!this.#options.isListed(offer.from)) {
      throw new CdnError(`Cannot take the offer: ${offer.from} is not on the list of servers here`, {
        source: "client",
        status: 403,
      });
    }
    const judged = await Promise.all(offer.manifests.map((message) => this.#judge(message, offer)));
    if (!offer.background) await this.#bringSmall(judged.filter(isManifest), offer);
    // All at once, so that they become durable together.
    const begun = await Promise.all(judged.map((one) => isManifest(one) ? this.#begin(one, offer.from) : one));
    const answers = begun.map((one) =>
      !isManifest(one) ? one : offer.background ? pulling : this.#arrival(one, offer.from)
    );
    const arrivals = answers.flatMap((one) => "done" in one ? one.done : []);
    if (arrivals.length > 0) await this.#within(this.#options.settings.waitMs, Promise.all(arrivals));
    return create(wire.OfferAnswerSchema, { results: answers.map((one) => "done" in one ? one.result : one) });
  }

  /** Resolves when no body is on its way any more; the signal must have been aborted. */
  async ended(): Promise<void> {
    await Promise.all([...this.#arrivals.values()].map(({ done }) => done));
  }

  /**
   * The manifest that a message says, where it may be believed; else why not.
   * @returns an outcome where it may not
   */
  async #judge(message: wire.Manifest, { from, background }: wire.Offer): Promise<Manifest | Result> {
    const { catalog, clock, now, trust, onMark } = this.#options;
    const fault = malformed(message);
    if (fault) return { outcome: REFUSED, reason: fault };
    const manifest = manifestFromWire(message);
    // Two servers that compare all they know tell each other of the same: it was judged when it came first.
    if (background && isDeepStrictEqual(await catalog.get(manifest.path), manifest)) {
      this.#note(manifest, from);
      return catalog.isWanted(manifest.path) ? pulling : held;
    }
    const distrust = trust.fault(manifest);
    if (distrust) {
      onMark(from, distrust);
      return { outcome: FAILED, reason: distrust };
    }
    if (!clock.observe(manifest.version, now())) {
      // Not refused for ever: it will do once the time has come, or once the clock here is put right.
      const aheadSeconds = Math.round((manifest.version.wallMs - now()) / 1000);
      return { outcome: AHEAD, reason: `its version is ${aheadSeconds} s ahead of the clock here` };
    }
    return manifest;
  }

  /**
   * Brings the small bodies that are lacking, and waits for a moment: a manifest whose body came so soon need never be
   * durable as one that is wanted.
   */
  async #bringSmall(manifests: Manifest[], { from, bodies }: wire.Offer): Promise<void> {
    const { catalog, filler, settings } = this.#options;
    const news: Manifest[] = [];
    // What is wanted already comes in the background; where that has a rate, not before its turn.
    const most = settings.syncBytesPerSecond === 0 ? 0 : -1;
    for (const manifest of manifests) {
      const known = await catalog.get(manifest.path);
      if (!known || compareVersions(known.version, manifest.version) <= most) news.push(manifest);
    }
    if (news.length === 0) return;
    const given = new Map(bodies.map((bytes) => [sha256(bytes), bytes as Uint8Array<ArrayBuffer>]));
    await this.#within(SOON_MS, filler.together(news, { hints: [from], given }));
  }

  /** What there is to say at once; the manifest, where its body must be brought first. */
  async #begin(manifest: Manifest, from: string): Promise<Result | Manifest> {
    try {
      return await this.#take(manifest, from);
    } catch (error) {
      this.#options.log.warn("could not take an object", { from, path: manifest.path, error: words(error) });
      return { outcome: FAILED, reason: words(error) };
    }
  }

  async #take(manifest: Manifest, from: string): Promise<Result | Manifest> {
    const { catalog } = this.#options;
    const known = await catalog.get(manifest.path);
    if (known && compareVersions(known.version, manifest.version) > 0) return await this.#standing(manifest);
    const learned = await catalog.learn(manifest);
    this.#note(manifest, from);
    return learned === "wanted" ? manifest : held;
  }

  #note(manifest: Manifest, from: string): void {
    this.#options.holders.note(from, manifest);
    this.#options.onHolder();
  }

  #arrival(manifest: Manifest, from: string): Arrival {
    const { filler, signal } = this.#options;
    const key = `${manifest.path}\0${formatVersion(manifest.version)}`;
    const before = this.#arrivals.get(key);
    if (before) {
      filler.alsoAt(manifest, from);
      return before;
    }
    const arrival: Arrival = { result: pulling, done: Promise.resolve() };
    arrival.done = filler.bring(manifest, from).then(async () => {
      arrival.result = await this.#standing(manifest);
    }).catch((error) => {
      arrival.result = signal.aborted ? pulling : { outcome: FAILED, reason: words(error) };
    }).finally(() => this.#arrivals.delete(key));
    this.#arrivals.set(key, arrival);
    return arrival;
  }

  /** What is on disk now: this version, or a newer one that came meanwhile, whose body may still be on its way. */
  async #standing({ path, version }: Manifest): Promise<Result> {
    const { catalog } = this.#options;
    const known = await catalog.get(path);
    if (!known || catalog.isWanted(path)) return pulling;
    const order = compareVersions(known.version, version);
    return order === 0 ? held : order > 0 ? { ...held, newer: versionToWire(known.version) } : pulling;
  }

  async #within(ms: number, work: Promise<unknown>): Promise<void> {
    let cancel = () => {};
    const late = new Promise<void>((resolve) => cancel = this.#options.schedule(resolve, ms));
    await Promise.race([work, late]);
    cancel();
  }
}

function isManifest(one: Result | Manifest): one is Manifest {
  return "path" in one;
}
