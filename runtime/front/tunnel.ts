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

/** A viewer's connection, by TLS or without. */
export type ViewerConn = Deno.TcpConn | Deno.TlsConn;

/** One viewer's tunnel. */
export class Tunnel {
  readonly #viewer: ViewerConn;
  readonly #options: TunnelOptions;
  #server: Deno.TcpConn | null = null;
  #closed = false;
  #lingering = false;

  constructor(viewer: ViewerConn, options: TunnelOptions) {
    this.#viewer = viewer;
    this.#options = options;
  }

  /**
   * Sends `first`, then all that comes; resolves when both ends are closed.
   * @param ahead a read of the viewer that is under way: what it brings, null where the viewer has ended
   */
  async run(first: Uint8Array, ahead: Promise<Uint8Array | null> | null = null): Promise<void> {
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
      if (first.length > 0) await writeAll(server, first);
      await Promise.all([this.#up(server, ahead), this.#down(server)]);
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

  /** From the viewer to the server. */
  async #up(server: Deno.TcpConn, ahead: Promise<Uint8Array | null> | null): Promise<void> {
    const { watch, idleMs, buffers } = this.#options;
    if (ahead) {
      const bytes = await ahead;
      if (bytes === null) return await server.closeWrite();
      await writeAll(server, bytes);
    }
    let deaf = false;
    try {
      await pump(this.#viewer, buffers, async (bytes) => {
        if (!this.#lingering) watch.set(idleMs);
        // A server that has closed may have said why: that goes to the viewer while the rest of its request is read,
        // because closing on unread bytes could take the answer away (RFC 9112 §9.6).
        deaf ||= !await writeAll(server, bytes).then(() => true, () => false);
      });
      if (!deaf) await server.closeWrite();
    } catch {
      this.close();
    }
  }

  /** From the server to the viewer. */
  async #down(server: Deno.TcpConn): Promise<void> {
    const { watch, idleMs, buffers } = this.#options;
    try {
      await pump(server, buffers, (bytes) => {
        watch.set(idleMs);
        return writeAll(this.#viewer, bytes);
      });
      await this.#viewer.closeWrite();
      this.#lingering = true;
      watch.set(LINGER_MS);
    } catch {
      this.close();
    }
  }
}

/** What waits has so many bytes of memory; only what comes in longer pieces is lent more. */
const WAITING_BYTES = 2048;

/** Reads to the end. */
async function pump(from: Deno.Conn, buffers: Buffers, write: (bytes: Uint8Array) => Promise<void>): Promise<void> {
  const small = new Uint8Array(WAITING_BYTES);
  let large: Uint8Array<ArrayBuffer> | null = null;
  try {
    while (true) {
      const buffer = large ?? small;
      const count = await from.read(buffer);
      if (count === null) return;
      await write(buffer.subarray(0, count));
      if (large === null && count === WAITING_BYTES) large = buffers.take();
      else if (large !== null && count < WAITING_BYTES) {
        buffers.give(large);
        large = null;
      }
    }
  } finally {
    if (large) buffers.give(large);
  }
}

/** Writes all of it. */
export async function writeAll(conn: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = await conn.write(bytes); at < bytes.length;) at += await conn.write(bytes.subarray(at));
}
