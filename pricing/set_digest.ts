/**
 * A digest of a set that is kept up to date as members come and go: the XOR of the first 128 bits of each member's
 * SHA-256. Two sets with the same digest are taken to be equal; it guards against mistakes, not against forgers, who
 * would need the cluster key (M. Bellare, D. Micciancio, "A New Paradigm for Collision-Free Hashing", 1997).
 */
import { createHash } from "node:crypto";

/** How long a digest is, in bytes. */
const BYTES = 16;

/** Of the empty set: all zero. */
export class SetDigest {
  readonly bytes: Uint8Array<ArrayBuffer> = new Uint8Array(BYTES);

  /** Puts a member in, or takes it out where it is in. Its parts must not hold a zero character. */
  toggle(...parts: (string | number | bigint)[]): void {
    const hash = createHash("sha256").update(parts.join("\0")).digest();
    for (let at = 0; at < BYTES; at++) this.bytes[at]! ^= hash[at]!;
  }

  /** Unites it with a set that has no member in common with it. */
  unite(other: SetDigest): void {
    for (let at = 0; at < BYTES; at++) this.bytes[at]! ^= other.bytes[at]!;
  }
}
