/** What a front accepts connections by: {@link openListeners}. */
import { CdnError } from "../../proto/mod.ts";
import { formatAddress, type ListenAddress } from "../listen.ts";
import type { Logger } from "../log.ts";
import { setNoDelay } from "../nodelay.ts";
import type { TlsPair } from "../tls_pair.ts";
import type { TlsSource } from "../tls_source.ts";

/** After accepting failed (no descriptors left), it is tried again in so many milliseconds. */
const ACCEPT_AGAIN_MS = 100;
/** HTTP/2 first, as most servers prefer it. */
const PROTOCOLS = ["h2", "http/1.1"];

/** What {@link openListeners} needs. */
export interface ListenersOptions {
  reusePort: boolean;
  /** With it, TLS connections are taken, by the certificate that counts when they come. */
  tls: TlsSource | null;
  log: Logger;
  /** Gets each connection, before any handshake. */
  take(conn: Deno.TcpConn | Deno.TlsConn): void;
}

/** Listening. */
export interface Listeners {
  readonly port: number;
  /** Ends it; resolves when nothing is accepted any more. */
  close(): Promise<void>;
}

type Listener = Deno.TcpListener | Deno.TlsListener;

/**
 * Listens. A listener has one certificate; for a new one a second starts on the same port (SO_REUSEPORT) before the
 * first is closed. Connections that were accepted go on.
 * @throws {CdnError} where that is not possible there
 */
export function openListeners(address: ListenAddress, { reusePort, tls, log, take }: ListenersOptions): Listeners {
  let closing = false;
  const accepting = new Set<Promise<void>>();

  function open(port: number, pair: TlsPair | null): Listener {
    const { hostname } = address;
    if (!pair) return Deno.listen({ hostname, port, reusePort });
    const listener = Deno.listenTls({ hostname, port, reusePort: true, ...pair, alpnProtocols: PROTOCOLS });
    // A TlsConn has no setNoDelay. Without it an answer that takes several writes may wait for the client between them.
    if (!setNoDelay(listener.addr.port)) {
      log.warn("TCP_NODELAY cannot be set without FFI: answers over TLS may be slower");
    }
    return listener;
  }

  function begin(listener: Listener): void {
    const ended = acceptAll(listener).finally(() => accepting.delete(ended));
    accepting.add(ended);
  }

  async function acceptAll(listener: Listener): Promise<void> {
    while (!closing) {
      try {
        take(await listener.accept());
      } catch (error) {
        if (closing || listener !== current) return;
        log.warn("cannot accept a connection", { why: (error as Error).message });
        await new Promise((resolve) => setTimeout(resolve, ACCEPT_AGAIN_MS));
      }
    }
  }

  let current: Listener;
  try {
    // The port is shared between old and new certificate; another program on it must be told all the same.
    if (tls && !reusePort) Deno.listen(address).close();
    current = open(address.port, tls?.current ?? null);
  } catch (cause) {
    const why = cause instanceof Deno.errors.AddrInUse ? "the address is in use" : (cause as Error).message;
    throw new CdnError(`Cannot listen on ${formatAddress(address)}: ${why}`, { source: "server", cause });
  }
  const { port } = current.addr as Deno.NetAddr;
  begin(current);
  const ignore = tls?.onChange((pair) => {
    const old = current;
    try {
      current = open(port, pair);
    } catch (error) {
      log.error("cannot listen with the new certificate; the one before stays", { error });
      return;
    }
    begin(current);
    old.close();
  });
  return {
    port,
    async close() {
      closing = true;
      ignore?.();
      current.close();
      await Promise.all(accepting);
    },
  };
}
