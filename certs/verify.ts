/** Whether a peer is who it says it is: its certificate must be one that our CA issued. */
import type { X509Certificate } from "node:crypto";
import { CdnError, MAX_CERTIFICATE } from "../proto/mod.ts";
import { sha256 } from "../runtime/signature.ts";
import { type CertificateFacts, parseCertificate, readFacts } from "./read.ts";

/** A server, as a certificate tells of it. */
export interface PeerIdentity {
  id: string;
  /** Ed25519, 32 bytes. */
  publicKey: Uint8Array<ArrayBuffer>;
  /** Since when that is so: of two certificates that name other keys the younger counts. */
  notBeforeMs: number;
}

/**
 * Verifies a server's certificate: one of `caDer` signed it, it and that CA are valid at `nowMs`, it is for a server
 * and client, and it binds an Ed25519 key to an id. Synchronous, for use in each request: what bytes say is remembered
 * (what the clock says is not), so that only the first time costs 2 ms.
 * @param options.id whose it must be
 * @throws {CdnError} 401 that says what is wrong
 */
export function verifyPeerCertificate(
  der: Uint8Array,
  caDer: readonly Uint8Array[],
  nowMs: number,
  { id }: { id?: string } = {},
): PeerIdentity {
  const { facts, ca } = verified(der, caDer);
  checkTime(facts.notBeforeMs, facts.notAfterMs, nowMs, "it");
  checkTime(ca.validFromDate.getTime(), ca.validToDate.getTime(), nowMs, "its CA");
  if (facts.isCa || !facts.purposes.server || !facts.purposes.client) {
    throw refused("it is not for a server and client");
  }
  if (facts.id === null) throw refused("it names no server");
  if (facts.publicKey === null) throw refused(`it binds no identity key to ${facts.id}`);
  if (id !== undefined && id !== facts.id) throw refused(`it is that of ${facts.id}, not of ${id}`);
  return { id: facts.id, publicKey: facts.publicKey, notBeforeMs: facts.notBeforeMs };
}

/** What is known of certificates that a CA of ours signed, by the digests of both. Strangers' leave nothing here. */
const known = new Map<string, CertificateFacts>();
const MOST_KNOWN = 1024;
const cas = new Map<string, X509Certificate>();
const MOST_CAS = 64;

function verified(der: Uint8Array, caDer: readonly Uint8Array[]): { facts: CertificateFacts; ca: X509Certificate } {
  if (der.length > MAX_CERTIFICATE) throw refused(`${der.length} bytes are too many for one`);
  const digest = sha256(der);
  let parsed: X509Certificate | undefined;
  for (const bytes of caDer) {
    const caDigest = sha256(bytes);
    const ca = remember(cas, MOST_CAS, caDigest, () => parseCertificate(bytes));
    const key = `${caDigest}/${digest}`;
    const facts = known.get(key);
    if (facts) return { facts, ca };
    parsed ??= readable(() => parseCertificate(der));
    if (!ca.ca || !parsed.checkIssued(ca) || !isSignedBy(parsed, ca)) continue;
    const leaf = parsed;
    return { facts: remember(known, MOST_KNOWN, key, () => readable(() => readFacts(leaf))), ca };
  }
  throw refused("no CA that is known here signed it");
}

function readable<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw refused("it cannot be read", cause);
  }
}

function isSignedBy(certificate: X509Certificate, ca: X509Certificate): boolean {
  try {
    return certificate.verify(ca.publicKey);
  } catch {
    return false; // of an algorithm that is none of ours
  }
}

function checkTime(notBeforeMs: number, notAfterMs: number, nowMs: number, what: string): void {
  if (nowMs > notAfterMs) throw refused(`${what} expired at ${new Date(notAfterMs).toISOString()}`);
  if (nowMs < notBeforeMs) throw refused(`${what} is not valid before ${new Date(notBeforeMs).toISOString()}`);
}

function refused(why: string, cause?: unknown): CdnError {
  return new CdnError(`Cannot take the peer's certificate: ${why}`, { source: "client", status: 401, cause });
}

/** The oldest is forgotten first. */
function remember<T>(map: Map<string, T>, most: number, key: string, make: () => T): T {
  const old = map.get(key);
  if (old !== undefined) return old;
  const made = make();
  if (map.size >= most) map.delete(map.keys().next().value!);
  map.set(key, made);
  return made;
}
