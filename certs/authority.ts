/**
 * A small certificate authority (RFC 5280): one root, and under it a certificate for each server, which binds the
 * server's Ed25519 identity key to its id and its host names. Time and serial numbers are arguments.
 */
import { badRequest, CdnError } from "../proto/mod.ts";
import { exportIdentity, importIdentity, importSigner, makeKeyPair } from "./keys.ts";
import { checkServerId, hostName, keyUri, serverUri } from "./names.ts";
import { readCertificate } from "./read.ts";
import { X509 } from "./x509.ts";

/** An authority: certificate and PKCS #8 key, both PEM. */
export interface Ca {
  certificate: string;
  key: string;
}

const DAY_MS = 86_400_000;
/** Certificates are valid from a little before they are made, for clients whose clock is behind. */
const BACKDATE_MS = 5 * 60_000;

/** How long certificates live, in milliseconds. */
export const defaultLife = { ca: 3650 * DAY_MS, server: 90 * DAY_MS };

const SIGNING = { name: "ECDSA", hash: "SHA-256" };

/**
 * Makes an authority. Its key is ECDSA P-256, not Ed25519: whatever speaks TLS can verify that, browsers too.
 * It signs servers' certificates only, no further authority (path length 0).
 */
export async function makeCa(
  { name, nowMs, lifeMs = defaultLife.ca, serial }: { name: string; nowMs: number; lifeMs?: number; serial: string },
): Promise<Ca> {
  const { key, publicKey } = await makeKeyPair("P-256");
  const subject = [{ CN: [name] }];
  const certificate = await X509.X509CertificateGenerator.create({
    serialNumber: serial,
    subject,
    issuer: subject,
    notBefore: seconds(nowMs - BACKDATE_MS),
    notAfter: seconds(nowMs + lifeMs),
    publicKey,
    signingKey: await importSigner(key),
    signingAlgorithm: SIGNING,
    extensions: [
      new X509.BasicConstraintsExtension(true, 0, true),
      new X509.KeyUsagesExtension(X509.KeyUsageFlags.keyCertSign | X509.KeyUsageFlags.cRLSign, true),
      await X509.SubjectKeyIdentifierExtension.create(publicKey),
    ],
  });
  return { certificate: pemOf(certificate), key };
}

/** What a certificate is to say. */
export interface IssueOptions {
  ca: Ca;
  id: string;
  /** DNS names and IP addresses. */
  names: readonly string[];
  /** The server's identity key: Ed25519, 32 bytes. */
  publicKey: Uint8Array;
  /**
   * A key for TLS of its own (P-256), for clients that know no Ed25519, such as Chromium; the identity key is then one
   * of the certificate's names. Else the identity key is the TLS key.
   */
  tlsKey?: CryptoKey | null;
  nowMs: number;
  lifeMs?: number;
  /** Hexadecimal, unguessable: `randomSerial()`. */
  serial: string;
}

/**
 * Issues a certificate for a server; it ends no later than the authority's own.
 * @returns PEM
 * @throws {CdnError} for a bad id or name, or where the authority has expired
 */
export async function issueCertificate(
  { ca, id, names, publicKey, tlsKey = null, nowMs, lifeMs = defaultLife.server, serial }: IssueOptions,
): Promise<string> {
  checkServerId(id);
  if (names.length === 0) throw badRequest(`The certificate of ${id} needs a name that clients call it by`);
  const identity = await importIdentity(publicKey);
  const authority = new X509.X509Certificate(ca.certificate);
  if (nowMs > authority.notAfter.getTime()) {
    throw new CdnError(`Cannot issue a certificate: the CA expired at ${authority.notAfter.toISOString()}`, {
      source: "server",
    });
  }
  const uris = [serverUri(id), ...(tlsKey ? [keyUri(publicKey)] : [])];
  const subjectKey = tlsKey ?? identity;
  const certificate = await X509.X509CertificateGenerator.create({
    serialNumber: serial,
    subject: [{ CN: [id] }],
    issuer: authority.subjectName,
    notBefore: seconds(nowMs - BACKDATE_MS),
    notAfter: seconds(Math.min(nowMs + lifeMs, authority.notAfter.getTime())),
    publicKey: subjectKey,
    signingKey: await importSigner(ca.key),
    signingAlgorithm: SIGNING,
    extensions: [
      new X509.BasicConstraintsExtension(false, undefined, true),
      new X509.KeyUsagesExtension(X509.KeyUsageFlags.digitalSignature, true),
      new X509.ExtendedKeyUsageExtension([X509.ExtendedKeyUsage.serverAuth, X509.ExtendedKeyUsage.clientAuth]),
      new X509.SubjectAlternativeNameExtension([
        ...names.map(hostName),
        ...uris.map((value) => ({ type: "url" as const, value })),
      ]),
      await X509.SubjectKeyIdentifierExtension.create(subjectKey),
      await X509.AuthorityKeyIdentifierExtension.create(authority.publicKey),
    ],
  });
  return pemOf(certificate);
}

/** Issues a certificate that says the same as an earlier one, of the same key, for a new time. */
export async function renewCertificate(
  { ca, certificate, nowMs, lifeMs = defaultLife.server, serial }: {
    ca: Ca;
    /** PEM. */
    certificate: string;
    nowMs: number;
    lifeMs?: number;
    serial: string;
  },
): Promise<string> {
  const { id, names, publicKey, hasTlsKey } = readCertificate(certificate);
  if (id === null || publicKey === null) throw badRequest("Only the certificate of a server can be renewed here");
  const tlsKey = hasTlsKey ? await new X509.X509Certificate(certificate).publicKey.export() : null;
  return await issueCertificate({ ca, id, names, publicKey, tlsKey, nowMs, lifeMs, serial });
}

/** Makes an identity: its key as PEM, and the 32 bytes of its public key. */
export async function makeIdentity(): Promise<{ key: string; publicKey: Uint8Array<ArrayBuffer> }> {
  const { key, publicKey } = await makeKeyPair("Ed25519");
  return { key, publicKey: await exportIdentity(publicKey) };
}

/** Certificates know whole seconds. */
function seconds(ms: number): Date {
  return new Date(Math.floor(ms / 1000) * 1000);
}

function pemOf(certificate: InstanceType<typeof X509.X509Certificate>): string {
  return certificate.toString("pem") + "\n";
}
