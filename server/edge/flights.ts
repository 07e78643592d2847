/**
 * Requests to origins that several wait for: {@link Flights}. A flight lasts until the head of its answer has come;
 * what its body is for is then plain.
 */
import type { StopSignal } from "../../runtime/http1/transport.ts";
import { Stop } from "../../runtime/http1/stop.ts";

interface Flight<Landing> {
  landing: Promise<Landing>;
  stop: Stop;
  waiting: number;
  number: number;
}

/** How a flight ended for one of those who waited. */
export interface Landed<Landing> {
  landing: Landing;
  /** It was made for us; else we joined it. */
  led: boolean;
  /** Flights are numbered as they begin: see {@link Flights.begun}. */
  number: number;
}

/** One flight a key at a time. */
export class Flights<Landing> {
  readonly #flights = new Map<string | symbol, Flight<Landing>>();
  #begun = 0;

  /** The number of the latest flight: those that begin from now on have higher ones. */
  get begun(): number {
    return this.#begun;
  }

  /** @param unclaimed hears of what came for who led a flight and went away before, while others waited */
  constructor(readonly unclaimed: (landing: Landing) => void = () => {}) {}

  /**
   * Joins the flight of a key, or starts one. It is stopped when all who waited for it have gone.
   * @throws what the flight throws; `Gone` where `signal` aborts first
   */
  async fly(
    key: string | symbol,
    signal: StopSignal,
    start: (stop: StopSignal) => Promise<Landing>,
  ): Promise<Landed<Landing>> {
    let flight = this.#flights.get(key);
    const led = flight === undefined;
    if (!flight) {
      const stop = new Stop();
      const begun: Flight<Landing> = { landing: start(stop), stop, waiting: 0, number: ++this.#begun };
      const end = () => {
        if (this.#flights.get(key) === begun) this.#flights.delete(key);
      };
      begun.landing.then(end, end);
      this.#flights.set(key, flight = begun);
    }
    try {
      return { landing: await this.#wait(key, flight, signal), led, number: flight.number };
    } catch (error) {
      if (led) flight.landing.then(this.unclaimed, () => {});
      throw error;
    }
  }

  async #wait(key: string | symbol, flight: Flight<Landing>, signal: StopSignal): Promise<Landing> {
    const gone = Promise.withResolvers<never>();
    gone.promise.catch(() => {});
    const leave = () => gone.reject(new Gone());
    flight.waiting++;
    signal.addEventListener("abort", leave);
    try {
      if (signal.aborted) throw new Gone();
      return await Promise.race([flight.landing, gone.promise]);
    } finally {
      signal.removeEventListener("abort", leave);
      if (--flight.waiting === 0 && this.#flights.get(key) === flight) {
        // Whoever comes now starts another: this one is being stopped.
        this.#flights.delete(key);
        flight.stop.abort();
      }
    }
  }
}

/** Who waited went away. */
export class Gone extends Error {
  override name = "Gone";
}
