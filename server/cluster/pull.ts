/**
 * Brings bodies here by their digest. One flight a digest, however many ask; at most so many at once. What broke off
 * goes on where it stood, also after a restart. Nothing is taken before the store has verified it as a whole.
 *
 * Whoever cannot wait may read a body as it comes in ({@link Puller.follow}): all but its end, which is given only
 * once the whole has been verified. So nobody ever gets a complete body that is not the right one.
 */
import { CdnError } from "../../proto/mod.ts";
import { bodySize, type Store } from "../store/store.ts";
import type { Network, Partials, Peer } from "./ports.ts";
import { backoffMs, type ClusterSettings } from "./settings.ts";
import { Slots } from "./slots.ts";
import type { Surroundings } from "./surroundings.ts";
import { words } from "../../runtime/words.ts";
import { transfer } from "./transfer.ts";
import { Wake } from "./wake.ts";

/** What a puller works with. */
export interface PullerOptions extends Surroundings {
  store: Pick<Store, "stage" | "open">;
  network: Network;
  partials: Partials;
  settings: ClusterSettings;
  /** True where something that is known still wants the body. */
  isWanted: (sha256: string) => boolean;
  /** Servers that may hold a body, best first; those that said so are `hints`. */
  sources: (size: number, hints: ReadonlySet<string>) => Peer[];
  /** Takes note that a body comes from there, until it is disposed of. */
  use: (id: string) => Disposable;
  /** So many bytes came from a server in so long. */
  onTransfer: (id: string, bytes: number, ms: number) => void;
  /** A server sent something other than the body; `null`: it sent this one as it should. */
  onFault: (id: string, sha256: string, reason: string | null) => void;
}

/** A body that need not be asked for by itself. */
export interface SmallBody {
  sha256: string;
  size: number;
}

interface Flight {
  sha256: string;
  size: number;
  /** Servers that said that they hold the body. */
  hints: Set<string>;
  /** Bytes that are here. */
  have: number;
  /** Those who read along. */
  readers: number;
  /** How often the bytes that were here turned out to be of no use: who has read some of them must not go on. */
  restarts: number;
  /** Called when there are more, or when it is over. */
  followers: Set<() => void>;
  done: Promise<void>;
  over: boolean;
}

/** How often a transfer under way is asked whether anybody still wants it. */
const ASK_MS = 1_000;
/** Requests for several bodies at once: while the bodies of one are staged, the next ones come. */
const SHARED_AT_ONCE = 2;
/** Bytes that a try must bring to count as one that got on. */
const PROGRESS = 64 << 10;

/** Pulls bodies into the store. */
export class Puller {
  readonly #options: PullerOptions;
  readonly #flights = new Map<string, Flight>();
  readonly #slots: Slots;
  readonly #largeSlots: Slots;
  /** Answers with several bodies are in memory until all of them are staged. */
  readonly #sharedSlots = new Slots(SHARED_AT_ONCE);

  constructor(options: PullerOptions) {
    this.#options = options;
    this.#slots = new Slots(options.settings.pullsAtOnce);
    this.#largeSlots = new Slots(options.settings.largePullsAtOnce);
  }

  /**
   * Resolves when the store holds the body.
   * @param hints ids of servers that say that they hold the body
   * @throws {CdnError} source "peer" where nobody could give it, with `retry` where only the links are to blame; 507
   * where there is no room; the signal's reason where the server closes.
   */
  async pull(sha256: string, size: number, ...hints: string[]): Promise<void> {
    for (let other; (other = this.#flights.get(sha256)) && other.size !== size;) {
      // One of the two sizes is wrong: this one has its turn when the other is through.
      await other.done.catch(() => {});
    }
    await this.#flight(sha256, size, hints).done;
  }

  /**
   * Begins to bring several small bodies by one request. Each is on its way as if it had been asked for by itself, and
   * is, where it does not come so. Resolves when none is on its way any more.
   * @param options.hints ids of servers that say that they hold all of them
   * @param options.given bodies that came unasked, by digest
   */
  async together(
    bodies: readonly SmallBody[],
    { hints = [], given = new Map() }: {
      hints?: readonly string[];
      given?: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
    } = {},
  ): Promise<void> {
    const { store } = this.#options;
    const sizes = await Promise.all(bodies.map(({ sha256 }) => bodySize(store, sha256)));
    const lacking = bodies.filter(({ size }, at) => size > 0 && sizes[at] !== size);
    const news = lacking.filter(({ sha256 }, at) =>
      !this.#flights.has(sha256) && lacking.findIndex((other) => other.sha256 === sha256) === at
    );
    const start = (body: SmallBody, bytesOf: () => Promise<Uint8Array<ArrayBuffer> | null | undefined>) =>
      this.#start(body.sha256, body.size, hints, async (flight) => {
        const bytes = await bytesOf();
        if (!bytes || !await this.#stageBytes(bytes, body)) await this.#fly(flight);
      }).done;
    const here = news.filter(({ sha256 }) => given.has(sha256));
    const away = news.filter(({ sha256 }) => !given.has(sha256));
    const flights = here.map((body) => start(body, () => Promise.resolve(given.get(body.sha256))));
    if (away.length > 0) flights.push(this.#askFor(away, hints, start));
    await Promise.allSettled(flights);
  }

  /** Each of the bodies is begun by `start`, once they came together. */
  async #askFor(
    bodies: readonly SmallBody[],
    hints: readonly string[],
    start: (body: SmallBody, bytesOf: () => Promise<Uint8Array<ArrayBuffer> | null | undefined>) => Promise<void>,
  ): Promise<void> {
    const slot = this.#sharedSlots.acquire(this.#options.signal);
    const asked = slot.then(() => this.#askTogether(bodies, hints));
    asked.catch(() => {}); // its flights hear of it
    await Promise.allSettled(bodies.map((body, at) => start(body, async () => (await asked)[at])));
    await slot.then((slot) => slot[Symbol.dispose](), () => {});
  }

  /** Another server that holds a body that is on its way; of no effect where it is not. */
  alsoAt(sha256: string, size: number, source: string): void {
    const flight = this.#flights.get(sha256);
    if (flight?.size === size) flight.hints.add(source);
  }

  /**
   * The body from `start` up to `end` as it comes in.
   * @throws {CdnError} as {@link pull} does, before the first chunk or in the middle.
   */
  async *follow(sha256: string, { size, start, end }: { size: number; start: number; end: number }) {
    const flight = this.#flight(sha256, size, []);
    flight.readers++;
    try {
      yield* this.#follow(flight, start, end);
    } finally {
      flight.readers--;
    }
  }

  async *#follow(flight: Flight, start: number, end: number) {
    const { sha256, size, restarts } = flight;
    const requireSame = () => {
      if (flight.restarts === restarts || at === start) return;
      throw new CdnError("What came in was not the body", { source: "peer", status: 503, retry: true });
    };
    let at = start;
    while (at < end && !flight.over) {
      requireSame();
      // The end waits for the verdict on the whole.
      const ready = Math.min(end, flight.have, size - 1);
      if (ready > at) {
        for await (const chunk of this.#options.partials.read(sha256, at)) {
          const part = chunk.subarray(0, Math.min(chunk.byteLength, ready - at));
          if (part.byteLength > 0) yield part;
          at += part.byteLength;
          if (at >= ready || flight.over) break;
        }
        continue;
      }
      await new Promise<void>((resolve) => {
        const grown = () => {
          flight.followers.delete(grown);
          resolve();
        };
        flight.followers.add(grown);
      });
    }
    await flight.done;
    requireSame();
    if (at >= end) return;
    const body = await this.#options.store.open(sha256, { start: at, end });
    if (!body) throw new CdnError("The body was lost again", { source: "server", status: 503, retry: true });
    for await (const chunk of body.stream) yield chunk;
  }

  /** Resolves when nothing is on its way; the signal must have been aborted. */
  async ended(): Promise<void> {
    await Promise.allSettled([...this.#flights.values()].map(({ done }) => done));
  }

  #flight(sha256: string, size: number, hints: string[]): Flight {
    const flight = this.#flights.get(sha256);
    if (flight?.size !== size) return this.#start(sha256, size, hints, (made) => this.#fly(made));
    for (const hint of hints) flight.hints.add(hint);
    return flight;
  }

  #start(sha256: string, size: number, hints: readonly string[], fly: (flight: Flight) => Promise<void>): Flight {
    const made: Flight = {
      sha256,
      size,
      hints: new Set(hints),
      have: 0,
      readers: 0,
      restarts: 0,
      followers: new Set(),
      done: Promise.resolve(),
      over: false,
    };
    made.done = fly(made).finally(() => {
      made.over = true;
      if (this.#flights.get(sha256) === made) this.#flights.delete(sha256);
      this.#tell(made);
    });
    made.done.catch(() => {}); // those who wait for it hear of it
    this.#flights.set(sha256, made);
    return made;
  }

  /** What comes of one request for several bodies; all null where it fails. */
  async #askTogether(
    bodies: readonly SmallBody[],
    hints: readonly string[],
  ): Promise<(Uint8Array<ArrayBuffer> | null)[]> {
    const { network, settings, signal, sources, use, onTransfer, now, log } = this.#options;
    const size = bodies.reduce((sum, body) => sum + body.size, 0);
    const [peer] = sources(size, new Set(hints));
    const nothing = bodies.map(() => null);
    if (!peer) return nothing;
    const { id, url } = peer;
    using _use = use(id);
    const fromMs = now();
    try {
      const timeoutMs = settings.pullIdleMs;
      const brought = await network.smallBodies(url, bodies, { timeoutMs, signal });
      onTransfer(id, brought.reduce((sum, body) => sum + (body?.length ?? 0), 0), now() - fromMs);
      return brought;
    } catch (error) {
      log.debug("could not get bodies together", { id, bodies: bodies.length, error: words(error) });
      return nothing;
    }
  }

  /** False where the bytes are not the body, or could not be kept: it is brought by itself then, which tells why. */
  async #stageBytes(bytes: Uint8Array<ArrayBuffer>, { sha256, size }: SmallBody): Promise<boolean> {
    try {
      await this.#options.store.stage(
        (async function* () {
          yield bytes;
        })(),
        { sha256, size },
      );
      return true;
    } catch {
      return false;
    }
  }

  #tell({ followers }: Flight): void {
    for (const follower of [...followers]) follower();
  }

  async #fly(flight: Flight): Promise<void> {
    const { settings, signal, store, partials } = this.#options;
    const { sha256, size } = flight;
    if (size === 0) {
      await store.stage((async function* () {})(), { sha256, size: 0 });
      return;
    }
    // Large bodies leave places to the others.
    using _large = size < settings.largeBytes ? null : await this.#largeSlots.acquire(signal);
    using _slot = await this.#slots.acquire(signal);
    // Who asks may have looked before an earlier flight ended.
    if (await bodySize(store, sha256) === size) return;
    try {
      await this.#bring(flight);
    } catch (error) {
      // Where there is no room, an unfinished body must not take what is left.
      if (error instanceof CdnError && error.status === 507) await partials.discard(sha256);
      throw error;
    }
  }

  async #bring(flight: Flight): Promise<void> {
    const { settings, random, schedule, signal, partials, sources, onFault } = this.#options;
    const { sha256, size, hints } = flight;
    const wake = new Wake(schedule);
    /** Servers that are of no use for this body. */
    const useless = new Set<string>();
    /** Who gave the bytes that are here; "" for those of an earlier run. */
    let givers = new Set(await partials.size(sha256) > 0 ? [""] : []);
    let mixing = true;
    let reason = "no server that can be reached is known to hold it";
    let failures = 0;
    for (let turn = 0; failures < settings.pullTries;) {
      signal.throwIfAborted();
      if (!this.#isNeeded(flight)) {
        throw new CdnError("Nothing wants the body any more", { source: "peer", status: 503 });
      }
      const left = sources(size, hints).filter(({ id }) => !useless.has(id));
      const peer = left[turn % Math.max(1, left.length)];
      if (!peer) break;
      const { id } = peer;
      if (!mixing && !givers.has(id)) {
        await this.#restart(flight);
        givers = new Set();
      }
      const { end, gained } = await this.#try(flight, peer);
      if (gained > 0) givers.add(id);
      if (end.kind === "whole") {
        if (await this.#stage(flight)) return onFault(id, sha256, null);
        reason = `the bytes are not those of ${sha256}`;
        if (givers.size > 1 || givers.has("")) mixing = false; // somebody's bytes are wrong: now one at a time
        else {
          useless.add(id);
          onFault(id, sha256, reason);
        }
        givers = new Set();
        continue;
      }
      signal.throwIfAborted();
      reason = end.reason;
      if (end.kind === "false") {
        await this.#restart(flight);
        givers = new Set();
        onFault(id, sha256, reason);
      }
      if (end.kind !== "broken") {
        useless.add(id);
        continue;
      }
      failures = gained >= PROGRESS ? 0 : failures + 1;
      if (failures > 0) {
        turn++;
        if (!mixing) useless.add(id); // else two sources that break off could take turns for ever
      }
      await wake.sleep(backoffMs(failures + 1, settings.backoff, random), signal);
    }
    throw new CdnError(`Cannot get the body: ${reason}`, { source: "peer", status: 503, retry: failures > 0 });
  }

  #isNeeded({ readers, sha256 }: Flight): boolean {
    return readers > 0 || this.#options.isWanted(sha256);
  }

  async #try(flight: Flight, { id, url }: Peer) {
    const { network, partials, settings, signal, now, use, onTransfer } = this.#options;
    const { sha256, size } = flight;
    using _use = use(id);
    const before = flight.have = await partials.size(sha256);
    const fromMs = now();
    const unwanted = new AbortController();
    let askedMs = fromMs;
    const end = await transfer({
      network,
      partials,
      url,
      sha256,
      size,
      have: before,
      idleMs: settings.pullIdleMs,
      signal: AbortSignal.any([signal, unwanted.signal]),
      onFresh: () => void flight.restarts++,
      onBytes: (have) => {
        flight.have = have;
        if (flight.followers.size > 0) this.#tell(flight);
        if (now() - askedMs < ASK_MS) return;
        askedMs = now();
        if (!this.#isNeeded(flight)) {
          unwanted.abort(new CdnError("Nothing wants the body any more", { source: "peer" }));
        }
      },
    });
    const gained = Math.max(0, flight.have - before);
    onTransfer(id, gained, now() - fromMs);
    return { end, gained };
  }

  async #restart(flight: Flight): Promise<void> {
    flight.restarts++;
    await this.#options.partials.discard(flight.sha256);
  }

  /** False, and the bytes are gone, where they are not the body. */
  async #stage(flight: Flight): Promise<boolean> {
    const { partials, store } = this.#options;
    const { sha256, size } = flight;
    try {
      await store.stage(partials.source(sha256), { sha256, size });
      await partials.discard(sha256); // where the store copied it, or held the body already
      return true;
    } catch (error) {
      if (!(error instanceof CdnError) || error.status !== 400) throw error;
      await this.#restart(flight);
      return false;
    }
  }
}
