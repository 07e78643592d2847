/**
 * The proxy's own door on raw sockets: {@link openFront}. It answers what is plain and common itself, and hands every
 * other connection to a `Deno.serve` on a private loopback socket behind it.
 */
import { CdnError } from "../../proto/mod.ts";
import {
  formatAddress,
  type Handler,
  listen,
  type ListenAddress,
  type Listening,
  requireSafeAddress,
} from "../../runtime/listen.ts";
import type { Logger } from "../../runtime/log.ts";
import type { Core } from "../core.ts";
import { Deadlines } from "../../runtime/deadlines.ts";
import { Buffers } from "./buffers.ts";
import { type FrontContext, Viewer } from "./viewer.ts";

/** After accepting failed (no descriptors left), it is tried again in so many milliseconds. */
const ACCEPT_AGAIN_MS = 100;

/** How a front is bounded; times in milliseconds. */
export interface FrontLimits {
  /** Most viewers at a time: what connects beyond them is closed. */
  mostViewers: number;
  /** How long a request's head may take from its first byte to its last. */
  viewerHeadMs: number;
  /** How long a viewer may be silent between requests, or take nothing of an answer. */
  viewerIdleMs: number;
  /** How long nothing may come either way on a connection that `Deno.serve` answers. */
  tunnelIdleMs: number;
}

/** What a front needs. */
export interface FrontOptions {
  core: Core;
  /** Answers what the front does not understand. */
  handler: Handler;
  limits: FrontLimits;
  log: Logger;
  token: string | null;
  reusePort?: boolean;
}

/**
 * Listens.
 * @throws {CdnError} as {@link listen} does
 */
export function openFront(address: ListenAddress, options: FrontOptions): Listening {
  const { core, handler, limits, log, token, reusePort = false } = options;
  requireSafeAddress(address, token);
  let listener: Deno.TcpListener;
  try {
    listener = Deno.listen({ ...address, reusePort });
  } catch (cause) {
    const why = cause instanceof Deno.errors.AddrInUse ? "the address is in use" : (cause as Error).message;
    throw new CdnError(`Cannot listen on ${formatAddress(address)}: ${why}`, { source: "server", cause });
  }
  const clients = new Map<number, Deno.NetAddr>();
  let behind: Listening;
  try {
    behind = listen({ hostname: "127.0.0.1", port: 0 }, forClients(handler, clients), { log, token });
  } catch (error) {
    listener.close();
    throw error;
  }
  const context: FrontContext = {
    core,
    deadlines: new Deadlines(),
    buffers: new Buffers(),
    port: behind.port,
    clients,
    headMs: limits.viewerHeadMs,
    idleMs: limits.viewerIdleMs,
    tunnelIdleMs: limits.tunnelIdleMs,
    closing: false,
  };
  const viewers = new Map<Viewer, Promise<void>>();
  const accepting = acceptAll();

  async function acceptAll(): Promise<void> {
    while (!context.closing) {
      let conn: Deno.TcpConn;
      try {
        conn = await listener.accept();
      } catch (error) {
        if (context.closing) return;
        log.warn("cannot accept a connection", { why: (error as Error).message });
        await new Promise((resolve) => setTimeout(resolve, ACCEPT_AGAIN_MS));
        continue;
      }
      if (viewers.size >= limits.mostViewers) {
        conn.close();
        continue;
      }
      const viewer = new Viewer(conn, context);
      viewers.set(viewer, viewer.run().then(() => void viewers.delete(viewer)));
    }
  }

  const { port } = listener.addr as Deno.NetAddr;
  return {
    url: `http://${formatAddress({ ...address, port })}`,
    port,
    async close(graceMs = 5000) {
      context.closing = true;
      listener.close();
      for (const viewer of viewers.keys()) if (viewer.idle) viewer.close();
      // Ends the tunnels too, each when its answer has gone out.
      const ended = Promise.all([accepting, behind.close(graceMs), ...viewers.values()]);
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise<void>((resolve) => timer = setTimeout(resolve, graceMs));
      await Promise.race([ended, late]);
      clearTimeout(timer);
      for (const viewer of viewers.keys()) viewer.close();
      await ended;
      context.deadlines.close();
    },
  };
}

/** The handler for connections that the front makes, with the address of who is behind each; it has no others. */
function forClients(handler: Handler, clients: ReadonlyMap<number, Deno.NetAddr>): Handler {
  return (request, info) => {
    const remoteAddr = clients.get(info.remoteAddr.port);
    if (!remoteAddr) {
      throw new CdnError("This address is for the proxy itself only", { source: "client", status: 403 });
    }
    return handler(request, { remoteAddr, completed: info.completed });
  };
}
