/** A response as the cache keeps it, its body apart. Plain data that is replaced and never changed. */
import type { HeaderLine } from "../../runtime/http1/transport.ts";

/** One request field that Vary nominates, and its normalised value; null where the request had none. */
export type Varied = readonly [name: string, value: string | null];

/** A stored response (RFC 9111 §3). */
export interface StoredResponse {
  /** Of a 206 it is 200: which parts of the body are held is the entry's to tell. */
  readonly status: number;
  /**
   * As they came from the origin, in their order, names in lower case, each line apart. Without what must not be stored
   * (RFC 9111 §3.1), Content-Length, and the Content-Range of a part; Date is always there.
   */
  readonly fields: readonly HeaderLine[];
  /** What the request had for each field that Vary nominates, by name; empty where nothing varies. */
  readonly varied: readonly Varied[];
  /** The length of the complete representation in bytes; null where it is not known (yet). */
  readonly length: number | null;
  /** When its request was sent, and when its head came (RFC 9111 §4.2.3): milliseconds since 1970. */
  readonly requestMs: number;
  readonly responseMs: number;
  /** Stale whatever its fields say: it was softly purged. */
  readonly stale: boolean;
  /** Its tags (Surrogate-Key, Cache-Tag), by which it may be purged. */
  readonly tags: readonly string[];
}
