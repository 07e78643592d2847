/** `Partials` on a simulated disk. */
import type { Partials, PartialWriter } from "../../server/cluster/ports.ts";
import { noRoom } from "../../server/store/room.ts";
import type { BodySource } from "../../server/store/store.ts";
import type { Life } from "./life.ts";
import type { Platter } from "./platter.ts";
import { exponential, type Random } from "./prng.ts";

/** The name under which the store finds a beginning. */
export function partialFile(sha256: string): string {
  return `partial/${sha256}`;
}

/** A process's door to the beginnings on its machine's disk. */
export class DiskPartials implements Partials {
  readonly #platter: Platter;
  readonly #life: Life;
  readonly #random: Random;

  constructor(platter: Platter, life: Life, random: Random) {
    this.#platter = platter;
    this.#life = life;
    this.#random = random;
  }

  size(sha256: string): Promise<number> {
    return Promise.resolve(this.#platter.partials.get(sha256)?.length ?? 0);
  }

  // deno-lint-ignore require-await -- so that what it throws is a rejection
  async append(sha256: string, { fresh }: { fresh: boolean }): Promise<PartialWriter> {
    const { partials } = this.#platter;
    if (this.#platter.full) throw noRoom("take the body");
    if (fresh || !partials.has(sha256)) partials.set(sha256, new Uint8Array());
    return {
      write: async (chunk) => {
        const bytes = chunk.slice();
        await this.#life.wait(exponential(this.#random, 0.5));
        if (this.#platter.full) throw noRoom("take the body");
        const before = partials.get(sha256);
        if (!before) return; // discarded meanwhile: the file has no name any more
        const after = new Uint8Array(before.length + bytes.length);
        after.set(before);
        after.set(bytes, before.length);
        partials.set(sha256, after);
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }

  async *read(sha256: string, start: number): AsyncGenerator<Uint8Array> {
    const bytes = this.#platter.partials.get(sha256)?.slice(start) ?? new Uint8Array();
    if (bytes.length === 0) return;
    await this.#life.wait(exponential(this.#random, 0.5));
    yield bytes;
  }

  source(sha256: string): BodySource {
    return { file: partialFile(sha256) };
  }

  discard(sha256: string): Promise<void> {
    this.#platter.partials.delete(sha256);
    return Promise.resolve();
  }
}
