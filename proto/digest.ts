/**
 * SHA-256 digests: 64 lower-case hexadecimal digits in our messages, structured byte sequences in
 * HTTP fields (`Repr-Digest`, `Content-Digest`, RFC 9530: `sha-256=:base64:`).
 */
import { decodeBase64, encodeBase64 } from "@std/encoding/base64";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { parseDictionary } from "structured-headers";
import { badRequest } from "./error.ts";

/** True for 64 lower-case hexadecimal digits. */
export function isDigest(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

/** A digest as the value of `Repr-Digest` or `Content-Digest` (RFC 9530 §2, §3). */
export function formatDigestField(sha256: string): string {
  return `sha-256=:${encodeBase64(decodeHex(sha256))}:`;
}

/**
 * The SHA-256 of a `Repr-Digest` or `Content-Digest` field, as hexadecimal; null where the field is
 * absent or has only other algorithms (which RFC 9530 §2 allows a recipient to ignore).
 * @throws {CdnError} 400 for a field that does not parse.
 */
export function parseDigestField(value: string | null): string | null {
  if (value === null) return null;
  let item: unknown;
  try {
    item = parseDictionary(value).get("sha-256")?.[0];
  } catch (cause) {
    throw badRequest('The digest field must be like "sha-256=:BASE64:" (RFC 9530)', { cause });
  }
  if (item === undefined) return null;
  if (!(item instanceof ArrayBuffer) || item.byteLength !== 32) {
    throw badRequest('The digest field must carry 32 bytes as "sha-256=:BASE64:" (RFC 9530)');
  }
  return encodeHex(new Uint8Array(item));
}

/** The strong entity tag (RFC 9110 §8.8.3) of the bytes with this digest: the same on every server. */
export function formatEntityTag(sha256: string): string {
  return `"${encodeBase64(decodeHex(sha256)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}"`;
}

/** The digest in an entity tag that {@link formatEntityTag} made; null for any other. */
export function parseEntityTag(tag: string | null): string | null {
  if (!tag || !/^"[A-Za-z0-9_-]{43}"$/.test(tag)) return null;
  const sha256 = encodeHex(decodeBase64(tag.slice(1, -1).replaceAll("-", "+").replaceAll("_", "/") + "="));
  return formatEntityTag(sha256) === tag ? sha256 : null; // 43 digits have two bits more than a digest
}
