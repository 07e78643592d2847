/**
 * What is known of one server's link: a windowed estimate of its round trip, of what a new connection
 * costs, and of its rate.
 *
 * Each of the three is a **decayed weighted median** of the last {@link WindowOptions.most} samples. A
 * sample's weight halves with every half-life; a rate's weight grows with its bytes too, because a short
 * transfer shows the start of a connection and not the link. A median, because one stalled probe or one
 * lucky burst must not move the choice: a mean would follow it. It lies between samples that were really
 * seen, whatever their scale. It reacts fast all the same: with probes one interval apart and a half-life
 * of 1.5 intervals (the default) the second slow sample carries it, and with traffic (equal ages) the
 * fifth of nine.
 *
 * Pure but for what it remembers; time is an argument. As every weight fades alike, an estimate changes
 * only when a sample comes: between samples only confidence and age do.
 */
import type { Observation } from "./forwarding.ts";

/** Settings of a {@link LinkWindow}. */
export interface WindowOptions {
  /** After which a round trip's weight has halved, in milliseconds. */
  halfLifeMs?: number;
  /** The same for rates, of which there are fewer. */
  rateHalfLifeMs?: number;
  /** How many samples of a kind are kept: half of them, and one, turn the median. */
  most?: number;
  /** Shorter transfers say nothing of the rate, in bytes. */
  leastBytes?: number;
}

/** How many samples of a kind a window keeps, unless told. */
export const MOST_SAMPLES = 9;
/** Shorter transfers say nothing of the rate, in bytes, unless told. */
export const LEAST_RATE_BYTES: number = 64 << 10;

/** What is taken for a server that was never measured: slow enough that any measured one is preferred. */
export const PRIOR = { connectMs: 200, rttMs: 200, bytesPerSecond: 1_000_000 } as const;

/** What is known of a link. */
export interface Estimate {
  /** What a new connection costs beside the request's own round trip. */
  connectMs: number;
  /** From sending a request on an open connection to the head of its answer. */
  rttMs: number;
  bytesPerSecond: number;
  /** 0 (a guess) to 1 (many fresh samples). */
  confidence: number;
  /** When the newest sample was taken; null where there is none. */
  newestMs: number | null;
}

/** More bytes than these add no weight: one huge transfer must not outweigh all others. */
const MOST_WEIGHT_BYTES = 8 << 20;
/** Shorter than the clock and the scheduler can tell. */
const LEAST_MS = 0.05;

interface Sample {
  atMs: number;
  value: number;
  weight: number;
}

/** The last samples of one kind. */
class Samples {
  readonly #list: Sample[] = [];

  constructor(readonly most: number, readonly halfLifeMs: number) {}

  add(sample: Sample): void {
    if (this.#list.length === this.most) this.#list.shift();
    this.#list.push(sample);
  }

  /** The newest sample's time; null without one. */
  newestMs(): number | null {
    return this.#list.reduce<number | null>(
      (newest, { atMs }) => newest === null || atMs > newest ? atMs : newest,
      null,
    );
  }

  /** The value at which half of the weight lies below; null without a sample. */
  median(): number | null {
    const newest = this.newestMs();
    if (newest === null) return null;
    const sorted = this.#list
      .map(({ atMs, value, weight }) => ({ value, weight: weight * this.#fade(newest - atMs) }))
      .sort((a, b) => a.value - b.value);
    let left = sorted.reduce((sum, { weight }) => sum + weight, 0) / 2;
    for (const { value, weight } of sorted) {
      left -= weight;
      if (left <= 0) return value;
    }
    return sorted.at(-1)!.value;
  }

  /** n / (n + 1), n being the number of samples, each counted as far as it has not faded. */
  confidence(nowMs: number): number {
    const count = this.#list.reduce((sum, { atMs }) => sum + this.#fade(nowMs - atMs), 0);
    return count / (count + 1);
  }

  #fade(ageMs: number): number {
    return 0.5 ** (Math.max(0, ageMs) / this.halfLifeMs);
  }
}

/** One server's link. */
export class LinkWindow {
  readonly #connect: Samples;
  readonly #rtt: Samples;
  readonly #rate: Samples;
  readonly #leastBytes: number;

  constructor(
    { halfLifeMs = 7500, rateHalfLifeMs = 30_000, most = MOST_SAMPLES, leastBytes = LEAST_RATE_BYTES }: WindowOptions =
      {},
  ) {
    if (!(halfLifeMs > 0) || !(rateHalfLifeMs > 0)) throw new RangeError("a half-life must be above 0");
    this.#connect = new Samples(most, halfLifeMs);
    this.#rtt = new Samples(most, halfLifeMs);
    this.#rate = new Samples(most, rateHalfLifeMs);
    this.#leastBytes = leastBytes;
  }

  /** A new connection was made: what it cost. */
  connected(atMs: number, ms: number): void {
    if (ms >= 0) this.#connect.add({ atMs, value: ms, weight: 1 });
  }

  /** A request was answered on an open connection. */
  answered(atMs: number, ms: number): void {
    if (ms >= 0) this.#rtt.add({ atMs, value: ms, weight: 1 });
  }

  /** Bytes came in so many milliseconds. True where that was long enough to be a sample of the rate. */
  transferred(atMs: number, bytes: number, ms: number): boolean {
    if (!(bytes >= this.#leastBytes) || !(ms > 0)) return false;
    const value = bytes / Math.max(ms, LEAST_MS) * 1000;
    this.#rate.add({ atMs, value, weight: Math.min(bytes, MOST_WEIGHT_BYTES) });
    return true;
  }

  /**
   * Takes what an attempt shows. On a new connection the first head may be late for the connection's sake,
   * so what it took beyond a known round trip counts as connecting. An attempt that the viewer bounded says
   * nothing of the rate, and one that failed says nothing at all. True where it was a sample of the rate.
   */
  observe({ outcome, atMs, connectMs, headMs, bytes, bodyMs, viewerBound }: Observation): boolean {
    if (outcome !== "ok" && outcome !== "viewer-left") return false;
    if (headMs !== null) {
      if (connectMs === null || connectMs === 0) this.answered(atMs, headMs);
      else {
        const rttMs = this.#rtt.median();
        if (rttMs !== null) this.connected(atMs, Math.max(0, connectMs + headMs - rttMs));
      }
    }
    return !viewerBound && outcome === "ok" && this.transferred(atMs, bytes, bodyMs);
  }

  /** What is known now; {@link PRIOR} stands in for what was never measured. */
  estimate(nowMs: number): Estimate {
    const rttMs = this.#rtt.median();
    const newest = [this.#connect.newestMs(), this.#rtt.newestMs(), this.#rate.newestMs()]
      .filter((atMs) => atMs !== null);
    return {
      connectMs: this.#connect.median() ?? rttMs ?? PRIOR.connectMs,
      rttMs: rttMs ?? PRIOR.rttMs,
      bytesPerSecond: this.#rate.median() ?? PRIOR.bytesPerSecond,
      confidence: (this.#rtt.confidence(nowMs) + this.#rate.confidence(nowMs)) / 2,
      newestMs: newest.length ? Math.max(...newest) : null,
    };
  }
}
