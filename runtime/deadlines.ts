/**
 * Many deadlines on one timer. A request sets several in its life, and a timer for each would cost more
 * than reading its head; here setting one is a write of a number, and the timer looks when the earliest
 * that it knew of has come.
 */

/** Something that must not take too long. */
export class Watch {
  #at = Infinity;

  /** @internal made by {@link Deadlines.watch} */
  constructor(readonly owner: Deadlines, readonly onLate: () => void) {}

  /** When it is late, by `performance.now()`. */
  get at(): number {
    return this.#at;
  }

  /** Late in `ms` milliseconds, unless set anew before; Infinity: never. */
  set(ms: number): void {
    this.#at = ms === Infinity ? Infinity : performance.now() + ms;
    this.owner.arm(this.#at);
  }

  /** No deadline for now. */
  pause(): void {
    this.#at = Infinity;
  }

  /** Forgets it. */
  end(): void {
    this.#at = Infinity;
    this.owner.forget(this);
  }
}

/** A set of watches and their timer, which {@link Deadlines.close} must stop. */
export class Deadlines {
  readonly #watches = new Set<Watch>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerAt = Infinity;

  /** A new watch, paused; `onLate` is called once each time that its deadline passes. */
  watch(onLate: () => void): Watch {
    const watch = new Watch(this, onLate);
    this.#watches.add(watch);
    return watch;
  }

  /** @internal */
  arm(at: number): void {
    if (at >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(() => this.#look(), Math.max(0, at - performance.now()));
  }

  /** @internal */
  forget(watch: Watch): void {
    this.#watches.delete(watch);
  }

  /** Stops the timer; it starts again with the next deadline that is set. */
  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#timerAt = Infinity;
  }

  #look(): void {
    this.#timer = undefined;
    this.#timerAt = Infinity;
    const now = performance.now();
    let next = Infinity;
    for (const watch of [...this.#watches]) {
      if (watch.at <= now) {
        watch.pause();
        watch.onLate();
      } else if (watch.at < next) next = watch.at;
    }
    this.arm(next);
  }
}
