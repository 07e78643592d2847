/**
 * Certificates: a small authority of our own, what it issues to servers, whether to believe what a peer shows, and
 * certificates from a public authority (ACME) for what viewers see.
 * @module
 */
export {
  type Ca,
  defaultLife,
  issueCertificate,
  type IssueOptions,
  makeCa,
  makeIdentity,
  renewCertificate,
} from "./authority.ts";
export { CertsFolder, checkFree, type Kept } from "./folder.ts";
export { makeKeyPair, randomSerial } from "./keys.ts";
export { type CertificateFacts, derOf, readCertificate } from "./read.ts";
export { type PeerIdentity, verifyPeerCertificate } from "./verify.ts";
