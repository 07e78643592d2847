/** Listening: one door to `Deno.serve` for every program. */
import { CdnError } from "../proto/mod.ts";
import { isLoopback } from "./guard.ts";
import type { Logger } from "./log.ts";
import { problemResponse } from "./problem.ts";
import { serveTls, type Serving, type StartServer } from "./tls_server.ts";
import type { TlsSource } from "./tls_source.ts";

/** Where to listen. */
export interface ListenAddress {
  /** A name or an address; `0.0.0.0` and `::` are all of this machine's. */
  hostname: string;
  /** 0: any free one. */
  port: number;
}

/** Answers one request; `info.remoteAddr` says who asks. */
export type Handler = (request: Request, info: Deno.ServeHandlerInfo<Deno.NetAddr>) => Response | Promise<Response>;

/** A program that listens. */
export interface Listening {
  /** `http://host:port`, with the port that it got; `https:` with TLS. */
  readonly url: string;
  /** The port that it got. */
  readonly port: number;
  /** Stops taking connections; resolves when running requests are answered, or after `graceMs`. */
  close(graceMs?: number): Promise<void>;
}

/** What {@link listen} needs to know beside the address. */
export interface ListenOptions {
  log: Logger;
  /** What guards it; without one it listens on loopback only. */
  token: string | null;
  /** Others may listen on the same port, and share what comes in. */
  reusePort?: boolean;
  /** With it, HTTPS and nothing else. */
  tls?: TlsSource | null;
}

/**
 * Starts a `Deno.serve`. Errors of the handler become problem+json.
 * @throws {CdnError} where the address is in use, or not loopback although no token is set.
 */
export function listen(
  address: ListenAddress,
  handler: Handler,
  { log, token, reusePort = false, tls = null }: ListenOptions,
): Listening {
  const { hostname, port } = address;
  requireSafeAddress(address, token);
  const start: StartServer = (options, answer) =>
    Deno.serve({ hostname, ...options, onListen() {}, onError: (error) => problemResponse(error, log) }, answer);
  const answer: Handler = async (request, info) => {
    try {
      return await handler(request, info);
    } catch (error) {
      return problemResponse(error, log);
    }
  };
  let server: Serving;
  try {
    if (tls && !reusePort) requireFree(address);
    server = tls ? serveTls(start, answer, { port, source: tls, log }) : start({ port, reusePort }, answer);
  } catch (cause) {
    const why = cause instanceof Deno.errors.AddrInUse ? "the address is in use" : (cause as Error).message;
    throw new CdnError(`Cannot listen on ${formatAddress(address)}: ${why}`, { source: "server", cause });
  }
  return {
    url: `${tls ? "https" : "http"}://${formatAddress({ hostname, port: server.addr.port })}`,
    port: server.addr.port,
    async close(graceMs = 5000) {
      // No abort signal for those that take too long: aborting a server that is shutting down throws
      // where nobody can catch it (Deno 2.9.6). They end with the process.
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise<void>((resolve) => timer = setTimeout(resolve, graceMs));
      await Promise.race([server.shutdown().catch(() => {}), late]);
      clearTimeout(timer);
    },
  };
}

/** With TLS the port is shared between old and new certificate; another program on it must be told all the same. */
function requireFree(address: ListenAddress): void {
  Deno.listen(address).close();
}

/** @throws {CdnError} where an address that others reach has no token to guard it. */
export function requireSafeAddress(address: ListenAddress, token: string | null): void {
  if (token === null && !isLoopback(address.hostname)) {
    throw new CdnError(
      `Cannot listen on ${
        formatAddress(address)
      } without a token: set METACDN_TOKEN (or --token-file), or listen on 127.0.0.1`,
      { source: "client" },
    );
  }
}

/** `host:port`, with brackets around an IPv6 address. */
export function formatAddress({ hostname, port }: ListenAddress): string {
  return `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
}
