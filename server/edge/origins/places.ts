/** How many requests one origin has at a time: a limit, and a line of those that wait, first come, first served. */
import type { StopSignal } from "../../../runtime/http1/transport.ts";
import type { Schedule } from "../../cluster/wake.ts";

/** Gives a place back; again and again does no harm. */
export type Leave = () => void;

/** Why there is no place. */
export type NoPlace = "full" | "late" | "aborted" | "dismissed" | "closed";

/** The places at one origin. */
export class Places {
  readonly #most: number;
  readonly #mostWaiting: number;
  readonly #schedule: Schedule;
  /** In the order in which they came: a set gives up its first, or any other, at once. */
  readonly #line = new Set<(end: NoPlace | null) => void>();
  #active = 0;
  #closed = false;

  constructor({ most, mostWaiting, schedule }: { most: number; mostWaiting: number; schedule: Schedule }) {
    this.#most = most;
    this.#mostWaiting = mostWaiting;
    this.#schedule = schedule;
  }

  /** Places that are taken. */
  get active(): number {
    return this.#active;
  }

  /** Those who wait for one. */
  get waiting(): number {
    return this.#line.size;
  }

  /** A place, if fewer than `most` are taken. */
  tryEnter(most = this.#most): Leave | null {
    if (this.#closed || this.#active >= Math.min(most, this.#most)) return null;
    this.#active++;
    return this.#leave();
  }

  /** A place, after at most `ms` of waiting; else why there is none. Never rejects. */
  async enter(signal: StopSignal, ms: number): Promise<Leave | NoPlace> {
    if (signal.aborted) return "aborted";
    if (this.#closed) return "closed";
    const free = this.tryEnter();
    if (free) return free;
    if (this.#line.size >= this.#mostWaiting) return "full";
    if (ms <= 0) return "late";
    const end = await new Promise<NoPlace | null>((resolve) => {
      const turn = (end: NoPlace | null) => {
        this.#line.delete(turn);
        cancel();
        signal.removeEventListener("abort", onAbort);
        resolve(end);
      };
      const onAbort = () => turn("aborted");
      const cancel = this.#schedule(() => turn("late"), ms);
      signal.addEventListener("abort", onAbort);
      this.#line.add(turn);
    });
    return end ?? this.#leave();
  }

  /** Sends all away who wait. */
  dismiss(why: NoPlace = "dismissed"): void {
    for (const turn of [...this.#line]) turn(why);
  }

  /** Lets nobody in any more; who is in stays until he leaves. */
  close(): void {
    this.#closed = true;
    this.dismiss("closed");
  }

  #leave(): Leave {
    let here = true;
    return () => {
      if (!here) return;
      here = false;
      const [next] = this.#line;
      if (next) next(null); // The place is handed on, so that nobody who comes just now gets before him.
      else this.#active--;
    };
  }
}
