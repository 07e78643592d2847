/** A certificate and its key, as a server presents them. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { CdnError } from "../proto/mod.ts";

/** Both as PEM. */
export interface TlsPair {
  /** The certificate, and behind it those that lead to a CA that clients know. */
  cert: string;
  /** PKCS #8, SEC 1 or PKCS #1. */
  key: string;
}

/** More is no certificate: a chain has a few kilobytes. In characters, and in bytes of a file. */
const MOST_PEM = 256 << 10;

/**
 * Reads a file with certificates or a key.
 * @throws {CdnError} where it cannot be read, or is larger than any
 */
export function readPem(path: string): string {
  try {
    const { size } = Deno.statSync(path);
    if (size > MOST_PEM) throw new Error(`${size} bytes are too many`);
    return Deno.readTextFileSync(path);
  } catch (cause) {
    throw new CdnError(`Cannot read ${path}: ${(cause as Error).message}`, { source: "server", cause });
  }
}

/**
 * Checks what would otherwise fail in each handshake: both can be read, belong together, and are valid now.
 * @param what names them in the message
 * @throws {CdnError} that says what is wrong
 */
export function checkTlsPair({ cert, key }: TlsPair, nowMs: number, what = "the certificate and key"): void {
  const refuse = (why: string, cause?: unknown): never => {
    throw new CdnError(`Cannot use ${what}: ${why}`, { source: "server", cause });
  };
  const certificates = parseCertificates(cert, refuse);
  const leaf = certificates[0]!;
  if (key.length > MOST_PEM) refuse("the key is too large to be one");
  let matches = false;
  try {
    matches = leaf.checkPrivateKey(createPrivateKey(key));
  } catch (cause) {
    refuse("the key is not a private key in PEM", cause);
  }
  if (!matches) refuse("the key does not belong to the certificate");
  checkValidity(leaf, nowMs, refuse);
}

/** A CA's certificate, in both forms that are asked for. */
export interface CaCertificate {
  pem: string;
  der: Uint8Array<ArrayBuffer>;
}

/**
 * Checks the text of a file of CA certificates.
 * @throws {CdnError} where one cannot be read, or is no CA's
 */
export function checkCaCertificates(pem: string, what = "the CA certificates"): CaCertificate[] {
  const refuse = (why: string, cause?: unknown): never => {
    throw new CdnError(`Cannot use ${what}: ${why}`, { source: "server", cause });
  };
  return parseCertificates(pem, refuse).map((certificate) => {
    if (!certificate.ca) refuse("it is the certificate of no CA");
    return { pem: certificate.toString(), der: Uint8Array.from(certificate.raw) };
  });
}

type Refuse = (why: string, cause?: unknown) => never;

function parseCertificates(pem: string, refuse: Refuse): X509Certificate[] {
  if (pem.length > MOST_PEM) refuse(`it has ${pem.length} characters, which is too large for a certificate`);
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
  if (!blocks) return refuse("there is no certificate in PEM");
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch (cause) {
    return refuse("the certificate cannot be read", cause);
  }
}

function checkValidity(certificate: X509Certificate, nowMs: number, refuse: Refuse): void {
  const [from, to] = [certificate.validFromDate, certificate.validToDate];
  if (nowMs < from.getTime()) refuse(`the certificate is not valid before ${from.toISOString()}`);
  if (nowMs > to.getTime()) refuse(`the certificate expired at ${to.toISOString()}`);
}
