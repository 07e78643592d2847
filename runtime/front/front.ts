/**
 * A program's own door on raw sockets: {@link openFront}. It answers what is plain and common itself, and hands every
 * other connection to a `Deno.serve` on a private loopback socket behind it.
 */
import { CdnError } from "../../proto/mod.ts";
import { Deadlines } from "../deadlines.ts";
import { HangUp } from "../hang_up.ts";
import {
  formatAddress,
  type Handler,
  listen,
  type ListenAddress,
  type Listening,
  requireSafeAddress,
} from "../listen.ts";
import type { Logger } from "../log.ts";
import { problemOf } from "../problem.ts";
import type { TlsSource } from "../tls_source.ts";
import type { Application } from "./application.ts";
import { Buffers } from "./buffers.ts";
import { openListeners } from "./listeners.ts";
import { type FrontContext, type FrontCounts, Viewer } from "./viewer.ts";

/** How a front is bounded; times in milliseconds. */
export interface FrontLimits {
  /** Most viewers at a time: what connects beyond them is closed. */
  mostViewers: number;
  /** How long a request's head may take from its first byte to its last, and a TLS handshake. */
  viewerHeadMs: number;
  /** How long a viewer may be silent between requests, or take nothing of an answer. */
  viewerIdleMs: number;
  /** How long nothing may come either way on a connection that `Deno.serve` answers. */
  tunnelIdleMs: number;
}

/** What a front needs. */
export interface FrontOptions {
  application: Application;
  /** Answers what the front does not understand, and what the application hands on. */
  handler: Handler;
  limits: FrontLimits;
  log: Logger;
  token: string | null;
  reusePort?: boolean;
  /** With it, HTTPS and nothing else; HTTP/2 goes to the `Deno.serve` behind. */
  tls?: TlsSource | null;
}

/** A front that is open. */
export interface Front extends Listening {
  /** What it has done so far. */
  readonly counts: Readonly<FrontCounts>;
}

/**
 * Listens.
 * @throws {CdnError} as {@link listen} does
 */
export function openFront(address: ListenAddress, options: FrontOptions): Front {
  const { application, handler, limits, log, token, reusePort = false, tls = null } = options;
  requireSafeAddress(address, token);
  const viewers = new Map<Viewer, Promise<void>>();
  const clients = new Map<number, Deno.NetAddr>();
  const listeners = openListeners(address, { reusePort, tls, log, take });
  let behind: Listening;
  try {
    behind = listen({ hostname: "127.0.0.1", port: 0 }, forClients(handler, clients, tls !== null), { log, token });
  } catch (error) {
    listeners.close();
    throw error;
  }
  const counts: FrontCounts = { finished: 0, answered: 0, tunnelled: 0 };
  const context: FrontContext = {
    application,
    failure: application.failure?.bind(application) ?? ((error) => {
      const { status, headers, body } = problemOf(error, log);
      return { status, headers: Object.entries(headers), body };
    }),
    deadlines: new Deadlines(),
    buffers: new Buffers(),
    counts,
    hangUp: new HangUp(),
    port: behind.port,
    clients,
    headMs: limits.viewerHeadMs,
    idleMs: limits.viewerIdleMs,
    tunnelIdleMs: limits.tunnelIdleMs,
    closing: false,
  };

  function take(conn: Deno.TcpConn | Deno.TlsConn): void {
    if (context.closing || viewers.size >= limits.mostViewers) return conn.close();
    const viewer = new Viewer(conn, context);
    viewers.set(viewer, viewer.run().then(() => void viewers.delete(viewer)));
  }

  const { port } = listeners;
  return {
    url: `${tls ? "https" : "http"}://${formatAddress({ ...address, port })}`,
    port,
    counts,
    async close(graceMs = 5000) {
      context.closing = true;
      const accepting = listeners.close();
      for (const viewer of viewers.keys()) if (viewer.idle) viewer.close();
      // Ends the tunnels too, each when its answer has gone out.
      const ended = Promise.all([accepting, behind.close(graceMs), ...viewers.values()]);
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise<void>((resolve) => timer = setTimeout(resolve, graceMs));
      await Promise.race([ended, late]);
      clearTimeout(timer);
      for (const viewer of viewers.keys()) viewer.close();
      await ended;
      context.hangUp.flush();
      context.deadlines.close();
    },
  };
}

/**
 * The handler for connections that the front makes, with the address of who is behind each; it has no others. What came
 * by TLS goes to it in plain text, but says `https` all the same.
 */
function forClients(handler: Handler, clients: ReadonlyMap<number, Deno.NetAddr>, tls: boolean): Handler {
  return (request, info) => {
    const remoteAddr = clients.get(info.remoteAddr.port);
    if (!remoteAddr) {
      throw new CdnError("This address is for the program itself only", { source: "client", status: 403 });
    }
    // A new Request would cost more, and give its body another stream.
    if (tls) Object.defineProperty(request, "url", { value: request.url.replace(/^http:/, "https:") });
    return handler(request, { remoteAddr, completed: info.completed });
  };
}
