/**
 * The entries of a key that are alive: whoever holds one of them keeps it THE one, as it is found again as long as
 * anybody does. The last ones that were asked for stay in any case, so that a look-up takes no more than a map.
 */
import type { TieredEntry } from "./entry.ts";

/** The entries of one key. */
export interface Family {
  readonly key: string;
  /** The newest first; replaced, never changed. */
  entries: readonly TieredEntry[];
  /** It was asked for since the hand passed it. */
  asked: boolean;
}

/** All families that are alive. */
export class Families {
  readonly #recent = new Map<string, Family>();
  /** Goes round and round (the CLOCK algorithm): whom it finds not asked for since its last round need not stay. */
  #hand = this.#recent.values();
  readonly #others = new Map<string, WeakRef<Family>>();
  readonly #collected = new FinalizationRegistry<string>((key) => {
    if (this.#others.get(key)?.deref() === undefined) this.#others.delete(key);
  });

  /**
   * @param most how many stay even where nobody holds them
   * @param onLeave hears of each that does not stay any more
   */
  constructor(readonly most: number, readonly onLeave: (family: Family) => void = () => {}) {}

  /** A family that is alive. */
  get(key: string): Family | null {
    const family = this.#recent.get(key);
    if (family) {
      family.asked = true;
      return family;
    }
    const other = this.#others.get(key)?.deref();
    if (!other) return null;
    this.#others.delete(key);
    return this.#keep(other);
  }

  /** As {@link Families.get}; that somebody looks is no use of it. */
  peek(key: string): Family | null {
    return this.#recent.get(key) ?? this.#others.get(key)?.deref() ?? null;
  }

  /** Begins a family. */
  begin(key: string, entries: readonly TieredEntry[]): Family {
    return this.#keep({ key, entries, asked: false });
  }

  /** A family without entries need not stay. */
  forget(family: Family): void {
    if (this.#recent.get(family.key) === family) this.#recent.delete(family.key);
    if (this.#others.get(family.key)?.deref() === family) this.#others.delete(family.key);
  }

  /** All that are alive. */
  *all(): Iterable<Family> {
    yield* this.#recent.values();
    for (const other of this.#others.values()) {
      const family = other.deref();
      if (family) yield family;
    }
  }

  #keep(family: Family): Family {
    this.#recent.set(family.key, family);
    while (this.#recent.size > this.most) {
      const { value: next } = this.#hand.next();
      if (next === undefined) this.#hand = this.#recent.values();
      else if (next.asked || next === family) next.asked = false;
      else this.#leave(next);
    }
    return family;
  }

  #leave(family: Family): void {
    this.#recent.delete(family.key);
    this.onLeave(family);
    this.#others.set(family.key, new WeakRef(family));
    this.#collected.register(family, family.key);
  }
}
