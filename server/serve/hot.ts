/**
 * Small bodies that are asked for again and again, in memory: a file read a request costs most of a small
 * answer's time. Content-addressed, so nothing here can ever be out of date.
 */

/** The largest body that is kept, in bytes. */
const LARGEST = 256 << 10;
/** How many digests are remembered as asked for once. */
const REMEMBERED = 10_000;

/** Keeps the bodies that were asked for last, up to a number of bytes. */
export class HotBodies {
  /** In order of use, the oldest first. */
  readonly #bodies = new Map<string, Uint8Array<ArrayBuffer>>();
  #seen = new Set<string>();
  #bytes = 0;

  /** @param most bytes of all bodies together; 0 keeps none */
  constructor(readonly most: number) {}

  /** A kept body; null where it must be read. */
  get(sha256: string): Uint8Array<ArrayBuffer> | null {
    const body = this.#bodies.get(sha256);
    if (!body) return null;
    this.#bodies.delete(sha256);
    this.#bodies.set(sha256, body);
    return body;
  }

  /** Whether a body that must be read now should be kept: from its second time on, so that a scan displaces nothing. */
  wants(sha256: string, size: number): boolean {
    if (size > LARGEST || size > this.most) return false;
    if (this.#seen.has(sha256)) return true;
    if (this.#seen.size >= REMEMBERED) this.#seen = new Set();
    this.#seen.add(sha256);
    return false;
  }

  /** Keeps a body, and lets go of those that were not asked for the longest. */
  keep(sha256: string, body: Uint8Array<ArrayBuffer>): void {
    if (this.#bodies.has(sha256)) return;
    this.#bodies.set(sha256, body);
    this.#bytes += body.length;
    for (const [oldest, { length }] of this.#bodies) {
      if (this.#bytes <= this.most) break;
      this.#bodies.delete(oldest);
      this.#bytes -= length;
    }
  }
}
