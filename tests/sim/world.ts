/**
 * Virtual time. One event runs, and then everything that it woke runs to its next wait, before the next event: so the
 * order of all that happens is decided by the queue alone, and a seed replays exactly.
 */

/** What went wrong with the simulation itself, or with what it simulates. */
export class SimulationError extends Error {
  override name = "SimulationError";
}

interface Event {
  atMs: number;
  sequence: number;
  /** Null once it was called off. */
  action: (() => void) | null;
}

/** How much one story may take: a loop without end is a failure, not a hang. */
export interface WorldLimits {
  events: number;
  virtualMs: number;
}

/** A queue of events, ordered by time, then by when they were put in. */
export class World {
  /** True time in milliseconds since the story began; no machine sees it. */
  nowMs = 0;
  /** Events that were run. */
  events = 0;
  readonly #heap: Event[] = [];
  readonly #limits: WorldLimits;
  #sequence = 0;
  #failure: unknown = null;

  constructor(limits: WorldLimits = { events: 400_000, virtualMs: 4 * 3_600_000 }) {
    this.#limits = limits;
  }

  /** Runs `action` after `ms`; the returned function calls it off. */
  after(ms: number, action: () => void): () => void {
    const event: Event = { atMs: this.nowMs + Math.max(0, ms), sequence: this.#sequence++, action };
    this.#push(event);
    return () => {
      event.action = null;
    };
  }

  /** Ends the run: what is thrown by nobody's caller must not pass unseen. The first failure is kept. */
  fail(error: unknown): void {
    this.#failure ??= error;
  }

  /**
   * Runs until `done` holds (asked after each event) or `ms` have passed. True where it holds.
   * @throws {SimulationError} where a limit is passed, or nothing is left that could happen.
   */
  async run(ms: number, done: () => boolean = () => false): Promise<boolean> {
    const endMs = this.nowMs + ms;
    let met = done();
    await turn();
    for (let isOver = met; !isOver; isOver = met = done()) {
      if (this.#failure) throw this.#failure;
      const event = this.#next(endMs);
      if (!event) break;
      this.nowMs = event.atMs;
      if (++this.events > this.#limits.events) throw new SimulationError(`No rest after ${this.#limits.events} events`);
      if (this.nowMs > this.#limits.virtualMs) throw new SimulationError(`No rest after ${this.#limits.virtualMs} ms`);
      event.action!();
      await turn();
    }
    if (this.#failure) throw this.#failure;
    if (!met) this.nowMs = endMs;
    return met;
  }

  /**
   * Runs until the promise settles, and gives what it gives.
   * @throws {SimulationError} where it does not within `ms`: whoever should settle it is stuck.
   */
  async until<T>(what: string, promise: Promise<T>, ms: number): Promise<T> {
    let settled = false;
    const end = () => {
      settled = true;
    };
    promise.then(end, end);
    if (!await this.run(ms, () => settled)) {
      const why = this.#heap.some(({ action }) => action) ? "it is not done" : "nothing is left that could happen";
      throw new SimulationError(`Stuck: ${what}: after ${ms} ms ${why}`);
    }
    return await promise;
  }

  /** The first event that was not called off, if its time comes by `endMs`. */
  #next(endMs: number): Event | null {
    for (let first = this.#heap[0]; first; first = this.#heap[0]) {
      if (first.action && first.atMs > endMs) return null;
      this.#pop();
      if (first.action) return first;
    }
    return null;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (isBefore(heap[parent]!, event)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (let child = 1; child < heap.length; child = 2 * at + 1) {
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (isBefore(last, heap[child]!)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence);
}

/** Resolves when every microtask has run, also those that they made: the runtime drains them before it goes on. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/**
 * Takes the real clock, chance, timers and network away until the returned function is called: what reached for them
 * would not replay, and fails the story instead.
 */
export function onlyVirtual(fail: (error: unknown) => void): () => void {
  const taken: [object: object, name: string][] = [
    [globalThis, "setTimeout"],
    [globalThis, "setInterval"],
    [globalThis, "fetch"],
    [Date, "now"],
    [Math, "random"],
    [performance, "now"],
    [crypto, "getRandomValues"],
    [crypto, "randomUUID"],
    [AbortSignal, "timeout"],
  ];
  const back = taken.map(([object, name]) => {
    const own = Object.getOwnPropertyDescriptor(object, name);
    const value = () => {
      const error = new SimulationError(`${name} is of the real world: it would not replay`);
      fail(error);
      throw error;
    };
    Object.defineProperty(object, name, { value, configurable: true, writable: true });
    return () => {
      if (own) Object.defineProperty(object, name, own);
      else delete (object as Record<string, unknown>)[name];
    };
  });
  return () => back.forEach((give) => give());
}
