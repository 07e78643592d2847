/**
 * What was purged lately: {@link Purged}. A request that was sent before a purge may bring what the purge meant; what
 * it brings is stale from its first moment.
 */
import type { Selection } from "./cache/cache.ts";

/** So many purges are remembered; of a request that is older than all of them, everything counts as purged. */
const REMEMBERED = 256;

/** The latest purges, numbered. */
export class Purged {
  readonly #latest: { number: number; selection: Selection }[] = [];
  #number = 0;

  /** The newest purge: what is told to {@link concerns} later. */
  get mark(): number {
    return this.#number;
  }

  /** Takes note of a purge, before it is carried out. */
  note(selection: Selection): void {
    this.#latest.push({ number: ++this.#number, selection });
    if (this.#latest.length > REMEMBERED) this.#latest.shift();
  }

  /** Whether a purge after `mark` means what is under `key` or has one of `tags`. */
  concerns(mark: number, key: string, tags: readonly string[]): boolean {
    if (mark === this.#number) return false;
    if (this.#number - mark > this.#latest.length) return true;
    return this.#latest.some(({ number, selection }) => number > mark && means(selection, key, tags));
  }
}

/** Whether a selection means what is under `key` or has one of `tags`. */
export function means({ keys, prefixes, tags: named }: Selection, key: string, tags: readonly string[]): boolean {
  return keys.includes(key) || prefixes.some((prefix) => key.startsWith(prefix)) ||
    tags.some((tag) => named.includes(tag));
}
