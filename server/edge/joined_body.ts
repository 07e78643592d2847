/** Several bodies as one: {@link JoinedBody}. */
import type { BodySource } from "../../runtime/http1/body_source.ts";

/** Bytes, or a body that is opened when its turn comes. */
export type Part = Uint8Array<ArrayBuffer> | (() => BodySource);

/** Reads one part after the other; only one is open at a time. */
export class JoinedBody implements BodySource {
  readonly #parts: Part[];
  #bytes: Uint8Array<ArrayBuffer> | null = null;
  #open: BodySource | null = null;
  #done = false;

  constructor(parts: readonly Part[]) {
    this.#parts = [...parts];
    this.#next();
  }

  get done(): boolean {
    return this.#done;
  }

  get held(): number {
    return this.#bytes ? this.#bytes.length : this.#open?.held ?? 0;
  }

  get ready(): boolean {
    return !this.#done;
  }

  take(into: Uint8Array<ArrayBuffer>): number {
    if (!this.#bytes) {
      const count = this.#open?.take(into) ?? 0;
      if (this.#open?.done) this.#next();
      return count;
    }
    const part = this.#bytes.subarray(0, into.length);
    into.set(part);
    this.#bytes = this.#bytes.subarray(part.length);
    if (this.#bytes.length === 0) this.#next();
    return part.length;
  }

  async read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    while (!this.#done) {
      const here = this.take(into);
      if (here > 0) return here;
      const count = await this.#open!.read(into);
      if (this.#open!.done) this.#next();
      if (count !== null) return count;
    }
    return null;
  }

  cancel(): void {
    this.#open?.cancel();
    this.#parts.length = 0;
    this.#done = true;
  }

  /** Goes on to the next part that is not empty. */
  #next(): void {
    this.#bytes = this.#open = null;
    for (let part = this.#parts.shift(); part; part = this.#parts.shift()) {
      if (part instanceof Uint8Array) {
        if (part.length === 0) continue;
        this.#bytes = part;
      } else {
        this.#open = part();
        if (this.#open.done) continue;
      }
      return;
    }
    this.#done = true;
  }
}
