/** `Keys` that cost little and replay: a keyed hash in the place of Ed25519. Nobody here forges by breaking it. */
import { createHash } from "node:crypto";
import type { Keys } from "../../server/cluster/ports.ts";

/** The keys of this name, the same each time, and the certificate that their owner shows. */
export function fakeKeys(name: string, certificate: Uint8Array<ArrayBuffer> = new Uint8Array()): Keys {
  const publicKey = new Uint8Array(createHash("sha256").update(name).digest());
  return {
    publicKey,
    certificate,
    sign: (bytes) => signature(publicKey, bytes),
    verify: (key, bytes, given) => {
      const right = signature(key, bytes);
      return given.length === right.length && right.every((byte, at) => byte === given[at]);
    },
  };
}

/** 64 bytes, as long as the real one. The public key is all the secret there is. */
function signature(key: Uint8Array, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash("sha512").update(key).update(bytes).digest());
}
