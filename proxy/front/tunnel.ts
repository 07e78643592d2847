/** Bytes as they come, both ways, between a viewer and the `Deno.serve` behind the front. */
import type { Watch } from "../deadlines.ts";
import type { Buffers } from "./buffers.ts";

/** How long a viewer may go on sending to a server that has ended, in milliseconds. */
const LINGER_MS = 1000;

/** What a tunnel needs. */
export interface TunnelOptions {
  /** Where the `Deno.serve` is. */
  port: number;
  /** Who is at the other end of each connection to it, by its local port. */
  clients: Map<number, Deno.NetAddr>;
  buffers: Buffers;
  /** Calls {@link Tunnel.close} when it is late. */
  watch: Watch;
  /** How long no byte may come either way. */
  idleMs: number;
}

/** One viewer's tunnel. */
export class Tunnel {
  readonly #viewer: Deno.TcpConn;
  readonly #options: TunnelOptions;
  #server: Deno.TcpConn | null = null;
  #closed = false;
  #lingering = false;

  constructor(viewer: Deno.TcpConn, options: TunnelOptions) {
    this.#viewer = viewer;
    this.#options = options;
  }

  /** Sends `first`, then all that comes; resolves when both ends are closed. */
  async run(first: Uint8Array): Promise<void> {
    const { port, clients, watch, idleMs } = this.#options;
    let local = 0;
    watch.set(idleMs);
    try {
      const server = await Deno.connect({ hostname: "127.0.0.1", port });
      this.#server = server;
      if (this.#closed) return;
      server.setNoDelay(true);
      local = (server.localAddr as Deno.NetAddr).port;
      clients.set(local, this.#viewer.remoteAddr as Deno.NetAddr);
      await writeAll(server, first);
      await Promise.all([this.#pump(this.#viewer, server), this.#pump(server, this.#viewer)]);
    } catch {
      /* an end went away: so does the other */
    } finally {
      this.close();
      clients.delete(local);
    }
  }

  /** Closes both ends. */
  close(): void {
    this.#closed = true;
    for (const conn of [this.#viewer, this.#server]) {
      try {
        conn?.close();
      } catch { /* closed already */ }
    }
  }

  async #pump(from: Deno.TcpConn, to: Deno.TcpConn): Promise<void> {
    const { watch, idleMs, buffers } = this.#options;
    const buffer = buffers.take();
    try {
      while (true) {
        const count = await from.read(buffer);
        if (!this.#lingering) watch.set(idleMs);
        if (count === null) break;
        await writeAll(to, buffer.subarray(0, count));
      }
      await to.closeWrite();
      if (from !== this.#viewer) {
        // Closing now could take the answer's end from a viewer that is still sending (RFC 9112 §9.6).
        this.#lingering = true;
        watch.set(LINGER_MS);
      }
    } catch {
      this.close();
    } finally {
      buffers.give(buffer);
    }
  }
}

/** Writes all of it. */
export async function writeAll(conn: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = await conn.write(bytes); at < bytes.length;) at += await conn.write(bytes.subarray(at));
}
