/** Where a server that listens with TLS has its certificate from, and hears of a new one. */
import { type Live, LiveValue } from "./live.ts";
import type { Logger } from "./log.ts";
import { checkTlsPair, readPem, type TlsPair } from "./tls_pair.ts";
import { watchFiles } from "./tls_watch.ts";

/** A certificate that may be replaced by another while the program runs. */
export type TlsSource = Live<TlsPair>;

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
  let value: LiveValue<TlsPair>;
  const watch = watchFiles([files.cert, files.key], () => {
    let pair: TlsPair;
    try {
      pair = read();
    } catch (error) {
      log.error("the certificate changed to one that is of no use; the one before stays", { error });
      return;
    }
    if (pair.cert === value.current.cert && pair.key === value.current.key) return;
    log.info("the certificate changed", { file: files.cert });
    value.set(pair);
  }, { everyMs });
  try {
    value = new LiveValue(read());
  } catch (error) {
    watch[Symbol.dispose]();
    throw error;
  }
  return {
    get current() {
      return value.current;
    },
    onChange: (listener) => value.onChange(listener),
    check: watch.check,
    [Symbol.dispose]: watch[Symbol.dispose],
  };
}
