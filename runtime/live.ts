/** A value that may be replaced while the program runs. */
export interface Live<T> {
  /** What counts now. */
  readonly current: T;
  /** Calls `listener` with each later one; what comes back ends that. */
  onChange(listener: (value: T) => void): () => void;
}

/** One that is told what counts. */
export class LiveValue<T> implements Live<T> {
  #current: T;
  readonly #listeners = new Set<(value: T) => void>();

  constructor(current: T) {
    this.#current = current;
  }

  get current(): T {
    return this.#current;
  }

  /** Replaces it. */
  set(value: T): void {
    this.#current = value;
    for (const listener of this.#listeners) listener(value);
  }

  onChange(listener: (value: T) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
