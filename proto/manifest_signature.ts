/**
 * What a server signs of a manifest whose write it accepted: its canonical bytes, in UTF-8
 *
 *     metacdn-manifest-1
 *     [path,[wallMs,counter,server],deleted,sha256,size,mediaType,name,modifiedMs,[[key,value],…]]
 *
 * which is the first line, then one line of JSON as `JSON.stringify` writes it (ECMA-262 §25.5.2: no white space, the
 * shortest escapes), the pairs of `meta` sorted by key, by UTF-16 code units. Different manifests have different bytes,
 * and the same manifest has the same, whichever encoding it came in. A new field means a new first line.
 */
import type { Manifest } from "./manifest.ts";

const FIRST_LINE = "metacdn-manifest-1\n";

/** The canonical bytes of a manifest, without its signature or any other property that is not named above. */
export function manifestBytes(
  { path, version, deleted, sha256, size, mediaType, name, modifiedMs, meta }: Manifest,
): Uint8Array<ArrayBuffer> {
  const { wallMs, counter, server } = version;
  return canonicalBytes(FIRST_LINE, [
    path,
    [wallMs, counter, server],
    deleted,
    sha256,
    size,
    mediaType,
    name,
    modifiedMs,
    sortedPairs(meta),
  ]);
}

/** A manifest's signature as base64, by the key of the server in its version. */
export function signManifest(manifest: Manifest, sign: (bytes: Uint8Array) => Uint8Array): string {
  return Uint8Array.from(sign(manifestBytes(manifest))).toBase64();
}

/**
 * True where a signature (base64) is the key's over the manifest.
 * @param verify Ed25519 (RFC 8032): false, and no error, for a key or signature of a wrong size
 */
export function manifestSignatureHolds(
  manifest: Manifest,
  signatureBase64: string,
  publicKey: Uint8Array,
  verify: (publicKey: Uint8Array, bytes: Uint8Array, signature: Uint8Array) => boolean,
): boolean {
  // 64 bytes, written in the one way that there is.
  if (!/^[A-Za-z0-9+/]{85}[AQgw]==$/.test(signatureBase64)) return false;
  return verify(publicKey, manifestBytes(manifest), Uint8Array.fromBase64(signatureBase64));
}

/** A first line that says what is signed and in which form, then the fields in their order as JSON. */
export function canonicalBytes(firstLine: string, fields: readonly unknown[]): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(firstLine + JSON.stringify(fields));
}

/** Pairs in the order of their keys' code units, which is the same everywhere. */
export function sortedPairs(pairs: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(pairs).sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0);
}
