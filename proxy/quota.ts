/**
 * When a quote stops being true: each says after how many bytes its price changes (a tier's end). Bytes are
 * counted here by provider, since a sheet may add them up over a provider or over one of its regions and a quote
 * does not say which: so we may ask too early, which costs one message, and never too late by our own traffic.
 */
export class Quota {
  readonly #left = new Map<string, number>();

  /** New quotes: the least bytes until a price changes, by provider; absent where none does. */
  quoted(untilChange: Iterable<[provider: string, bytes: number]>): void {
    this.#left.clear();
    for (const [provider, bytes] of untilChange) {
      this.#left.set(provider, Math.min(bytes, this.#left.get(provider) ?? Infinity));
    }
  }

  /** So many bytes went out. True, once, when a price has changed by it: ask again. */
  spend(provider: string, bytes: number): boolean {
    const left = this.#left.get(provider);
    if (left === undefined) return false;
    if (left > bytes) {
      this.#left.set(provider, left - bytes);
      return false;
    }
    this.#left.delete(provider);
    return true;
  }
}
