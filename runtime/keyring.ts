/** The keys by which other servers are known. */
import { Buffer } from "node:buffer";
import { X509Certificate } from "node:crypto";

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

/** A keyring in memory: the first key of an id is pinned, and only a newer certificate changes it. */
export class MemoryKeyring implements Keyring {
  readonly #pinned = new Map<string, { publicKey: Uint8Array; certificate: Uint8Array | null }>();
  readonly #most: number;
  readonly #isNewer: (certificate: Uint8Array, than: Uint8Array) => boolean;

  /**
   * @param options.most how many ids are pinned; past that, no stranger is let in
   * @param options.isNewer compares two certificates (DER); by the start of their validity unless given
   */
  constructor({ most = 10_000, isNewer = isNewerCertificate }: {
    most?: number;
    isNewer?: (certificate: Uint8Array, than: Uint8Array) => boolean;
  } = {}) {
    this.#most = most;
    this.#isNewer = isNewer;
  }

  keyOf(id: string): Uint8Array | null {
    return this.#pinned.get(id)?.publicKey ?? null;
  }

  introduce(id: string, publicKey: Uint8Array, certificate: Uint8Array | null): boolean {
    const pinned = this.#pinned.get(id);
    if (pinned) {
      const same = sameBytes(pinned.publicKey, publicKey);
      if (!certificate) return same;
      const newer = !pinned.certificate || this.#isNewer(certificate, pinned.certificate);
      if (!newer) return same;
    } else if (this.#pinned.size >= this.#most) return false;
    this.#pinned.set(id, { publicKey: publicKey.slice(), certificate: certificate?.slice() ?? null });
    return true;
  }
}

/** True where a certificate's validity starts later than the other's; false where one cannot be read. */
export function isNewerCertificate(certificate: Uint8Array, than: Uint8Array): boolean {
  const start = (der: Uint8Array) => Date.parse(new X509Certificate(Buffer.from(der)).validFrom);
  try {
    return start(certificate) > start(than);
  } catch {
    return false;
  }
}

/** True where both hold the same bytes. For what is public: it stops at the first difference. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}
