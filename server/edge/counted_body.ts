/** A body whose bytes somebody counts: {@link CountedBody}. */
import type { BodySource } from "../../runtime/http1/body_source.ts";

/** The same body, which tells of its bytes as they are read. */
export class CountedBody implements BodySource {
  readonly #body: BodySource;
  readonly #onBytes: (count: number) => void;

  constructor(body: BodySource, onBytes: (count: number) => void) {
    this.#body = body;
    this.#onBytes = onBytes;
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
    return count;
  }

  async read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    const count = await this.#body.read(into);
    if (count !== null) this.#onBytes(count);
    return count;
  }

  cancel(): void {
    this.#body.cancel();
  }
}
