/** A body of which somebody must know when it has ended. */
import type { BodySource } from "../../../runtime/http1/body_source.ts";
import type { StopSignal } from "../../../runtime/http1/transport.ts";

/** How a body ended: read to its end, given up by its reader or by the request's signal, or broken off. */
export type BodyEnd = { kind: "whole" } | { kind: "given-up" } | { kind: "broken"; cause: unknown };

/** The same body, which says once when and how it has ended, also where nobody reads it when the signal aborts. */
export class WatchedBody implements BodySource {
  readonly #inner: BodySource;
  readonly #signal: StopSignal;
  readonly #onAbort = () => this.#end({ kind: "given-up" });
  #onEnd: ((end: BodyEnd) => void) | null;

  constructor(inner: BodySource, signal: StopSignal, onEnd: (end: BodyEnd) => void) {
    this.#inner = inner;
    this.#signal = signal;
    this.#onEnd = onEnd;
    signal.addEventListener("abort", this.#onAbort);
    if (signal.aborted) this.#onAbort();
    else this.#look();
  }

  get done(): boolean {
    return this.#inner.done;
  }

  get held(): number {
    return this.#inner.held;
  }

  get ready(): boolean {
    return this.#inner.ready;
  }

  take(into: Uint8Array<ArrayBuffer>): number {
    const count = this.#inner.take(into);
    this.#look();
    return count;
  }

  async read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    try {
      const count = await this.#inner.read(into);
      this.#look();
      return count;
    } catch (cause) {
      this.#end({ kind: "broken", cause });
      throw cause;
    }
  }

  cancel(): void {
    this.#inner.cancel();
    this.#end({ kind: "given-up" });
  }

  #look(): void {
    if (this.#inner.done) this.#end({ kind: "whole" });
  }

  #end(end: BodyEnd): void {
    const tell = this.#onEnd;
    if (!tell) return;
    this.#onEnd = null;
    this.#signal.removeEventListener("abort", this.#onAbort);
    tell(end);
  }
}
