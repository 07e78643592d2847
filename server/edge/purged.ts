/**
 * What was purged lately: {@link Purged}. A request that was sent before a purge may bring what the purge meant; what
 * it brings must not be kept (or, after a soft one, is stale from its first moment).
 */
import type { Selection } from "./cache/cache.ts";

/** So many purges are remembered; of a request that is older than all of them, everything counts as purged. */
const REMEMBERED = 256;

/** The latest purges, numbered. */
export class Purged {
  readonly #latest: { number: number; selection: Selection; soft: boolean }[] = [];
  #number = 0;

  /** The newest purge: what is told to {@link concerns} later. */
  get mark(): number {
    return this.#number;
  }

  /** Takes note of a purge, before it is carried out. */
  note(selection: Selection, soft: boolean): void {
    this.#latest.push({ number: ++this.#number, selection, soft });
    if (this.#latest.length > REMEMBERED) this.#latest.shift();
  }

  /** How a purge after `mark` means what is under `key` or has one of `tags`; null where none does. */
  since(mark: number, key: string, tags: readonly string[]): "hard" | "soft" | null {
    if (mark === this.#number) return null;
    if (this.#number - mark > this.#latest.length) return "hard";
    const meant = this.#latest.filter(({ number, selection }) => number > mark && means(selection, key, tags));
    if (meant.length === 0) return null;
    return meant.every(({ soft }) => soft) ? "soft" : "hard";
  }
}

/** Whether a selection means what is under `key` or has one of `tags`. */
export function means({ keys, prefixes, tags: named }: Selection, key: string, tags: readonly string[]): boolean {
  return keys.includes(key) || prefixes.some((prefix) => key.startsWith(prefix)) ||
    tags.some((tag) => named.includes(tag));
}
