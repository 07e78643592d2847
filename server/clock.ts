/**
 * A hybrid logical clock (Kulkarni et al., 2014): close to the wall clock, and never behind a stamp that
 * was seen. Pure but for what it remembers; time is an argument.
 */
import { compareVersions, type Version } from "../proto/mod.ts";

/** How far ahead of our own wall clock a stamp may be, in milliseconds. */
export const MAX_AHEAD_MS = 300_000;

/** Gives stamps that grow. */
export class HybridClock {
  #last: Version;

  /** @param server the id that our stamps carry */
  constructor(readonly server: string) {
    this.#last = { wallMs: 0, counter: 0, server };
  }

  /**
   * A stamp newer than `after`, and than every one given or seen. Only where our wall clock was put back by more than
   * others would take, what it gave before does not count: else nobody took what we write until that time has come.
   */
  next(nowMs: number, after?: Version): Version {
    if (this.#last.wallMs > nowMs + MAX_AHEAD_MS) this.#last = { wallMs: 0, counter: 0, server: this.server };
    if (after) this.#see(after);
    const { wallMs, counter } = this.#last;
    this.#last = nowMs > wallMs
      ? { wallMs: nowMs, counter: 0, server: this.server }
      : counter < 0xffff_ffff
      ? { wallMs, counter: counter + 1, server: this.server }
      : { wallMs: wallMs + 1, counter: 0, server: this.server };
    return this.#last;
  }

  /** Takes note of another server's stamp. False, and no note taken, where it is too far ahead of `nowMs`. */
  observe(version: Version, nowMs: number): boolean {
    if (version.wallMs > nowMs + MAX_AHEAD_MS) return false;
    this.#see(version);
    return true;
  }

  #see(version: Version): void {
    if (compareVersions(version, this.#last) > 0) this.#last = version;
  }
}
