/**
 * Keys whose answers could not be stored lately: {@link Uncacheable} ("hit for miss"). Who asks for one waits for
 * nobody, since nobody's answer is for him.
 */

/** The most that are remembered. */
const MOST = 10_000;

/** Remembers keys for a while. */
export class Uncacheable {
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
