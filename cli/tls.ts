/** `--tls` of the programs: listening with a certificate of our own CA, and trusting that CA alone among peers. */
import { join } from "@std/path";
import { CdnError } from "../proto/mod.ts";
import { stringFlag, switchFlag } from "../runtime/flags.ts";
import { type IdentityKey, identityKeyFrom, openIdentityKey } from "../runtime/identity_key.ts";
import type { Logger } from "../runtime/log.ts";
import { openTlsClient, type TlsClient } from "../runtime/tls_client.ts";
import { openTlsFiles, type TlsSource } from "../runtime/tls_source.ts";
import type { ServerTls } from "../server/mod.ts";

/** The flags of a program whose peers talk TLS. */
export const tlsFlags = {
  tls: switchFlag("talk TLS, with certificates of our own CA (metacdn certs); peers without are refused"),
  certs: stringFlag("DIR", "./.metacdn/certs", "with --tls: where ca.pem is, and NAME.pem and NAME.key"),
};

/** TLS as a server has it. */
export interface OpenTls extends Disposable {
  /** What to listen with. */
  source: TlsSource;
  /** Calls peers. */
  client: TlsClient;
  /** Proves who we are, and who the others are. */
  server: ServerTls;
}

/**
 * Opens the certificate of server `id`.
 * @throws {CdnError} (source "client") where a file is missing or wrong, or the certificate is another's.
 */
export async function openServerTls(
  { dir, id, data, log }: { dir: string; id: string; data: string; log: Logger },
): Promise<OpenTls> {
  // Loaded only here: the library that reads certificates takes its time.
  const { derOf, readCertificate, verifyPeerCertificate } = await import("../certs/mod.ts");
  await using opened = new AsyncDisposableStack();
  const cert = join(dir, `${id}.pem`);
  const own = join(dir, `${id}.key`);
  // A server that had a key before it had a certificate keeps it: others know it by that key.
  const key = await exists(own) ? own : join(data, "server.key");
  const source = opened.use(openTlsFiles({ cert, key }, { log }));
  const client = opened.use(openTlsClient(join(dir, "ca.pem"), { log }));
  const identity = await identityOf(source.current.key, data);
  const facts = readCertificate(source.current.cert);
  if (facts.id !== id) {
    throw new CdnError(`${cert} is the certificate of ${facts.id ?? "no server"}, not of ${id}`, { source: "client" });
  }
  if (facts.publicKey?.toHex() !== identity.publicKey.toHex()) {
    throw new CdnError(
      `${cert} binds ${id} to another key than this server has: issue it anew with ` +
        `"metacdn certs issue ${id} --public-key ${identity.publicKey.toBase64({ alphabet: "base64url" })}"`,
      { source: "client" },
    );
  }
  const moved = opened.move();
  return {
    source,
    client,
    server: {
      key: identity,
      certificate: () => derOf(source.current.cert),
      onRenewed: (listener) => source.onChange(() => listener()),
      verifyCertificate: (der, nowMs) => verifyPeerCertificate(der, client.ca, nowMs),
      fetch: client.fetch,
    },
    [Symbol.dispose]: () => void moved.disposeAsync(),
  };
}

/** The certificate's own key where that is an identity key; else the one in the data folder. */
async function identityOf(pem: string, data: string): Promise<IdentityKey> {
  try {
    return identityKeyFrom(pem);
  } catch {
    return await openIdentityKey(data); // TLS has a key of its own, for browsers
  }
}

async function exists(file: string): Promise<boolean> {
  try {
    await Deno.stat(file);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
