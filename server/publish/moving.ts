/** Files that are still being written, and when to look at them again. */
import { type Look, sameLook } from "./folder.ts";

/** Most that are waited for at a time; a later scan finds the rest. */
const MOST = 10_000;

/** What does not stand still yet. */
export class Moving {
  readonly #seen = new Map<string, { look: Look | null; sinceMs: number }>();

  /** @param settleMs how long a file must have stood still */
  constructor(readonly settleMs: number, readonly now: () => number) {}

  /** True where a file has not changed for long enough, by its own time or by ours; else it is waited for. */
  standsStill(name: string, look: Look): boolean {
    if (look.modifiedMs <= this.now() - this.settleMs) return true;
    const before = this.#seen.get(name);
    const isSame = before?.look && sameLook(before.look, look);
    if (isSame && this.now() - before.sinceMs >= this.settleMs) return true;
    if (!isSame || before.sinceMs > this.now()) this.wait(name, look);
    return false;
  }

  /** Waits from now on. @param look how it looks now; null where that does not matter */
  wait(name: string, look: Look | null): void {
    if (this.#seen.size < MOST || this.#seen.has(name)) this.#seen.set(name, { look, sinceMs: this.now() });
  }

  has(name: string): boolean {
    return this.#seen.has(name);
  }

  /** Waits for it no longer; false where it did not. */
  forget(name: string): boolean {
    return this.#seen.delete(name);
  }

  clear(): void {
    this.#seen.clear();
  }

  /** A name that was waited for long enough, or null; and when there is one. */
  due(): { name: string | null; nextMs: number } {
    let nextMs = Infinity;
    for (const [name, { sinceMs }] of this.#seen) {
      if (sinceMs + this.settleMs <= this.now()) return { name, nextMs: this.now() };
      nextMs = Math.min(nextMs, sinceMs + this.settleMs);
    }
    return { name: null, nextMs };
  }
}
