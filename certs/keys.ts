/** Keys as Web Crypto and PEM have them. */
import { encodeHex } from "@std/encoding/hex";
import { badRequest } from "../proto/mod.ts";
import { X509 } from "./x509.ts";

/** What a key is for: `Ed25519` is a server's identity; `P-256` is for the CA, and for TLS with browsers. */
export type KeyKind = "Ed25519" | "P-256";

/** A new key pair. */
export interface KeyPair {
  /** PKCS #8, PEM. */
  key: string;
  publicKey: CryptoKey;
}

/** How each kind is named in Web Crypto. */
const ALGORITHMS = {
  "Ed25519": { name: "Ed25519" },
  "P-256": { name: "ECDSA", namedCurve: "P-256" },
} as const;

/** Makes a key pair. */
export async function makeKeyPair(kind: KeyKind): Promise<KeyPair> {
  const pair = await crypto.subtle.generateKey(ALGORITHMS[kind], true, ["sign", "verify"]) as CryptoKeyPair;
  const der = await crypto.subtle.exportKey("pkcs8", pair.privateKey);
  return { key: X509.PemConverter.encode(der, "PRIVATE KEY") + "\n", publicKey: pair.publicKey };
}

/** An Ed25519 public key of 32 bytes (RFC 8032) as a CryptoKey. */
export async function importIdentity(publicKey: Uint8Array): Promise<CryptoKey> {
  if (publicKey.length !== 32) throw badRequest(`An identity key has 32 bytes, not ${publicKey.length}`);
  return await crypto.subtle.importKey("raw", Uint8Array.from(publicKey), ALGORITHMS.Ed25519, true, ["verify"]);
}

/** The 32 bytes of an Ed25519 public key. */
export async function exportIdentity(publicKey: CryptoKey): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await crypto.subtle.exportKey("raw", publicKey));
}

/** A P-256 private key in PKCS #8 PEM, for signing. @throws {CdnError} 400 for what is none */
export async function importSigner(pem: string): Promise<CryptoKey> {
  try {
    const [der] = X509.PemConverter.decode(pem);
    return await crypto.subtle.importKey("pkcs8", der!, ALGORITHMS["P-256"], false, ["sign"]);
  } catch (cause) {
    throw badRequest("The CA's key is no P-256 key in PEM (PKCS #8)", { cause });
  }
}

/** 127 random bits as hexadecimal digits: unguessable and positive (RFC 5280 §4.1.2.2). */
export function randomSerial(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[0] = bytes[0]! & 0x7f | 0x40;
  return encodeHex(bytes);
}
