/** `--tls` of the programs: listening with a certificate of our own CA, and trusting that CA alone among peers. */
import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { join } from "@std/path";
import { CdnError, MAX_CERTIFICATE } from "../proto/mod.ts";
import { stringFlag, switchFlag, UsageError } from "../runtime/flags.ts";
import { type IdentityKey, identityKeyFrom, openIdentityKey } from "../runtime/identity_key.ts";
import type { Logger } from "../runtime/log.ts";
import { onHangup } from "../runtime/stop.ts";
import { openTlsClient } from "../runtime/tls_client.ts";
import { readPem } from "../runtime/tls_pair.ts";
import { openTlsFiles, type TlsFiles } from "../runtime/tls_source.ts";
import type { ServerTls } from "../server/mod.ts";
import { atStart } from "./ca.ts";

/** The flags of a program whose peers talk TLS. */
export const tlsFlags = {
  tls: switchFlag("talk TLS, with certificates of our own CA (metacdn certs); peers without are refused"),
  certs: stringFlag("DIR", "./.metacdn/certs", "with --tls: where ca.pem is, and NAME.pem and NAME.key"),
};

/** The flags of a program that viewers, or other programs of ours, come to over TLS. */
export const listenTlsFlags = {
  "tls-cert": stringFlag("FILE", null, "answer over TLS with this certificate (PEM, with its chain)"),
  "tls-key": stringFlag("FILE", null, "its private key (PEM)"),
};

/**
 * Opens a certificate to listen with, which is read again when its files change; null where none is given.
 * @param names of the two flags
 * @throws {UsageError} where one is given without the other
 * @throws {CdnError} where they cannot be used
 */
export function openListenTls(
  cert: string | null,
  key: string | null,
  { log, names = ["--tls-cert", "--tls-key"] }: { log: Logger; names?: [cert: string, key: string] },
): TlsFiles | null {
  if (cert === null && key === null) return null;
  if (cert === null) throw new UsageError(`${names[1]} takes ${names[0]}: the certificate of that key`);
  if (key === null) throw new UsageError(`${names[0]} takes ${names[1]}: the key of that certificate`);
  return atStart(() => openTlsFiles({ cert, key }, { log }));
}

/** Looks at the files of certificates at each SIGHUP; where there are none, a SIGHUP does what it always does. */
export function checkAtHangup(files: readonly ({ check: (() => void) | null } | null)[]): Disposable {
  const checks = files.flatMap((one) => one?.check ?? []);
  if (checks.length === 0) return { [Symbol.dispose]() {} };
  return onHangup(() => checks.forEach((check) => check()));
}

/** TLS as a server has it. */
export interface OpenTls extends Disposable {
  /** What to listen with. */
  source: TlsFiles;
  /** Looks at the files now, in place of waiting for the next time. */
  check(): void;
  /** Proves who we are, and who the others are. */
  server: ServerTls;
}

/**
 * Opens the certificate of server `id`, which others call by the name or address `host`.
 * @throws {CdnError} (source "client") where a file is missing or wrong, or the certificate is another's.
 */
export async function openServerTls(
  { dir, id, host, data, log }: { dir: string; id: string; host: string; data: string; log: Logger },
): Promise<OpenTls> {
  // Loaded only here: the library that reads certificates takes its time.
  const { derOf, readCertificate, verifyPeerCertificate } = await import("../certs/mod.ts");
  using opened = new DisposableStack();
  const cert = join(dir, `${id}.pem`);
  const own = join(dir, `${id}.key`);
  const pem = atStart(() => readPem(cert));
  const facts = atStart(() => readCertificate(pem));
  if (facts.id !== id) {
    throw new CdnError(`${cert} is the certificate of ${facts.id ?? "no server"}, not of ${id}`, { source: "client" });
  }
  const { length } = derOf(pem);
  if (length > MAX_CERTIFICATE) {
    throw new CdnError(
      `${cert} has ${length} bytes, and others take at most ${MAX_CERTIFICATE}: issue it anew with fewer names`,
      { source: "client" },
    );
  }
  // A server that had a key before it had a certificate keeps it: others know it by that key.
  const hasOwn = await exists(own);
  const identity = hasOwn ? await identityOf(atStart(() => readPem(own)), data) : await openIdentityKey(data);
  if (facts.publicKey?.toHex() !== identity.publicKey.toHex()) {
    throw new CdnError(
      `${cert} binds ${id} to another key than this server has: issue it anew with ` +
        `"metacdn certs issue ${id} --name ${facts.names.join()} ` +
        `--public-key ${identity.publicKey.toBase64({ alphabet: "base64url", omitPadding: true })}"`,
      { source: "client" },
    );
  }
  const source = opened.use(
    atStart(() => openTlsFiles({ cert, key: hasOwn ? own : join(data, "server.key") }, { log })),
  );
  const client = opened.use(atStart(() => openTlsClient(join(dir, "ca.pem"), { log })));
  if (!isFor(source.current.cert, host)) {
    throw new CdnError(
      `${cert} is for ${facts.names.join(", ")}, and others call this server by ${host} (--url): issue it anew with ` +
        `"metacdn certs issue ${id} --name ${[...facts.names, host].join()}"`,
      { source: "client" },
    );
  }
  const moved = opened.move();
  return {
    source,
    check() {
      client.check();
      source.check();
    },
    server: {
      key: identity,
      certificate: () => derOf(source.current.cert),
      onRenewed: (listener) => source.onChange(() => listener()),
      verifyCertificate: (der, nowMs) => verifyPeerCertificate(der, client.ca, nowMs),
      ca: client.pem,
      fetch: client.fetch,
    },
    [Symbol.dispose]: () => moved.dispose(),
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

/** As clients look at it (RFC 9110 §4.3.4, §4.3.5). */
function isFor(pem: string, host: string): boolean {
  const certificate = new X509Certificate(pem);
  const bare = host.replace(/^\[(.*)\]$/, "$1");
  return (isIP(bare) ? certificate.checkIP(bare) : certificate.checkHost(bare)) !== undefined;
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
