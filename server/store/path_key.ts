/** Where a path stands in the digest tree and in listings by key. */
import { createHash } from "node:crypto";

/** Keys are below this: 2^48. */
export const KEYS = 2 ** 48;

/** The first 48 bits of the SHA-256 of a path (UTF-8), as a whole number. */
export function pathKey(path: string): number {
  return createHash("sha256").update(path).digest().readUIntBE(0, 6);
}
