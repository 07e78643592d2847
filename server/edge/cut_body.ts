/** A part of another body: {@link CutBody}. */
import type { BodySource } from "../../runtime/http1/body_source.ts";

/** Leaves out the first `skip` bytes of a body, and all after `length` more. */
export class CutBody implements BodySource {
  readonly #body: BodySource;
  #skip: number;
  #left: number;

  constructor(body: BodySource, skip: number, length: number) {
    this.#body = body;
    this.#skip = skip;
    this.#left = length;
    if (length === 0) body.cancel();
  }

  get done(): boolean {
    return this.#left === 0;
  }

  get held(): number {
    return this.#skip > 0 ? 0 : Math.min(this.#left, this.#body.held);
  }

  get ready(): boolean {
    return this.#skip === 0 && this.#left > 0 && this.#body.ready;
  }

  take(into: Uint8Array<ArrayBuffer>): number {
    return this.#skip > 0 || this.done ? 0 : this.#advance(this.#body.take(this.#room(into)));
  }

  async read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    while (this.#skip > 0) {
      const count = await this.#body.read(into.subarray(0, Math.min(into.length, this.#skip)));
      if (count === null) throw this.#short();
      this.#skip -= count;
    }
    if (this.done) return null;
    const count = await this.#body.read(this.#room(into));
    if (count === null) throw this.#short();
    return this.#advance(count);
  }

  cancel(): void {
    this.#left = 0;
    if (!this.#body.done) this.#body.cancel();
  }

  #room(into: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    return into.subarray(0, Math.min(into.length, this.#left));
  }

  #advance(count: number): number {
    this.#left -= count;
    if (this.#left === 0 && !this.#body.done) this.#body.cancel();
    return count;
  }

  #short(): Error {
    return new Error(`the body ended ${this.#left} bytes before the part that was asked for did`);
  }
}
