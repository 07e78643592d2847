/** The purges of late, in memory: whether one came while something was under way. */
import type { Selection } from "../edge/cache/cache.ts";

interface Noted {
  mark: number;
  keys: ReadonlySet<string>;
  prefixes: readonly string[];
  tags: ReadonlySet<string>;
  names: number;
}

/** So many are remembered, and so many names of them. */
const MOST = 1000, MOST_NAMES = 200_000;

/** Purges, each with a number: one higher than the one before. */
export class Recent {
  readonly #noted: Noted[] = [];
  #names = 0;
  #mark = 0;

  /** The number of the last one. */
  get mark(): number {
    return this.#mark;
  }

  note({ keys, prefixes, tags }: Selection): void {
    const names = keys.length + prefixes.length + tags.length;
    this.#noted.push({ mark: ++this.#mark, keys: new Set(keys), prefixes, tags: new Set(tags), names });
    this.#names += names;
    while (this.#noted.length > MOST || (this.#names > MOST_NAMES && this.#noted.length > 1)) {
      this.#names -= this.#noted.shift()!.names;
    }
  }

  /**
   * True where a purge after `mark` means a response with this key and these tags; `tags` null: they are not known yet,
   * and any tag may be among them. What is not remembered may have meant anything.
   */
  meantSince(mark: number, key: string, tags: readonly string[] | null): boolean {
    if (mark >= this.#mark) return false;
    const first = mark + 1 - this.#noted[0]!.mark;
    if (first < 0) return true;
    for (let at = first; at < this.#noted.length; at++) {
      const noted = this.#noted[at]!;
      if (noted.keys.has(key) || noted.prefixes.some((prefix) => key.startsWith(prefix))) return true;
      if (tags === null ? noted.tags.size > 0 : tags.some((tag) => noted.tags.has(tag))) return true;
    }
    return false;
  }
}
