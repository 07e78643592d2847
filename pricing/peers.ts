/**
 * The other pricing servers: with each of them sheets and usage are exchanged now and then, and soon after something
 * changed here. What is said is `replica.ts`; here is when, and how each of them fares.
 */
import { create } from "@bufbuild/protobuf";
import { badRequest, CdnError, normalAuthority, splitTarget, wire } from "../proto/mod.ts";
import { jittered } from "../runtime/jitter.ts";
import type { Logger } from "../runtime/log.ts";
import type { PeerClient } from "../runtime/peer_client.ts";
import { words } from "../runtime/words.ts";
import type { Replica, Taken } from "./replica.ts";

/** What {@link Peers} works with. */
export interface PeersOptions {
  replica: Replica;
  /** Base URLs; our own may be among them. */
  urls: readonly string[];
  client: PeerClient;
  /** Between two exchanges with one of them, in milliseconds; each wait is jittered by a quarter. */
  intervalMs: number;
  now: () => number;
  random: () => number;
  log: Logger;
}

/** Changes that come within this time go in one exchange, in milliseconds. */
const SETTLE_MS = 200;
const TIMEOUT_MS = 5_000;
/** The longest wait after failures, beyond the interval. */
const MOST_BACKOFF_MS = 30_000;
/** More than a whole log; an exchange that takes longer goes wrong somewhere. */
const MOST_PAGES = 10_000;
/** An answer's limit in bytes; a page stays well below. */
const ANSWER_LIMIT = 2 << 20;

type State = "unknown" | "equal" | "differs" | "away" | "self";

/** One of the given URLs. */
interface Link {
  readonly url: string;
  id: string;
  /** Names its log; null until it has answered. */
  log: string | null;
  /** Up to where it has taken in our log; null until it has told. */
  theyHave: number | null;
  state: State;
  heardMs: number;
  /** Why it is away. */
  error: string;
  /** What of it was not taken here. */
  refused: string;
  wake: (urgent: boolean) => void;
}

/** Somebody who waits for a peer to have our log up to a place. */
interface Waiter {
  place: number;
  done: (reached: boolean) => void;
}

/** Exchanges with them, in both directions. */
export class Peers {
  readonly #options: PeersOptions;
  readonly #links: Link[];
  readonly #stop = new AbortController();
  readonly #waiters = new Set<Waiter>();
  #running: Promise<unknown> | null = null;

  constructor(options: PeersOptions) {
    this.#options = options;
    this.#links = [...new Set(options.urls)].map((url) => ({
      url,
      id: "",
      log: null,
      theyHave: null,
      state: "unknown",
      heardMs: 0,
      error: "",
      refused: "",
      wake: () => {},
    }));
  }

  /** Begins. */
  start(): void {
    if (this.#running) throw new TypeError("the exchange with peers runs already");
    this.#running = Promise.all(this.#links.map((link) => this.#run(link)));
  }

  /** Ends it. Nothing is read or written here from now on; resolves when nothing is under way any more. */
  async close(): Promise<void> {
    this.#stop.abort(new CdnError("The pricing server is closing", { source: "server", status: 503, retry: true }));
    for (const { done } of this.#waiters) done(false);
    await this.#running;
  }

  /** Something changed here, by a message of the holder of a log where it is given: the others should have it soon. */
  changed(byLog: string | null = null): void {
    for (const link of this.#links) if (link.log === null || link.log !== byLog) link.wake(false);
  }

  /**
   * Tells the others at once of what changed here, and resolves when one of them has it on its disk: true. False where
   * none is there to have it, or none has said so in time.
   */
  async secured(timeoutMs: number): Promise<boolean> {
    if (!this.#running || !this.#links.some(isThere)) {
      this.changed();
      return false;
    }
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const waiter: Waiter = { place: this.#options.replica.head, done: resolve };
    this.#waiters.add(waiter);
    const timer = setTimeout(resolve, timeoutMs, false);
    for (const link of this.#links) link.wake(true);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiters.delete(waiter);
    }
  }

  #tellWaiters(): void {
    const reached = Math.max(...this.#links.map((link) => isThere(link) ? link.theyHave ?? 0 : 0));
    const hopeless = !this.#links.some(isThere);
    for (const { place, done } of this.#waiters) if (reached >= place || hopeless) done(reached >= place);
  }

  /** True for the authority of a peer that has answered: what is signed for that one is not for us. */
  isAnother(authority: string): boolean {
    return this.#links.some(({ url, state, log }) =>
      log !== null && state !== "self" && normalAuthority(splitTarget(url)) === authority
    );
  }

  /**
   * Takes in what a peer says, and answers.
   * @throws {CdnError} 409 where it goes by our own id.
   */
  answer(message: wire.PriceExchange): wire.PriceExchange {
    const { replica, now } = this.#options;
    const { identity } = replica;
    if (message.log === identity.log) return replica.tell(null, null, now()); // ourselves: see #exchange
    if (message.from === identity.id) {
      throw badRequest(`Another pricing server has the same id as this one, ${identity.id}: give one of them an --id`, {
        status: 409,
      });
    }
    const taken = replica.take(message, now());
    const link = this.#links.find((one) => one.log === message.log);
    this.#note(taken, message, link);
    // Who calls is there: whoever we could not reach is asked at once.
    for (const one of this.#links) if (one.state === "away" && (one === link || one.log === null)) one.wake(true);
    const theyHave = message.yourLog === "" ? null : message.yourLog === identity.log ? Number(message.have) : 0;
    if (link && theyHave !== null) {
      link.theyHave = theyHave;
      this.#tellWaiters();
    }
    return replica.tell(message.log, theyHave, now());
  }

  /** Who they are and how they fare. */
  report(): wire.PricePeerList {
    return create(wire.PricePeerListSchema, {
      id: this.#options.replica.identity.id,
      peers: this.#links.map(({ url, id, state, heardMs, error, refused }) => ({
        url,
        id,
        state,
        lastHeardMs: BigInt(Math.floor(heardMs)),
        error: [error, refused].filter(Boolean).join("; ").slice(0, 1000),
      })),
    });
  }

  async #run(link: Link): Promise<void> {
    const { intervalMs, random, log } = this.#options;
    const { signal } = this.#stop;
    let failures = 0;
    const alarm = new Alarm(signal);
    link.wake = (urgent) => alarm.ring(urgent);
    while (!signal.aborted && link.state !== "self") {
      try {
        await this.#exchange(link);
        if (failures > 0) log.info("a pricing peer is back", { id: link.id, url: link.url });
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        link.state = "away";
        link.error = words(error);
        this.#tellWaiters();
        if (++failures === 1) log.warn("a pricing peer is away", { url: link.url, error: link.error });
      }
      const backoff = failures === 0 ? 0 : random() * Math.min(MOST_BACKOFF_MS, 250 * 2 ** Math.min(failures - 1, 20));
      await alarm.sleep(Math.min(SETTLE_MS, intervalMs), { deaf: true });
      await alarm.sleep(jittered(intervalMs, random) + backoff);
    }
  }

  /**
   * Exchanges until both have all of the other.
   * @throws {CdnError} where the peer cannot be reached, or says what makes no sense.
   */
  async #exchange(link: Link): Promise<void> {
    const { replica, client, now, log } = this.#options;
    const { signal } = this.#stop;
    for (let page = 0; page < MOST_PAGES; page++) {
      const answer = await client.ask(`${link.url}/-/v1/peer/prices`, wire.PriceExchangeSchema, {
        question: [wire.PriceExchangeSchema, replica.tell(link.log, link.theyHave, now())],
        timeoutMs: TIMEOUT_MS,
        signal,
        limit: ANSWER_LIMIT,
      });
      signal.throwIfAborted();
      const { identity } = replica;
      if (answer.log === identity.log) {
        Object.assign(link, { id: identity.id, state: "self", error: "" });
        this.#tellWaiters();
        log.info("a URL of --peers is this server's own (or that of one with a copy of its folder)", { url: link.url });
        return;
      }
      if (answer.from === identity.id) {
        throw new CdnError(`It has the same id as this server, ${identity.id}: give one of them an --id`, {
          source: "peer",
        });
      }
      const known = link.log === answer.log;
      const before = [link.theyHave, known ? replica.position(answer.log) : null];
      const taken = replica.take(answer, now());
      link.id = answer.from;
      link.log = answer.log;
      link.theyHave = answer.yourLog === identity.log ? Number(answer.have) : 0;
      link.heardMs = now();
      link.error = "";
      this.#note(taken, answer, link);
      const have = replica.position(answer.log);
      const equal = replica.equals(answer, now());
      link.state = equal ? "equal" : "differs";
      this.#tellWaiters();
      if (equal) link.refused = "";
      const done = have >= Number(answer.head) && link.theyHave >= replica.head;
      if (done || (before[0] === link.theyHave && before[1] === have)) return;
    }
  }

  /** Says what came of a message: to the log what is odd about it, to the others what is new. */
  #note({ changed, refused, again }: Taken, { from, log }: wire.PriceExchange, link: Link | undefined): void {
    const why = `${refused.length} of its entries were refused: ${refused.slice(0, 3).join("; ")}`;
    if (refused.length > 0 && link?.refused !== why) {
      if (link) link.refused = why;
      this.#options.log.warn("a pricing peer sent what is not taken", { from, why });
    }
    if (again) {
      this.#options.log.warn("prices differ from a peer's though all was told: taking them in anew", { from });
    }
    if (changed) this.changed(log);
  }
}

/** True for a peer that answers, or that has not been asked yet. */
function isThere({ state }: Link): boolean {
  return state !== "away" && state !== "self";
}

/** One sleeper's alarm. A ring that comes while nobody hears it is kept for the next sleep. */
class Alarm {
  #rang = false;
  #deaf = false;
  #end: () => void = () => {};

  constructor(readonly signal: AbortSignal) {
    signal.addEventListener("abort", () => this.#end(), { once: true });
  }

  /** Ends the sleep, or the next one; a deaf one only where it is urgent. */
  ring(urgent: boolean): void {
    this.#rang = true;
    if (urgent || !this.#deaf) this.#end();
  }

  /** Resolves after `ms`, when the signal aborts, or at a ring; it never rejects. */
  async sleep(ms: number, { deaf = false }: { deaf?: boolean } = {}): Promise<void> {
    if (!this.signal.aborted && (deaf || !this.#rang)) {
      this.#deaf = deaf;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(() => this.#end(), ms);
        this.#end = () => {
          clearTimeout(timer);
          this.#end = () => {};
          resolve();
        };
      });
    }
    if (!deaf) this.#rang = false;
  }
}
