/** Certificates for tests, made once. */
import {
  type Ca,
  derOf,
  issueCertificate,
  type IssueOptions,
  makeCa,
  makeIdentity,
  randomSerial,
} from "../../certs/mod.ts";
import { type Handler, listen, type Listening } from "../../runtime/listen.ts";
import { silentLogger } from "../../runtime/log.ts";

export const DAY_MS = 86_400_000;
export const NOW_MS = Date.UTC(2026, 10, 25, 12);

/** An authority that exists since `nowMs`. */
export const newCa = (name = "test CA", nowMs = NOW_MS, lifeMs = 3650 * DAY_MS): Promise<Ca> =>
  makeCa({ name, nowMs, lifeMs, serial: randomSerial() });

/** A server with a new identity: its certificate, key and public key. */
export async function newServer(
  ca: Ca,
  { id = "a", names = ["localhost", "127.0.0.1"], nowMs = NOW_MS, ...rest }: Partial<Omit<IssueOptions, "ca">> = {},
): Promise<{ cert: string; key: string; publicKey: Uint8Array<ArrayBuffer> }> {
  const { key, publicKey } = await makeIdentity();
  const cert = await issueCertificate({ ca, id, names, publicKey, nowMs, serial: randomSerial(), ...rest });
  return { cert, key, publicKey };
}

/** Whatever talks TLS with this certificate, on loopback; it stays the same. */
export function serve(current: { cert: string; key: string }, handler: Handler): Listening & AsyncDisposable {
  const tls = { current, onChange: () => () => {} };
  const listening = listen({ hostname: "127.0.0.1", port: 0 }, handler, { log: silentLogger, token: null, tls });
  return Object.assign(listening, { [Symbol.asyncDispose]: () => listening.close() });
}

/** PEM as DER. */
export const der = derOf;
