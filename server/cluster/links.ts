/** What was measured of the links to the other servers: smoothed round trips and rates. */

interface Link {
  rttMs: number | null;
  bytesPerMs: number | null;
  active: number;
}

/** The weight of a new sample: that of TCP's smoothed round trip (RFC 6298 §2). */
const WEIGHT = 1 / 8;
/** A smaller transfer tells of the round trip, not of the rate. */
const LEAST_BYTES = 64 << 10;

/** One record a server. */
export class Links {
  readonly #links = new Map<string, Link>();

  /** A ping took so long. */
  roundTrip(id: string, ms: number): void {
    const link = this.#of(id);
    link.rttMs = smooth(link.rttMs, Math.max(0, ms));
  }

  /** A body, or a part of one, came in so long. */
  transfer(id: string, bytes: number, ms: number): void {
    if (bytes < LEAST_BYTES || ms <= 0) return;
    const link = this.#of(id);
    link.bytesPerMs = smooth(link.bytesPerMs, bytes / ms);
  }

  /** A body is on its way from there, until this is disposed of. */
  use(id: string): Disposable {
    const link = this.#of(id);
    link.active++;
    return { [Symbol.dispose]: () => void link.active-- };
  }

  /** What is known; nulls where nothing is. */
  get(id: string): Readonly<Link> {
    return this.#links.get(id) ?? { rttMs: null, bytesPerMs: null, active: 0 };
  }

  #of(id: string): Link {
    let link = this.#links.get(id);
    if (!link) this.#links.set(id, link = { rttMs: null, bytesPerMs: null, active: 0 });
    return link;
  }
}

function smooth(before: number | null, sample: number): number {
  return before === null ? sample : before + (sample - before) * WEIGHT;
}
