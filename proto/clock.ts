/**
 * A hybrid logical clock (Kulkarni et al., 2014): close to the wall clock, and never behind a stamp that
 * was seen. Pure but for what it remembers; time is an argument.
 */
import { compareVersions, type Version } from "./version.ts";

/** How far ahead of our own wall clock a stamp may be unless told otherwise, in milliseconds. */
export const MAX_AHEAD_MS = 300_000;

/**
 * Gives stamps that grow. A stamp must never come twice, also not from a server that lost its disk and whose clock is
 * behind what it once was: so the counter begins anywhere.
 */
export class HybridClock {
  #last: Version;
  readonly #base: number;

  /**
   * @param server the id that our stamps carry
   * @param random where the counter begins: from 0 up to 1, another one for each start
   * @param maxAheadMs how far ahead of our own wall clock a stamp may be
   */
  constructor(readonly server: string, random = 0, readonly maxAheadMs: number = MAX_AHEAD_MS) {
    this.#base = Math.floor(random * 2 ** 24);
    this.#last = { wallMs: 0, counter: this.#base, server };
  }

  /**
   * A stamp newer than `after`, and than every one given or seen. Only where our wall clock was put back by more than
   * others would take, what it gave before does not count: else nobody took what we write until that time has come.
   */
  next(nowMs: number, after?: Version): Version {
    if (this.isAhead(this.#last, nowMs)) {
      this.#last = { wallMs: 0, counter: this.#base, server: this.server };
    }
    if (after) this.#see(after);
    const { wallMs, counter } = this.#last;
    this.#last = nowMs > wallMs
      ? { wallMs: nowMs, counter: this.#base, server: this.server }
      : counter < 0xffff_ffff
      ? { wallMs, counter: counter + 1, server: this.server }
      : { wallMs: wallMs + 1, counter: this.#base, server: this.server };
    return this.#last;
  }

  /** True for a stamp that is too far ahead of `nowMs` to be taken. */
  isAhead({ wallMs }: Version, nowMs: number): boolean {
    return wallMs > nowMs + this.maxAheadMs;
  }

  /** Takes note of another server's stamp. False, and no note taken, where it is too far ahead of `nowMs`. */
  observe(version: Version, nowMs: number): boolean {
    if (this.isAhead(version, nowMs)) return false;
    this.#see(version);
    return true;
  }

  #see(version: Version): void {
    if (compareVersions(version, this.#last) > 0) this.#last = version;
  }
}
