/**
 * A server's own key: Ed25519 (RFC 8032). Its requests, its record and the manifests of what it accepted are signed with
 * it. What is signed says itself what it is (a signature base, or a first line of its own), so that no signature of one
 * kind can stand for another.
 *
 * All is synchronous, so that a simulation replays exactly.
 */
import { Buffer } from "node:buffer";
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from "node:crypto";
import { join } from "@std/path";
import { CdnError } from "../proto/mod.ts";
import { writeWholeFile } from "./whole_file.ts";

/** Bytes of a public key. */
export const PUBLIC_KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;

/** A key pair. */
export interface IdentityKey {
  /** 32 bytes. */
  readonly publicKey: Uint8Array<ArrayBuffer>;
  readonly privateKey: KeyObject;
  /** 64 bytes. */
  sign(bytes: Uint8Array): Uint8Array<ArrayBuffer>;
}

/**
 * The key that a folder keeps in `server.key` (PKCS#8, PEM, readable by its owner alone); made on the first run.
 * @throws {CdnError} (source "client") where the file cannot be read or written, or holds no Ed25519 key.
 */
export async function openIdentityKey(folder: string): Promise<IdentityKey> {
  const file = join(folder, "server.key");
  try {
    return identityKeyFrom(await Deno.readTextFile(file));
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotFound)) {
      throw new CdnError(`Cannot use ${file}: ${(cause as Error).message}`, { source: "client", cause });
    }
  }
  const { privateKey } = generateKeyPairSync("ed25519");
  const pem = privateKey.export({ format: "pem", type: "pkcs8" }) as string;
  try {
    await Deno.mkdir(folder, { recursive: true });
    await writeWholeFile(file, pem, { mode: 0o600 });
  } catch (cause) {
    throw new CdnError(`Cannot keep the server's key in ${file}: ${(cause as Error).message}`, {
      source: "client",
      cause,
    });
  }
  return identityKeyFrom(pem);
}

/**
 * A key from its PKCS#8 form.
 * @throws {CdnError} (source "client") for anything else.
 */
export function identityKeyFrom(pem: string): IdentityKey {
  const privateKey = privateKeyFrom(pem);
  // SPKI of an Ed25519 key (RFC 8410 §4) ends in the 32 bytes.
  const spki = createPublicKey(privateKey).export({ format: "der", type: "spki" });
  return {
    publicKey: Uint8Array.from(spki.subarray(-PUBLIC_KEY_BYTES)),
    privateKey,
    sign: (bytes) => Uint8Array.from(sign(null, bytes, privateKey)),
  };
}

function privateKeyFrom(pem: string): KeyObject {
  let key: KeyObject | null = null;
  let cause: unknown;
  try {
    key = createPrivateKey(pem);
  } catch (error) {
    cause = error;
  }
  if (key?.asymmetricKeyType === "ed25519") return key;
  throw new CdnError("The key must be an Ed25519 key in PKCS#8 (PEM): -----BEGIN PRIVATE KEY-----", {
    source: "client",
    cause,
  });
}

/** How many keys of others are kept in the form that checks quickly. */
const MOST_KEYS = 1024;
const keys = new Map<string, KeyObject | null>();
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex"); // RFC 8410 §4

/** True where `signature` is the key's over `bytes`; false for all else, such as a key or signature of a wrong size. */
export function verifyEd25519(publicKey: Uint8Array, bytes: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== PUBLIC_KEY_BYTES || signature.length !== SIGNATURE_BYTES) return false;
  const name = Buffer.from(publicKey.buffer, publicKey.byteOffset, publicKey.byteLength).toString("latin1");
  let key = keys.get(name);
  if (key === undefined) {
    key = publicKeyOf(publicKey);
    if (keys.size >= MOST_KEYS) keys.delete(keys.keys().next().value!);
    keys.set(name, key);
  }
  return key !== null && verify(null, bytes, key, signature);
}

function publicKeyOf(raw: Uint8Array): KeyObject | null {
  if (isWeak(raw)) return null;
  try {
    return createPublicKey({ key: Buffer.concat([SPKI_PREFIX, raw]), format: "der", type: "spki" });
  } catch {
    return null;
  }
}

/**
 * The points of small order, under which anybody can sign anything (Chalkias, Garillot, Nikolaenko, "Taming the many
 * EdDSAs", 2020; the list is libsodium's, `ge25519_has_small_order`). The last bit is the sign of x.
 */
const WEAK = new Set([
  "00".repeat(32),
  "01" + "00".repeat(31),
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "ec" + "ff".repeat(30) + "7f",
  "ed" + "ff".repeat(30) + "7f",
  "ee" + "ff".repeat(30) + "7f",
]);

function isWeak(raw: Uint8Array): boolean {
  const point = Buffer.from(raw);
  point[31]! &= 0x7f;
  return WEAK.has(point.toString("hex"));
}
