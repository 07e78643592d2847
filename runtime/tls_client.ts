/** Calls to our own servers over TLS, which trust the CA that we made. */
import { CdnError } from "../proto/mod.ts";
import type { Logger } from "./log.ts";
import { checkCaCertificates } from "./tls_pair.ts";
import { watchFiles } from "./tls_watch.ts";

/** A `fetch` that trusts our CA. */
export interface TlsClient extends Disposable {
  /** Takes `https://` only, and follows no redirect, which could lead to `http://`. */
  readonly fetch: typeof fetch;
  /** Looks at the CA's file now, in place of waiting for the next time. */
  check(): void;
}

/**
 * Makes a `fetch` that trusts the CA certificates of a file, and reads them again when the file changes; one that cannot
 * be used is logged, and those before stay.
 *
 * Deno adds them to the public CAs that it knows. For ours alone, start the program with `DENO_TLS_CA_STORE=` (empty).
 * @throws {CdnError} where the file cannot be used
 */
export function openTlsClient(
  caFile: string,
  { log, everyMs = 30_000 }: { log: Logger; everyMs?: number },
): TlsClient {
  let client: Deno.HttpClient;
  const watch = watchFiles([caFile], () => {
    try {
      const old = client;
      client = makeClient(caFile);
      old.close(); // what is under way goes on
      log.info("the CA certificates changed", { file: caFile });
    } catch (error) {
      log.error("the CA certificates changed to some that are of no use; those before stay", { error });
    }
  }, { everyMs });
  try {
    client = makeClient(caFile);
  } catch (error) {
    watch[Symbol.dispose]();
    throw error;
  }
  return {
    fetch: async (input, init) => {
      requireTls(input instanceof Request ? input.url : String(input));
      const redirect = init?.redirect === "manual" ? "manual" : "error";
      return await fetch(input, { ...init, redirect, client });
    },
    check: watch.check,
    [Symbol.dispose]() {
      watch[Symbol.dispose]();
      client.close();
    },
  };
}

/** @throws {CdnError} for a URL that would send what it says in the clear. */
export function requireTls(url: string): void {
  if (/^https:\/\//i.test(url)) return;
  throw new CdnError(`Cannot ask ${url.slice(0, 200)}: here it must be an https:// URL, because TLS is on`, {
    source: "peer",
  });
}

function makeClient(caFile: string): Deno.HttpClient {
  let pem: string;
  try {
    pem = Deno.readTextFileSync(caFile);
  } catch (cause) {
    throw new CdnError(`Cannot read ${caFile}: ${(cause as Error).message}`, { source: "server", cause });
  }
  // HTTP/1.1: long bodies are three times as fast by it (Deno 2.9.6).
  return Deno.createHttpClient({ caCerts: checkCaCertificates(pem, caFile), http2: false });
}
