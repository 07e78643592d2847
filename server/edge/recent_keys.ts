/** Keys of which something is remembered for a while: {@link RecentKeys}. */

/** The most that are remembered. */
const MOST = 10_000;

/** Remembers keys for a while. */
export class RecentKeys {
  readonly #until = new Map<string, number>();

  constructor(readonly forMs: number) {}

  has(key: string, nowMs: number): boolean {
    const until = this.#until.get(key);
    if (until === undefined) return false;
    if (nowMs < until) return true;
    this.#until.delete(key);
    return false;
  }

  note(key: string, nowMs: number): void {
    this.#until.delete(key);
    this.#until.set(key, nowMs + this.forMs);
    if (this.#until.size > MOST) this.#until.delete(this.#until.keys().next().value!);
  }

  forget(key: string): void {
    this.#until.delete(key);
  }
}
