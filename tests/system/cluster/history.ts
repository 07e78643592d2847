/** What was written, what of it was acknowledged, and so what a reader may see. Each path has one writer at a time. */

/** The digest of an object, or null where there is none. */
export type State = string | null;

interface Path {
  /** What may stand there: one state after an acknowledgement, more after writes of which nobody knows. */
  possible: Set<State>;
  /** All that was ever sent there. */
  sent: Set<string>;
  /** The sets of readers that read right now: they take whatever becomes possible meanwhile. */
  readers: Set<Set<State>>;
}

/** All paths. */
export class History {
  readonly #paths = new Map<string, Path>();
  acknowledged = 0;

  /** A write begins: from now on a reader may see it. `null` deletes. */
  begin(path: string, state: State): void {
    const of = this.#of(path);
    if (state !== null) of.sent.add(state);
    of.possible.add(state);
    for (const reader of of.readers) reader.add(state);
  }

  /** It was acknowledged: nothing else may stand there. */
  acknowledge(path: string, state: State): void {
    this.acknowledged++;
    this.#of(path).possible = new Set([state]);
  }

  /** What may stand at a path. */
  possible(path: string): ReadonlySet<State> {
    return this.#of(path).possible;
  }

  /** True where these bytes were ever sent to this path. */
  wasSent(path: string, digest: string): boolean {
    return this.#of(path).sent.has(digest);
  }

  paths(): string[] {
    return [...this.#paths.keys()];
  }

  /** All that may stand there from now until the read has ended. */
  reading(path: string): { seen: ReadonlySet<State> } & Disposable {
    const { readers, possible } = this.#of(path);
    const seen = new Set(possible);
    readers.add(seen);
    return { seen, [Symbol.dispose]: () => void readers.delete(seen) };
  }

  #of(path: string): Path {
    let of = this.#paths.get(path);
    if (!of) this.#paths.set(path, of = { possible: new Set([null]), sent: new Set(), readers: new Set() });
    return of;
  }
}
