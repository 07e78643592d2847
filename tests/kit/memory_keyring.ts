/** A keyring without a cluster. */
import { Buffer } from "node:buffer";
import { X509Certificate } from "node:crypto";
import { type Keyring, sameBytes } from "../../runtime/keyring.ts";

/** The first key of an id is pinned, and only a newer certificate changes it. */
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
