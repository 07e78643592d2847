/** The key of a path: where its object stands on the ring of all keys, the same on every server. */
import { hash } from "node:crypto";

/** Keys are below this: 2^48. */
export const KEYS = 2 ** 48;

/** The first 48 bits of the SHA-256 of the path in UTF-8, as a whole number. */
export function pathKey(path: string): number {
  return parseInt(hash("sha256", path).slice(0, 12), 16);
}
