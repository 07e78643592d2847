/**
 * Signed requests between our own programs: HTTP Message Signatures (RFC 9421) with HMAC-SHA256
 * (§3.3.3) and the shared cluster key.
 *
 * A request is signed as
 *
 *     Signature-Input: metacdn=("@method" "@authority" "@path" "@query" "content-digest");
 *                      created=1700000000;nonce="…";keyid="cluster";alg="hmac-sha256";tag="metacdn"
 *     Signature: metacdn=:…:
 *
 * with `content-digest` (RFC 9530) whenever there is a body. `created` must lie within the replay
 * window and a nonce is taken once, so that a recorded request cannot be played again.
 *
 * A check has two steps, so that the body of a stranger is not read: the head first, in which the MAC covers
 * the body's digest, then the body. The nonce is taken after both.
 *
 * Time and nonces are arguments, and signing is synchronous, so that a simulation replays exactly.
 */
import type { Buffer } from "node:buffer";
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { encodeHex } from "@std/encoding/hex";
import { encodeBase64Url } from "@std/encoding/base64url";
import { isInnerList, parseDictionary, serializeInnerList } from "structured-headers";
import { CdnError, formatDigestField, normalAuthority, parseDigestField, splitTarget } from "../proto/mod.ts";

/** The name under which our signature stands in the two dictionaries. */
const LABEL = "metacdn";
const COMPONENTS = ["@method", "@authority", "@path", "@query"];

/** How far `created` may lie from our clock, in milliseconds. */
export const REPLAY_WINDOW_MS = 300_000;

/** What is signed of a request. */
export interface SignedParts {
  method: string;
  /** Absolute, as sent. */
  url: string;
  /** Header fields that components may name, in lower case. */
  fields?: Readonly<Record<string, string>>;
}

/** The SHA-256 of some bytes, as hexadecimal. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The fields that sign a request; add them to its headers. */
export function signRequest(
  request: { method: string; url: string; body?: Uint8Array | null },
  { key, nowMs, nonce }: { key: Uint8Array; nowMs: number; nonce: string },
): Record<string, string> {
  const contentDigest = request.body ? formatDigestField(sha256(request.body)) : null;
  const components = contentDigest ? [...COMPONENTS, "content-digest"] : COMPONENTS;
  const parameters = serializeInnerList([
    components.map((name) => [name, new Map()]),
    new Map<string, string | number>([
      ["created", Math.floor(nowMs / 1000)],
      ["nonce", nonce],
      ["keyid", "cluster"],
      ["alg", "hmac-sha256"],
      ["tag", "metacdn"],
    ]),
  ]);
  const fields: Record<string, string> = contentDigest ? { "content-digest": contentDigest } : {};
  const base = signatureBase({ ...request, fields }, components, parameters);
  return {
    ...fields,
    "signature-input": `${LABEL}=${parameters}`,
    "signature": `${LABEL}=:${sign(key, base).toString("base64")}:`,
  };
}

/** A fresh nonce: 16 random bytes. */
export function randomNonce(): string {
  return encodeBase64Url(crypto.getRandomValues(new Uint8Array(16)));
}

/**
 * The second step of a check, once the body is here: compares its digest and takes the nonce.
 * @throws {CdnError} 401 that says what is wrong, 503 where too many nonces are remembered.
 */
export type CheckBody = (body: Uint8Array | null, nowMs: number) => void;

/** Checks signatures, and remembers the nonces of the replay window. */
export class SignatureVerifier {
  readonly #key: Uint8Array;
  readonly #windowMs: number;
  readonly #most: number;
  /** Nonce to the time at which it may be forgotten; in order of arrival. */
  readonly #seen = new Map<string, number>();

  /**
   * @param options.windowMs how far `created` may lie from our clock
   * @param options.mostNonces how many nonces are remembered; past that, requests are refused (503)
   * until some are out of the window: forgetting one would let its request be played again
   */
  constructor(
    key: Uint8Array,
    { windowMs = REPLAY_WINDOW_MS, mostNonces = 1_000_000 }: { windowMs?: number; mostNonces?: number } = {},
  ) {
    this.#key = key;
    this.#windowMs = windowMs;
    this.#most = mostNonces;
  }

  /** True where a request carries a signature under our label at all. */
  static isSigned(headers: Headers): boolean {
    return headers.get("signature-input")?.includes(`${LABEL}=`) ?? false;
  }

  /**
   * Checks the signature of a request, and the digest of its body if it has one.
   * @throws {CdnError} 401 that says what is wrong with it.
   */
  verify(request: { method: string; url: string; headers: Headers; body?: Uint8Array | null }, nowMs: number): void {
    this.checkHead(request, nowMs)(request.body ?? null, nowMs);
  }

  /**
   * Checks all that can be known before the body is read, which need not be done for a stranger. What comes back must
   * be called, also where there is no body: only then is the request accepted.
   * @throws {CdnError} 401 that says what is wrong with it.
   */
  checkHead({ method, url, headers }: { method: string; url: string; headers: Headers }, nowMs: number): CheckBody {
    const input = innerList(headers.get("signature-input"));
    const signature = byteSequence(headers.get("signature"));
    if (!input || !signature) throw refused("the signature is missing or malformed");
    const [items, parameters] = input;
    const components = items.map(([name, modifiers]) => modifiers.size === 0 && typeof name === "string" ? name : "");
    for (const name of COMPONENTS) {
      if (!components.includes(name)) throw refused(`the signature does not cover ${name}`);
    }
    const known = [...COMPONENTS, "content-digest"];
    if (components.some((name) => !known.includes(name)) || new Set(components).size !== components.length) {
      throw refused("the signature covers a component that is not known here");
    }
    if (parameters.get("alg") !== "hmac-sha256" || parameters.get("tag") !== "metacdn") {
      throw refused('the signature must have alg="hmac-sha256" and tag="metacdn"');
    }
    const created = parameters.get("created");
    const nonce = parameters.get("nonce");
    if (typeof created !== "number" || typeof nonce !== "string" || nonce.length < 8 || nonce.length > 64) {
      throw refused("the signature must have created and nonce");
    }
    const contentDigest = headers.get("content-digest");
    const covered = components.includes("content-digest");
    if (covered && contentDigest === null) throw refused("the Content-Digest field is missing");
    const fields: Record<string, string> = contentDigest === null ? {} : { "content-digest": contentDigest };
    const mac = sign(this.#key, signatureBase({ method, url, fields }, components, serializeInnerList(input)));
    if (signature.length !== mac.length || !timingSafeEqual(signature, mac)) throw refused("the signature is wrong");
    const digest = covered ? parseDigestField(contentDigest) : null;
    this.#requireFresh(nonce, created * 1000, nowMs);
    return (body, nowMs) => {
      if (!covered && body && body.length > 0) throw refused("the signature does not cover the body");
      if (covered && digest !== sha256(body ?? new Uint8Array())) {
        throw refused("the body does not match its Content-Digest");
      }
      // Once more: the body took its time, in which the same request may have come, or its nonce been forgotten.
      this.#requireFresh(nonce, created * 1000, nowMs);
      this.#take(nonce, nowMs);
    };
  }

  #requireFresh(nonce: string, createdMs: number, nowMs: number): void {
    if (Math.abs(nowMs - createdMs) > this.#windowMs) {
      throw refused("the signature's time is outside the replay window: are both clocks right?");
    }
    for (const [old, until] of this.#seen) {
      if (until >= nowMs) break;
      this.#seen.delete(old);
    }
    if (this.#seen.has(nonce)) throw refused("this request was played already");
  }

  /** Only once all is known to be right: a stranger cannot fill the table. */
  #take(nonce: string, nowMs: number): void {
    if (this.#seen.size >= this.#most) {
      throw new CdnError("Cannot take more signed requests now", {
        source: "server",
        status: 503,
        retry: true,
        retryAfterSeconds: 10,
      });
    }
    this.#seen.set(nonce, nowMs + 2 * this.#windowMs);
  }
}

/** RFC 9421 §3.3.3: HMAC-SHA256 of a signature base. */
export function sign(key: Uint8Array, base: string): Buffer {
  return createHmac("sha256", key).update(base).digest();
}

/** RFC 9421 §2.5: a line a component, then the parameters. */
export function signatureBase(parts: SignedParts, components: readonly string[], parameters: string): string {
  const target = splitTarget(parts.url);
  const lines = components.map((name) => `"${name}": ${componentValue(name, parts, target)}`);
  return [...lines, `"@signature-params": ${parameters}`].join("\n");
}

function componentValue(name: string, parts: SignedParts, target: ReturnType<typeof splitTarget>): string {
  switch (name) {
    case "@method":
      return parts.method;
    case "@authority":
      return normalAuthority(target);
    case "@path":
      return target.path;
    case "@query": // §2.2.7: with its "?"
      return `?${target.query}`;
    default: {
      const value = parts.fields?.[name];
      if (value === undefined) throw new TypeError(`unknown component ${name}`);
      return value.trim(); // §2.1
    }
  }
}

function innerList(field: string | null) {
  try {
    const member = field === null ? undefined : parseDictionary(field).get(LABEL);
    return member && isInnerList(member) ? member : null;
  } catch {
    return null;
  }
}

function byteSequence(field: string | null): Uint8Array | null {
  try {
    const value = field === null ? undefined : parseDictionary(field).get(LABEL)?.[0];
    return value instanceof ArrayBuffer ? new Uint8Array(value) : null;
  } catch {
    return null;
  }
}

function refused(why: string): CdnError {
  return new CdnError(`Cannot accept the signed request: ${why}`, {
    source: "client",
    status: 401,
    headers: { "www-authenticate": "Signature" },
  });
}

/** Names a key or a token without telling it: the first 8 hexadecimal digits of its SHA-256, for logs. */
export function keyFingerprint(key: Uint8Array): string {
  return encodeHex(createHash("sha256").update(key).digest().subarray(0, 4));
}
