/** The other end of replication: takes from an offer what is news to us. */
import { create } from "@bufbuild/protobuf";
import {
  CdnError,
  compareVersions,
  formatVersion,
  type HybridClock,
  type Manifest,
  manifestFromWire,
  messageFaults,
  tombstone,
  wire,
} from "../../proto/mod.ts";
import type { Logger } from "../../runtime/log.ts";
import { words } from "../../runtime/peer_client.ts";
import type { Store } from "../store/store.ts";
import type { Holders } from "./holders.ts";
import type { Members } from "./members.ts";
import type { Puller } from "./pull.ts";
import type { ClusterSettings } from "./settings.ts";
import type { Schedule } from "./wake.ts";

/** What a receiver works with. */
export interface ReceiverOptions {
  store: Store;
  members: Pick<Members, "get">;
  holders: Holders;
  puller: Pick<Puller, "pull" | "alsoAt">;
  clock: HybridClock;
  settings: ClusterSettings;
  now: () => number;
  schedule: Schedule;
  log: Logger;
  signal: AbortSignal;
  /** Something new is in the store. */
  onStored: () => void;
}

type Result = { outcome: wire.OfferAnswer_Outcome; reason: string };

/** A manifest whose body is on its way. A failure waits here until an offer asks for it. */
interface Arrival {
  result: Result;
  done: Promise<void>;
}

const { HELD, PULLING, FAILED, REFUSED } = wire.OfferAnswer_Outcome;
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
    if (!this.#options.members.get(offer.from)) {
      throw new CdnError(`Cannot take the offer: ${offer.from} is not on the list of servers here`, {
        source: "client",
        status: 403,
      });
    }
    const begun: (Result | { key: string; arrival: Arrival })[] = [];
    for (const manifest of offer.manifests) begun.push(await this.#begin(manifest, offer.from));
    const arrivals = begun.flatMap((one) => "arrival" in one ? one.arrival.done : []);
    if (arrivals.length > 0) await this.#waitFor(arrivals);
    const results = begun.map((one) => "arrival" in one ? this.#collect(one.key, one.arrival) : one);
    return create(wire.OfferAnswerSchema, { results });
  }

  /** Resolves when no body is on its way any more; the signal must have been aborted. */
  async ended(): Promise<void> {
    await Promise.all([...this.#arrivals.values()].map(({ done }) => done));
  }

  async #begin(message: wire.Manifest, from: string): Promise<Result | { key: string; arrival: Arrival }> {
    const { clock, now, log } = this.#options;
    const faults = messageFaults(wire.ManifestSchema, message);
    if (faults.length > 0) {
      const words = faults.slice(0, 3).map(({ field, detail }) => `${field} ${detail}`).join("; ");
      return { outcome: REFUSED, reason: `malformed: ${words}` };
    }
    const given = manifestFromWire(message);
    const manifest = given.deleted ? tombstone(given.path, given.version) : given;
    if (!clock.observe(manifest.version, now())) {
      // Not refused for ever: it will do once the time has come, or once the clock here is put right.
      const aheadSeconds = Math.round((manifest.version.wallMs - now()) / 1000);
      return { outcome: FAILED, reason: `its version is ${aheadSeconds} s ahead of the clock here` };
    }
    try {
      return await this.#take(manifest, from);
    } catch (error) {
      log.warn("could not take an object", { from, path: manifest.path, error: words(error) });
      return { outcome: FAILED, reason: words(error) };
    }
  }

  async #take(manifest: Manifest, from: string): Promise<Result | { key: string; arrival: Arrival }> {
    const { store, settings } = this.#options;
    const current = await store.get(manifest.path);
    const isNews = !current || compareVersions(current.version, manifest.version) < 0;
    if (!isNews || await this.#putHeld(manifest)) {
      this.#options.holders.note(from, manifest);
      return held;
    }
    const key = `${manifest.path}\0${formatVersion(manifest.version)}`;
    let arrival = this.#arrivals.get(key);
    if (arrival) {
      // Another server that has it: one more source for the flight that is on its way.
      this.#options.puller.alsoAt(manifest.sha256, manifest.size, from);
      return { key, arrival };
    }
    if (this.#arrivals.size >= settings.arrivals && !this.#forgetFailure()) return pulling;
    arrival = { result: pulling, done: Promise.resolve() };
    this.#arrivals.set(key, arrival);
    arrival.done = this.#arrive(key, arrival, manifest, from);
    return { key, arrival };
  }

  /**
   * Puts a tombstone, or a manifest whose body is here already. False where the body must be pulled.
   * The store refuses (400) a manifest that says another size than its body has.
   */
  async #putHeld(manifest: Manifest): Promise<boolean> {
    const { store, onStored } = this.#options;
    try {
      await store.put(manifest);
    } catch (error) {
      if (error instanceof CdnError && error.status === 409) return false;
      throw error;
    }
    onStored();
    return true;
  }

  async #arrive(key: string, arrival: Arrival, manifest: Manifest, from: string): Promise<void> {
    const { store, puller, holders, onStored, signal, log } = this.#options;
    try {
      await puller.pull(manifest.sha256, manifest.size, from);
      await store.put(manifest);
      holders.note(from, manifest);
      arrival.result = held;
      this.#arrivals.delete(key); // from now on the store answers
      onStored();
    } catch (error) {
      if (!signal.aborted) log.warn("could not bring an object", { from, path: manifest.path, error: words(error) });
      arrival.result = signal.aborted ? pulling : { outcome: FAILED, reason: words(error) };
      // Where only the link was to blame, the next offer begins anew rather than hear of an old failure.
      if (error instanceof CdnError && error.retry) this.#arrivals.delete(key);
    }
  }

  /** What became of it; a failure is told once, so that the next offer begins anew. */
  #collect(key: string, arrival: Arrival): Result {
    if (arrival.result.outcome === FAILED && this.#arrivals.get(key) === arrival) this.#arrivals.delete(key);
    return arrival.result;
  }

  #forgetFailure(): boolean {
    for (const [key, { result }] of this.#arrivals) {
      if (result.outcome === FAILED) return this.#arrivals.delete(key);
    }
    return false;
  }

  async #waitFor(arrivals: Promise<void>[]): Promise<void> {
    const { schedule, settings } = this.#options;
    let cancel = () => {};
    const late = new Promise<void>((resolve) => cancel = schedule(resolve, settings.waitMs));
    await Promise.race([Promise.all(arrivals), late]);
    cancel();
  }
}
