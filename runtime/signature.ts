/**
 * Signed requests between our own programs: HTTP Message Signatures (RFC 9421).
 *
 * A program that has the cluster key signs with it (HMAC-SHA256, §3.3.3), which says: one of us. A server signs with its
 * own key besides (Ed25519, §3.3.6), which says who:
 *
 *     Signature-Input: metacdn=("@method" "@authority" "@path" "@query" "content-digest");
 *                      created=1700000000;nonce="…";keyid="cluster";alg="hmac-sha256";tag="metacdn",
 *                      metacdn-server=(the same);created=1700000000;nonce="…";keyid="ID";alg="ed25519";tag="metacdn"
 *     Signature: metacdn=:…:, metacdn-server=:…:
 *
 * with `content-digest` (RFC 9530) whenever there is a body. `created` must lie within the replay window and a nonce is
 * taken once, so that a recorded request cannot be played again. Both signatures have the same of both.
 *
 * A server introduces itself by `Metacdn-Key: :public key:` and, with TLS, `Client-Cert: :certificate:` (RFC 9440);
 * the signatures cover both. A key that is not known yet is taken where the cluster key vouches for it (its MAC covers
 * the field), or, where certificates are checked, only where one binds the key to the id. A known key is
 * changed by a certificate alone.
 *
 * A check has two steps, so that the body of a stranger is not read: the head first, in which the signatures cover
 * the body's digest, then the body. The nonce is taken, and the key introduced, after both.
 *
 * Time and nonces are arguments, and signing is synchronous, so that a simulation replays exactly.
 */
import type { Buffer } from "node:buffer";
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { encodeBase64Url } from "@std/encoding/base64url";
import { CdnError, formatDigestField, identifier, parseDigestField } from "../proto/mod.ts";
import {
  byteField,
  COMPONENTS,
  formatBytes,
  refused,
  type RequestSignature,
  signatureBase,
  signatureParameters,
  signaturesOf,
} from "./http_signature.ts";
import { type IdentityKey, PUBLIC_KEY_BYTES, verifyEd25519 } from "./identity_key.ts";
import { type Keyring, noKeyring, sameBytes } from "./keyring.ts";
import { Nonces } from "./nonces.ts";

/** The names under which the two signatures stand in the dictionaries. */
const LABEL = "metacdn";
const SERVER_LABEL = "metacdn-server";

/** How far `created` may lie from our clock, in milliseconds. */
export const REPLAY_WINDOW_MS = 300_000;

/** The server that a request is from. */
export interface ServerIdentity {
  readonly id: string;
  readonly key: Pick<IdentityKey, "publicKey" | "sign">;
  /** With TLS: DER, binding the key to the id. */
  readonly certificate: Uint8Array | null;
}

/** The SHA-256 of some bytes, as hexadecimal. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/**
 * The fields that sign a request, with whichever keys there are; add them to its headers.
 * @param options.introduce true: the server's key (and certificate) go along
 */
export function signRequest(
  request: { method: string; url: string; body?: Uint8Array | null },
  { key = null, identity = null, introduce = false, nowMs, nonce }: {
    key?: Uint8Array | null;
    identity?: ServerIdentity | null;
    introduce?: boolean;
    nowMs: number;
    nonce: string;
  },
): Record<string, string> {
  if (!key && !identity) return {};
  const fields: Record<string, string> = {};
  if (request.body) fields["content-digest"] = formatDigestField(sha256(request.body));
  if (identity && introduce) {
    fields["metacdn-key"] = formatBytes(identity.key.publicKey);
    if (identity.certificate) fields["client-cert"] = formatBytes(identity.certificate);
  }
  const components = [...COMPONENTS, ...Object.keys(fields)];
  const inputs: string[] = [];
  const signatures: string[] = [];
  const add = (label: string, keyid: string, alg: string, signed: (base: string) => Uint8Array) => {
    const parameters = signatureParameters(components, { createdMs: nowMs, nonce, keyid, alg });
    inputs.push(`${label}=${parameters}`);
    signatures.push(`${label}=${formatBytes(signed(signatureBase({ ...request, fields }, components, parameters)))}`);
  };
  if (key) add(LABEL, "cluster", "hmac-sha256", (base) => sign(key, base));
  if (identity) add(SERVER_LABEL, identity.id, "ed25519", (base) => identity.key.sign(utf8.encode(base)));
  return { ...fields, "signature-input": inputs.join(", "), "signature": signatures.join(", ") };
}

/** A fresh nonce: 16 random bytes. */
export function randomNonce(): string {
  return encodeBase64Url(crypto.getRandomValues(new Uint8Array(16)));
}

/** What of a request is looked at before its body. */
export type RequestHead = Pick<Request, "method" | "url" | "headers">;

/**
 * The second step of a check, once the body is here: compares its digest and takes the nonce.
 * @throws {CdnError} 401 that says what is wrong, 503 where too many nonces are remembered.
 */
export type CheckBody = (body: Uint8Array | null, nowMs: number) => void;

/**
 * Reads a certificate (DER) that is valid at `nowMs` and that our own CA issued to a server.
 * `notBeforeMs` is since when it is valid, where that is known.
 * @throws {CdnError} that says why it is none.
 */
export type VerifyCertificate = (
  der: Uint8Array,
  nowMs: number,
) => { id: string; publicKey: Uint8Array; notBeforeMs?: number };

/** What a {@link SignatureVerifier} works with; each has a default. */
export interface VerifierOptions {
  /** In memory unless given. */
  nonces?: Nonces;
  /** The keys of servers; none is known unless given. */
  keyring?: Keyring;
  /** Given with TLS: then a key becomes known by its certificate alone. */
  verifyCertificate?: VerifyCertificate | null;
}

/** Checks signatures, and remembers the nonces of the replay window. */
export class SignatureVerifier {
  readonly #key: Uint8Array | null;
  readonly #nonces: Nonces;
  readonly #keyring: Keyring;
  readonly #verifyCertificate: VerifyCertificate | null;

  /** @param key the cluster key; null where none is set: then servers alone are told by their signatures */
  constructor(
    key: Uint8Array | null,
    { nonces = new Nonces(), keyring = noKeyring, verifyCertificate = null }: VerifierOptions = {},
  ) {
    this.#key = key;
    this.#nonces = nonces;
    this.#keyring = keyring;
    this.#verifyCertificate = verifyCertificate;
  }

  /** True where a request carries a signature by the cluster key at all. */
  static isSigned(headers: Headers): boolean {
    return headers.get("signature-input")?.includes(`${LABEL}=`) ?? false;
  }

  /** True where a request carries a server's own signature at all. */
  static isSignedByServer(headers: Headers): boolean {
    return headers.get("signature-input")?.includes(`${SERVER_LABEL}=`) ?? false;
  }

  /**
   * Checks the cluster key's signature of a request, and the digest of its body if it has one.
   * @throws {CdnError} 401 that says what is wrong with it.
   */
  verify(request: RequestHead & { body?: Uint8Array | null }, nowMs: number): void {
    this.checkHead(request, nowMs)(request.body ?? null, nowMs);
  }

  /**
   * Checks all that can be known before the body is read, which need not be done for a stranger. What comes back must
   * be called, also where there is no body: only then is the request accepted.
   * @throws {CdnError} 401 that says what is wrong with it.
   */
  checkHead(request: RequestHead, nowMs: number): CheckBody {
    return this.#accept(request, [this.#checkMac(signaturesOf(request))], nowMs);
  }

  /**
   * The same for what only servers do: the cluster key's signature where one is set, and the server's own.
   * `from` is the id of the server; it may be relied on once the second step is done.
   * @throws {CdnError} 401 that says what is wrong with it.
   */
  checkServerHead(request: RequestHead, nowMs: number): { from: string; checkBody: CheckBody } {
    const open = signaturesOf(request);
    const signatures = this.#key ? [this.#checkMac(open)] : [];
    const own = open(SERVER_LABEL, "ed25519");
    const from = own.keyid;
    if (identifier(from) !== null) throw refused("the keyid is not the id of a server");
    // Else a MAC of one request could be put beside a server's signature of another.
    if (signatures.some(({ nonce, createdMs }) => nonce !== own.nonce || createdMs !== own.createdMs)) {
      throw refused("its two signatures must have the same nonce and time");
    }
    signatures.push(own);
    const known = this.#keyring.keyOf(from);
    const brought = broughtKey(request.headers, signatures);
    const isNews = brought !== null && !(known && sameBytes(known, brought));
    const key = isNews ? brought : known;
    if (!key) throw refused(`the key of the server "${from}" is not known here, and Metacdn-Key does not bring it`);
    if (isNews && known && !this.#verifyCertificate) throw refused(`the server "${from}" is known by another key`);
    if (!verifyEd25519(key, utf8.encode(own.base), own.signature)) {
      throw refused(`the signature of the server "${from}" is wrong`);
    }
    const certificate = isNews ? this.#checkCertificate(request.headers, signatures, { from, key, nowMs }) : null;
    const accept = this.#accept(request, signatures, nowMs);
    if (!isNews) return { from, checkBody: accept };
    const introduce = () => {
      if (!this.#keyring.introduce(from, key, certificate)) {
        throw refused(`the server "${from}" is known by another key`);
      }
    };
    return { from, checkBody: (body, nowMs) => accept(body, nowMs, introduce) };
  }

  #checkMac(open: ReturnType<typeof signaturesOf>): RequestSignature {
    const given = open(LABEL, "hmac-sha256");
    const mac = this.#key && sign(this.#key, given.base);
    if (!mac || given.signature.length !== mac.length || !timingSafeEqual(given.signature, mac)) {
      throw refused("the signature is wrong");
    }
    return given;
  }

  /** The certificate that binds the key to the id; null where none is asked for: one that nobody checked says nothing. */
  #checkCertificate(
    headers: Headers,
    signatures: readonly RequestSignature[],
    { from, key, nowMs }: { from: string; key: Uint8Array; nowMs: number },
  ): Uint8Array | null {
    if (!this.#verifyCertificate) return null;
    const certificate = coveredField(headers, "client-cert", signatures);
    if (!certificate) throw refused(`the server "${from}" must bring its certificate (Client-Cert)`);
    const bound = readCertificate(this.#verifyCertificate, certificate, { from, nowMs });
    if (bound.id !== from) throw refused(`the certificate is that of "${bound.id}", not of "${from}"`);
    if (!sameBytes(bound.publicKey, key)) throw refused("the certificate is that of another key");
    return certificate;
  }

  /** What is left once the signatures are known to be right: the time, the body, the nonce. */
  #accept(
    { headers }: RequestHead,
    signatures: readonly RequestSignature[],
    nowMs: number,
  ): (body: Uint8Array | null, nowMs: number, last?: () => void) => void {
    const { nonce, createdMs } = signatures[0]!;
    const covered = signatures.every(({ components }) => components.includes("content-digest"));
    const digest = covered ? parseDigestField(headers.get("content-digest")) : null;
    this.#requireFresh(nonce, createdMs, nowMs);
    return (body, nowMs, last) => {
      if (!covered && body && body.length > 0) throw refused("the signature does not cover the body");
      if (covered && digest !== sha256(body ?? new Uint8Array())) {
        throw refused("the body does not match its Content-Digest");
      }
      // Once more: the body took its time, in which the same request may have come, or its nonce been forgotten.
      this.#requireFresh(nonce, createdMs, nowMs);
      last?.();
      // Only once all is known to be right: a stranger cannot fill the table.
      this.#nonces.take(nonce, { nowMs, untilMs: nowMs + 2 * REPLAY_WINDOW_MS });
    };
  }

  #requireFresh(nonce: string, createdMs: number, nowMs: number): void {
    if (Math.abs(nowMs - createdMs) > REPLAY_WINDOW_MS) {
      throw refused("the signature's time is outside the replay window: are both clocks right?");
    }
    if (this.#nonces.has(nonce, nowMs)) throw refused("this request was played already");
  }
}

/** Whatever is wrong with a certificate is a 401, as it is with a signature. */
function readCertificate(
  verify: VerifyCertificate,
  certificate: Uint8Array,
  { from, nowMs }: { from: string; nowMs: number },
): ReturnType<VerifyCertificate> {
  try {
    return verify(certificate, nowMs);
  } catch (cause) {
    if (!(cause instanceof CdnError)) throw cause;
    throw refused(`the certificate of the server "${from}" is not taken: ${cause.message}`, cause);
  }
}

/** The key that a request brings along; null where none. */
function broughtKey(headers: Headers, signatures: readonly RequestSignature[]): Uint8Array | null {
  const key = coveredField(headers, "metacdn-key", signatures);
  if (key && key.length !== PUBLIC_KEY_BYTES) throw refused(`Metacdn-Key must hold ${PUBLIC_KEY_BYTES} bytes`);
  return key;
}

/** A field that each signature must cover, so that nobody on the way can add it to a request that is signed. */
function coveredField(
  headers: Headers,
  name: "metacdn-key" | "client-cert",
  signatures: readonly RequestSignature[],
): Uint8Array | null {
  const bytes = byteField(headers, name);
  if (bytes && !signatures.every(({ components }) => components.includes(name))) {
    throw refused(`the signatures do not cover ${name}`);
  }
  return bytes;
}

const utf8 = new TextEncoder();

/** RFC 9421 §3.3.3: HMAC-SHA256 of a signature base. */
export function sign(key: Uint8Array, base: string): Buffer {
  return createHmac("sha256", key).update(base).digest();
}

/** Names a key or a token without telling it: the first 8 hexadecimal digits of its SHA-256, for logs. */
export function keyFingerprint(key: Uint8Array): string {
  return sha256(key).slice(0, 8);
}
