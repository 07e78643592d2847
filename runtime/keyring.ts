/** The keys by which other servers are known. */

/** What the guard asks about the keys of servers. Our own id's key belongs in it too: nobody else may speak as us. */
export interface Keyring {
  /** The key that is known for a server's id; null where none is. */
  keyOf(id: string): Uint8Array | null;
  /**
   * A key that a request brought along whose other proof was right: true where it may be used from now on (it was
   * unknown, or is the same, or a newer certificate says so).
   * @param certificate what bound the key to the id, checked already; null where the cluster key was the proof
   */
  introduce(id: string, publicKey: Uint8Array, certificate: Uint8Array | null): boolean;
}

/** Knows nobody, and takes nobody: for programs that answer no servers. */
export const noKeyring: Keyring = { keyOf: () => null, introduce: () => false };

/** True where both hold the same bytes. For what is public: it stops at the first difference. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}
