/** The purges of late, in memory: {@link RecentPurges} tells whether one came while something was under way. */
import type { Selection } from "./cache/cache.ts";

interface Noted {
  mark: number;
  soft: boolean;
  keys: ReadonlySet<string>;
  prefixes: readonly string[];
  tags: ReadonlySet<string>;
  names: number;
}

/** So many are remembered, and so many names of them. */
const MOST = 1000, MOST_NAMES = 200_000;

/** Purges, each with a number: one higher than the one before. */
export class RecentPurges {
  readonly #noted: Noted[] = [];
  #names = 0;
  #mark = 0;

  /** The number of the last one. */
  get mark(): number {
    return this.#mark;
  }

  /** Takes note of a purge, before it is carried out. */
  note({ keys, prefixes, tags }: Selection, soft = false): void {
    const names = keys.length + prefixes.length + tags.length;
    this.#noted.push({ mark: ++this.#mark, soft, keys: new Set(keys), prefixes, tags: new Set(tags), names });
    this.#names += names;
    while (this.#noted.length > MOST || (this.#names > MOST_NAMES && this.#noted.length > 1)) {
      this.#names -= this.#noted.shift()!.names;
    }
  }

  /**
   * How purges after `mark` mean a response with this key and these tags, null where none does: "soft" where all that do
   * are soft. `tags` null: they are not known yet, and any tag may be among them. What is not remembered may have meant
   * anything.
   */
  since(mark: number, key: string, tags: readonly string[] | null): "hard" | "soft" | null {
    if (mark >= this.#mark) return null;
    const first = mark + 1 - this.#noted[0]!.mark;
    if (first < 0) return "hard";
    let how: "soft" | null = null;
    for (let at = first; at < this.#noted.length; at++) {
      const noted = this.#noted[at]!;
      if (!means(noted, key, tags)) continue;
      if (!noted.soft) return "hard";
      how = "soft";
    }
    return how;
  }
}

function means({ keys, prefixes, tags: named }: Noted, key: string, tags: readonly string[] | null): boolean {
  return keys.has(key) || prefixes.some((prefix) => key.startsWith(prefix)) ||
    (tags === null ? named.size > 0 : tags.some((tag) => named.has(tag)));
}
