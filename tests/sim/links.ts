/** The lines between machines: how long they take, what they lose, where they are cut. One each way. */
import { chance, exponential, type Random, stream } from "./prng.ts";

/** What happens on a line, beyond its length; all of it ends when the story heals the network. */
export interface Weather {
  /** Shares of messages. */
  lost: number;
  doubled: number;
  /** Held up for seconds, so that later ones overtake them. */
  late: number;
  /** Share of chunks of a body at which it breaks off, stalls, or has a wrong byte. */
  broken: number;
  stalled: number;
  corrupt: number;
}

/** Nothing happens. */
export const FAIR: Weather = { lost: 0, doubled: 0, late: 0, broken: 0, stalled: 0, corrupt: 0 };

/** What was sent over a line. */
export interface Traffic {
  messages: number;
  bytes: number;
  bodyBytes: number;
}

/** One line, in one direction. */
export class Link {
  isCut = false;
  /** How often it was healed: what is under way at that moment is lost, for it might come long after all is at rest. */
  healings = 0;
  /** Times its length, and through its width. */
  slowness = 1;
  weather: Weather = FAIR;
  readonly traffic: Traffic = { messages: 0, bytes: 0, bodyBytes: 0 };
  readonly random: Random;
  readonly #delayMs: number;

  constructor(seed: number, from: string, to: string, delayMs: number) {
    this.random = stream(seed, `link ${from} ${to}`);
    this.#delayMs = delayMs;
  }

  /** When something of this size that is sent now arrives: in how many ms. 10 MB/s unless slow. */
  delay(bytes: number): number {
    const late = chance(this.random, this.weather.late) ? exponential(this.random, 3_000) : 0;
    const jitter = exponential(this.random, this.#delayMs / 5);
    return (this.#delayMs + jitter + bytes / 10_000) * this.slowness + late;
  }
}

/** All lines. */
export class Links {
  readonly #links = new Map<string, Link>();
  #weather: Weather = FAIR;

  /** @param delay one way, in ms, between two machines */
  constructor(readonly seed: number, readonly delay: (from: string, to: string) => number) {}

  get(from: string, to: string): Link {
    const name = `${from} ${to}`;
    let link = this.#links.get(name);
    if (!link) {
      link = new Link(this.seed, from, to, this.delay(from, to));
      link.weather = this.#weather;
      this.#links.set(name, link);
    }
    return link;
  }

  /** The same for all lines. */
  setWeather(weather: Weather): void {
    this.#weather = weather;
    for (const link of this.#links.values()) link.weather = weather;
  }

  /** Every line is whole, fast and dry. */
  heal(): void {
    this.setWeather(FAIR);
    for (const link of this.#links.values()) {
      Object.assign(link, { isCut: false, slowness: 1, healings: link.healings + 1 });
    }
  }

  /** What went over each line so far, in the order in which they were first used. */
  *traffic(): Generator<[path: string, Traffic]> {
    for (const [name, { traffic }] of this.#links) yield [name.replace(" ", " -> "), traffic];
  }

  /** All lines together. */
  total(): Traffic {
    const sum = { messages: 0, bytes: 0, bodyBytes: 0 };
    for (const { traffic } of this.#links.values()) {
      sum.messages += traffic.messages;
      sum.bytes += traffic.bytes;
      sum.bodyBytes += traffic.bodyBytes;
    }
    return sum;
  }
}
