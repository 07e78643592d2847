/**
 * Small bodies that are asked for again and again, in memory: a file read a request costs most of a small
 * answer's time. Content-addressed, so nothing here can ever be out of date.
 */

/** The largest body that is kept, in bytes. */
const LARGEST = 256 << 10;
/** How many digests are remembered as asked for once. */
const REMEMBERED = 10_000;

/** Others who keep bodies, out of the same memory. */
export interface OtherBodies {
  /** Bytes that they take. */
  readonly bytes: number;
  /** A body that they keep. */
  body(sha256: string): Uint8Array<ArrayBuffer> | null;
}

const nobody: OtherBodies = { bytes: 0, body: () => null };

/** Keeps the bodies that were asked for last, up to a number of bytes. */
export class HotBodies {
  /** In order of use, the oldest first. */
  readonly #bodies = new Map<string, Uint8Array<ArrayBuffer>>();
  #seen = new Set<string>();
  #bytes = 0;

  /** @param most bytes of all bodies together, those of others among them; 0 keeps none */
  constructor(readonly most: number, readonly others: OtherBodies = nobody) {}

  /** A kept body; null where it must be read. */
  get(sha256: string): Uint8Array<ArrayBuffer> | null {
    const body = this.#bodies.get(sha256);
    if (!body) return this.others.body(sha256);
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
    this.trim();
  }

  /** Lets go of a body: others have it now. */
  drop(sha256: string): void {
    const body = this.#bodies.get(sha256);
    if (!body || !this.#bodies.delete(sha256)) return;
    this.#bytes -= body.length;
  }

  /** Makes room where others take more than before. */
  trim(): void {
    for (const [oldest, { length }] of this.#bodies) {
      if (this.#bytes + this.others.bytes <= this.most) break;
      this.#bodies.delete(oldest);
      this.#bytes -= length;
    }
  }
}
