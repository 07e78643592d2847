/** `--ca FILE` of the programs that call ours: whom they trust. */
import { CdnError } from "../proto/mod.ts";
import { stringFlag, UsageError } from "../runtime/flags.ts";
import type { Live } from "../runtime/live.ts";
import { type Logger, silentLogger } from "../runtime/log.ts";
import { isPlainLoopback, openTlsClient } from "../runtime/tls_client.ts";

/** The flag. */
export const caFlag = stringFlag(
  "FILE",
  null,
  "the CA of our programs' certificates (ca.pem of metacdn certs): all but this machine is asked over TLS alone",
  { env: "METACDN_CA" },
);

/** The flags of a command that asks our programs. */
export const clientFlags = {
  "token-file": stringFlag("FILE", null, "read the token from a file (else METACDN_TOKEN)"),
  ca: caFlag,
};

/** How our programs are called. */
export interface Trust extends Disposable {
  fetch: typeof globalThis.fetch;
  /** The CA's certificates as PEM; null where none was given. */
  ca: Live<readonly string[]> | null;
  /** Looks at the file now, in place of waiting for the next time; null without a file. */
  check: (() => void) | null;
}

/**
 * Opens the file of CA certificates; without one, all is as Deno has it.
 * @param urls what the command line says to call
 * @throws {UsageError} for a URL that would be asked in the clear
 * @throws {CdnError} where the file cannot be used
 */
export function openTrust(file: string | null, urls: readonly string[], log: Logger = silentLogger): Trust {
  if (file === null) return { fetch: globalThis.fetch, ca: null, check: null, [Symbol.dispose]() {} };
  const plain = urls.find((url) => !url.startsWith("https:") && !isPlainLoopback(url));
  if (plain) throw new UsageError(`with --ca (or METACDN_CA) a URL must be https://, and ${plain} is not`);
  const client = atStart(() => openTlsClient(file, { log, plainLoopback: true }));
  return {
    fetch: client.fetch,
    ca: client.pem,
    check: client.check,
    [Symbol.dispose]: () => client[Symbol.dispose](),
  };
}

/** A file that a program cannot start with is a wrong setting. @throws {CdnError} of source "client" */
export function atStart<T>(open: () => T): T {
  try {
    return open();
  } catch (error) {
    if (!(error instanceof CdnError)) throw error;
    throw new CdnError(error.message, { source: "client", cause: error });
  }
}
