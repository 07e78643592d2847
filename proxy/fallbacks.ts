/** Which of several programs that know the same is asked first. Pure but for what it remembers; time is an argument. */

/** Remembers who did not answer. */
export class Fallbacks {
  readonly #failedMs = new Map<string, number>();

  /** @param avoidMs how long one that did not answer comes after the others */
  constructor(readonly avoidMs: number) {}

  /** The URLs in the order given, but those that failed lately come last, the one that was tried longest ago first. */
  order(urls: readonly string[], nowMs: number): string[] {
    const failed = urls.filter((url) => this.isAvoided(url, nowMs));
    failed.sort((a, b) => this.#failedMs.get(a)! - this.#failedMs.get(b)!);
    return [...urls.filter((url) => !failed.includes(url)), ...failed];
  }

  /** True where it failed lately. */
  isAvoided(url: string, nowMs: number): boolean {
    const at = this.#failedMs.get(url);
    return at !== undefined && nowMs - at < this.avoidMs;
  }

  /** It did not answer. */
  failed(url: string, nowMs: number): void {
    this.#failedMs.set(url, nowMs);
  }

  /** It did. */
  answered(url: string): void {
    this.#failedMs.delete(url);
  }
}
