/** A viewer's body: {@link CountedBody}. */
import type { BodySource } from "../../runtime/http1/body_source.ts";
import type { StopSignal } from "../../runtime/http1/transport.ts";

/** The same body, which tells of its bytes as they are read, and is given up when its viewer goes. */
export class CountedBody implements BodySource {
  readonly #body: BodySource;
  readonly #onBytes: (count: number) => void;
  readonly #onGone = () => this.cancel();
  #signal: StopSignal | null = null;

  constructor(body: BodySource, onBytes: (count: number) => void) {
    this.#body = body;
    this.#onBytes = onBytes;
  }

  /** Gives it up where the signal aborts, also while a read waits for bytes that may never come. */
  endWith(signal: StopSignal): void {
    if (this.done) return;
    this.#signal = signal;
    signal.addEventListener("abort", this.#onGone);
    if (signal.aborted) this.cancel();
  }

  get done(): boolean {
    return this.#body.done;
  }

  get held(): number {
    return this.#body.held;
  }

  get ready(): boolean {
    return this.#body.ready;
  }

  take(into: Uint8Array<ArrayBuffer>): number {
    const count = this.#body.take(into);
    this.#onBytes(count);
    if (this.done) this.#leave();
    return count;
  }

  async read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    try {
      const count = await this.#body.read(into);
      if (count !== null) this.#onBytes(count);
      if (this.done) this.#leave();
      return count;
    } catch (error) {
      this.#leave();
      throw error;
    }
  }

  cancel(): void {
    this.#leave();
    this.#body.cancel();
  }

  #leave(): void {
    this.#signal?.removeEventListener("abort", this.#onGone);
    this.#signal = null;
  }
}
