/**
 * Whether a server is tried at all. Pure but for what it remembers: time and randomness are arguments.
 *
 * A connection that fails, and an answer that does not come, take a server off at once: waiting for them
 * costs a viewer seconds. A connection that breaks does on the second time in a row, an error of the server
 * (5xx) on the third. It comes back when a probe succeeds; probes wait 1 s, 2 s, 4 s … up to 30 s, each with jitter.
 */
import type { Observation } from "./forwarding.ts";

const THRESHOLD: Partial<Record<Observation["outcome"], number>> = {
  "connect-failed": 1,
  "timeout": 1,
  "broken": 2,
  "server-error": 3,
};

const WORDS: Partial<Record<Observation["outcome"], string>> = {
  "connect-failed": "connecting failed",
  "timeout": "no answer in time",
  "broken": "connections broke",
  "server-error": "it answered with errors",
};

/** How long probes wait after failures. */
export interface BackoffOptions {
  firstMs?: number;
  mostMs?: number;
}

/** One server's health. */
export class Health {
  readonly #firstMs: number;
  readonly #mostMs: number;
  #inARow = 0;
  #times = 0;
  #down: { why: string; retryAtMs: number } | null = null;

  constructor({ firstMs = 1000, mostMs = 30_000 }: BackoffOptions = {}) {
    this.#firstMs = firstMs;
    this.#mostMs = mostMs;
  }

  /** Why the server is not considered; empty where it is. */
  get excluded(): string {
    return this.#down ? `down: ${this.#down.why}` : "";
  }

  /** True where a probe should be sent: always for a server that is up. */
  mayProbe(nowMs: number): boolean {
    return this.#down === null || nowMs >= this.#down.retryAtMs;
  }

  /** When a server that is down is to be probed next; null where it is up. */
  get retryAtMs(): number | null {
    return this.#down?.retryAtMs ?? null;
  }

  /** It answered. */
  succeeded(): void {
    this.#inARow = 0;
    this.#times = 0;
    this.#down = null;
  }

  /** It failed in this way. `random` is from [0, 1). True where that took it off, or kept it off. */
  failed(outcome: Observation["outcome"], nowMs: number, random: number, why: string = WORDS[outcome] ?? ""): boolean {
    const threshold = THRESHOLD[outcome];
    if (threshold === undefined || ++this.#inARow < threshold) return this.#down !== null;
    // What was under way when the server went down tells nothing new: only the next probe counts.
    if (this.#down && nowMs < this.#down.retryAtMs) return true;
    const wait = Math.min(this.#firstMs * 2 ** this.#times++, this.#mostMs);
    this.#down = { why, retryAtMs: nowMs + wait * (0.75 + random / 2) };
    return true;
  }
}
