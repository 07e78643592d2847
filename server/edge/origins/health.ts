/**
 * Whether an origin is asked. Pure but for what it remembers: time and randomness are arguments.
 *
 * So many failures in a row take it out; a whole answer ends a row. Out, it is probed after 1 s, 2 s, 4 s … up to 30 s,
 * each with jitter. The first sign of life brings it back, on probation: the next failure takes it out again at once,
 * for longer, until a whole answer has come. So an origin that answers probes alone is asked less and less.
 */
import { jittered } from "../../../runtime/jitter.ts";
import type { OriginSettings } from "./settings.ts";

type HealthSettings = Pick<OriginSettings, "failuresInARow" | "firstOutMs" | "mostOutMs">;

/** One origin's health. */
export class Health {
  readonly #settings: HealthSettings;
  readonly #random: () => number;
  #inARow = 0;
  /** How often it was out, or stayed out, since it was last well. */
  #times = 0;
  #out: { why: string; probeAtMs: number } | null = null;

  constructor(settings: HealthSettings, random: () => number) {
    this.#settings = settings;
    this.#random = random;
  }

  /** True where it is asked before those that are out. */
  get healthy(): boolean {
    return this.#out === null;
  }

  /** Why it is out; empty where it is not. */
  get reason(): string {
    return this.#out?.why ?? "";
  }

  /** When it is to be probed; null where it is not out. */
  get probeAtMs(): number | null {
    return this.#out?.probeAtMs ?? null;
  }

  /** A request failed, through the origin's fault. True where that took it out: what fails while it is out tells nothing new. */
  failed(why: string, nowMs: number): boolean {
    if (this.#out || ++this.#inARow < this.#settings.failuresInARow) return false;
    this.#goOut(why, nowMs);
    return true;
  }

  /** A probe failed: it stays out, for longer. */
  probeFailed(why: string, nowMs: number): void {
    if (this.#out) this.#goOut(why, nowMs);
  }

  /** It answered, a probe or the head of a request. True where that brought it back. */
  answered(): boolean {
    if (!this.#out) return false;
    this.#out = null; // The row stands: the next failure adds to it.
    return true;
  }

  /** An answer was read to its end. While it is out, that is one from before. */
  succeeded(): void {
    if (!this.#out) this.#inARow = this.#times = 0;
  }

  #goOut(why: string, nowMs: number): void {
    const { firstOutMs, mostOutMs } = this.#settings;
    const ms = Math.min(firstOutMs * 2 ** this.#times++, mostOutMs);
    this.#out = { why, probeAtMs: nowMs + jittered(ms, this.#random) };
  }
}
