/** Which of several programs that know the same is asked first. It remembers what came of it; time is an argument. */
import { words } from "../runtime/words.ts";

/** Remembers who did not answer. */
export class Fallbacks {
  readonly #failedMs = new Map<string, number>();

  /** @param avoidMs how long one that did not answer comes after the others */
  constructor(readonly avoidMs: number) {}

  /**
   * What the first that answers says; at most `most` are asked, in their {@link order}.
   * @throws {Error} that says why each of them did not answer.
   */
  async first<Answer>(
    urls: readonly string[],
    ask: (url: string) => Promise<Answer>,
    { now, signal, most = urls.length }: { now: () => number; signal?: AbortSignal | undefined; most?: number },
  ): Promise<Answer> {
    const failures: string[] = [];
    for (const url of this.order(urls, now()).slice(0, most)) {
      try {
        const answer = await ask(url);
        this.answered(url);
        return answer;
      } catch (error) {
        if (signal?.aborted) throw error;
        failures.push(words(error));
        this.failed(url, now());
      }
    }
    throw new Error(failures.join("; "));
  }

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
