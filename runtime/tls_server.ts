/** A TLS server whose certificate can be replaced while it answers. */
import type { Handler } from "./listen.ts";
import type { Logger } from "./log.ts";
import { setNoDelay, withoutStall } from "./nodelay.ts";
import type { TlsPair } from "./tls_pair.ts";
import type { TlsSource } from "./tls_source.ts";

/** What `listen.ts` needs of a server; a `Deno.HttpServer` is one. */
export interface Serving {
  /** Where it listens. */
  readonly addr: Deno.NetAddr;
  /** Stops taking connections; resolves when running requests are answered. */
  shutdown(): Promise<void>;
}

/** Starts a `Deno.serve` on a port. */
export type StartServer = (
  options: { port: number; reusePort: boolean } & Partial<TlsPair>,
  handler: Handler,
) => Serving;

/**
 * Runs one `Deno.serve` for the present certificate. It cannot take another, so for a new one a second server starts on
 * the same port (SO_REUSEPORT) before the first is told to end. That one finishes what it answers and closes the
 * connections that idle: a client that sends on one of them in that moment must try once more, as ever (RFC 9112 §9.3.1).
 */
export function serveTls(
  start: StartServer,
  handler: Handler,
  { port, source, log }: { port: number; source: TlsSource; log: Logger },
): Serving {
  let quick = false;
  const begin = (port: number, { cert, key }: TlsPair) => {
    const server = start(
      { port, reusePort: true, cert, key },
      async (request, info) =>
        quick ? await handler(request, info) : withoutStall(request, await handler(request, info)),
    );
    quick = setNoDelay(server.addr.port);
    return server;
  };

  let current = begin(port, source.current);
  if (!quick) {
    log.warn("TCP_NODELAY cannot be set without FFI: answers over TLS are slower, and over HTTP/2 may wait 40 ms");
  }
  const ending = new Set<Promise<void>>();
  const end = (server: Serving) => {
    const ended = server.shutdown().catch(() => {}).finally(() => ending.delete(ended));
    ending.add(ended);
  };
  const { addr } = current;
  const ignore = source.onChange((pair) => {
    const old = current;
    try {
      current = begin(addr.port, pair);
    } catch (error) {
      log.error("cannot listen with the new certificate; the one before stays", { error });
      return;
    }
    end(old);
  });
  return {
    addr,
    async shutdown() {
      ignore();
      end(current);
      await Promise.all(ending);
    },
  };
}
