/** Where a server that listens with TLS has its certificate from, and hears of a new one. */
import type { Logger } from "./log.ts";
import { checkTlsPair, readPem, type TlsPair } from "./tls_pair.ts";
import { watchFiles } from "./tls_watch.ts";

/** A certificate that may be replaced by another while the program runs. */
export interface TlsSource {
  /** What to present now. */
  readonly current: TlsPair;
  /** Calls `listener` with each later one; what comes back ends that. */
  onChange(listener: (pair: TlsPair) => void): () => void;
}

/** A source that reads two files. */
export interface TlsFiles extends TlsSource, Disposable {
  /** Looks at the files now, in place of waiting for the next time. */
  check(): void;
}

/**
 * Reads a certificate and key from files, and again when they change. A new pair that cannot be used (half written,
 * expired, of two kinds) is logged, and the one before stays.
 * @throws {CdnError} where the first cannot be used
 */
export function openTlsFiles(
  files: { cert: string; key: string },
  { log, now = Date.now, everyMs = 30_000 }: { log: Logger; now?: () => number; everyMs?: number },
): TlsFiles {
  const read = (): TlsPair => {
    const pair = { cert: readPem(files.cert), key: readPem(files.key) };
    checkTlsPair(pair, now(), `${files.cert} with ${files.key}`);
    return pair;
  };
  const listeners = new Set<(pair: TlsPair) => void>();
  let current: TlsPair;
  const watch = watchFiles([files.cert, files.key], () => {
    let pair: TlsPair;
    try {
      pair = read();
    } catch (error) {
      log.error("the certificate changed to one that is of no use; the one before stays", { error });
      return;
    }
    if (pair.cert === current.cert && pair.key === current.key) return;
    current = pair;
    log.info("the certificate changed", { file: files.cert });
    for (const listener of listeners) listener(pair);
  }, { everyMs });
  try {
    current = read();
  } catch (error) {
    watch[Symbol.dispose]();
    throw error;
  }
  return {
    get current() {
      return current;
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    check: watch.check,
    [Symbol.dispose]: watch[Symbol.dispose],
  };
}
