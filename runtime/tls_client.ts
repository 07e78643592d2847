/** Calls to our own servers over TLS, which trust the CA that we made. */
import { CdnError } from "../proto/mod.ts";
import { isLoopback } from "./guard.ts";
import { type Live, LiveValue } from "./live.ts";
import type { Logger } from "./log.ts";
import { checkCaCertificates, readPem } from "./tls_pair.ts";
import { watchFiles } from "./tls_watch.ts";

/** A `fetch` that trusts our CA. */
export interface TlsClient extends Disposable {
  /** Takes `https://` only (see `plainLoopback`), and follows no redirect, which could lead to `http://`. */
  readonly fetch: typeof fetch;
  /** The CA certificates that it trusts now, as DER: a peer's certificate is verified by them. */
  readonly ca: readonly Uint8Array<ArrayBuffer>[];
  /** The same as PEM: for connections that are made in other ways. */
  readonly pem: Live<readonly string[]>;
  /** Looks at the CA's file now, in place of waiting for the next time. */
  check(): void;
}

/**
 * Makes a `fetch` that trusts the CA certificates of a file, and reads them again when the file changes; one that cannot
 * be used is logged, and those before stay.
 *
 * With `plainLoopback` it takes `http://` to this machine itself too, which nobody else hears: for programs that also call
 * what runs beside them. Not for servers, whose URLs others tell.
 *
 * Deno adds them to the public CAs that it knows. For ours alone, start the program with `DENO_TLS_CA_STORE=` (empty).
 * @throws {CdnError} where the file cannot be used
 */
export function openTlsClient(
  caFile: string,
  { log, plainLoopback = false }: { log: Logger; plainLoopback?: boolean },
): TlsClient {
  let current: Trusting;
  const watch = watchFiles([caFile], () => {
    try {
      const old = current;
      current = readTrust(caFile);
      old.client.close(); // what is under way goes on
      log.info("the CA certificates changed", { file: caFile });
      pem.set(current.pem);
    } catch (error) {
      log.error("the CA certificates changed to some that are of no use; those before stay", { error });
    }
  });
  try {
    current = readTrust(caFile);
  } catch (error) {
    watch[Symbol.dispose]();
    throw error;
  }
  const pem = new LiveValue<readonly string[]>(current.pem);
  return {
    fetch: async (input, init) => {
      const url = input instanceof Request ? input.url : String(input);
      if (!plainLoopback || !isPlainLoopback(url)) requireTls(url);
      const redirect = init?.redirect === "manual" ? "manual" : "error";
      return await fetch(input, { ...init, redirect, client: current.client });
    },
    get ca() {
      return current.ca;
    },
    pem,
    check: watch.check,
    [Symbol.dispose]() {
      watch[Symbol.dispose]();
      current.client.close();
    },
  };
}

/** @throws {CdnError} for a URL that would send what it says in the clear. */
function requireTls(url: string): void {
  if (/^https:\/\//i.test(url)) return;
  throw new CdnError(`Cannot ask ${url.slice(0, 200)}: here it must be an https:// URL, because TLS is on`, {
    source: "peer",
  });
}

/** True for a plain URL of this machine itself. */
export function isPlainLoopback(url: string): boolean {
  return /^http:\/\//i.test(url) && URL.canParse(url) && isLoopback(new URL(url).hostname);
}

interface Trusting {
  client: Deno.HttpClient;
  pem: string[];
  ca: Uint8Array<ArrayBuffer>[];
}

function readTrust(caFile: string): Trusting {
  const certificates = checkCaCertificates(readPem(caFile), caFile);
  // HTTP/1.1: long bodies are three times as fast by it (Deno 2.9.6).
  const pem = certificates.map(({ pem }) => pem);
  const client = Deno.createHttpClient({ caCerts: pem, http2: false });
  return { client, pem, ca: certificates.map(({ der }) => der) };
}
