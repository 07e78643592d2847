/** Servers that send exact bytes, in the pieces they are told, and see exact bytes. */

/** One accepted connection. */
export class Peer {
  #text = "";
  constructor(readonly conn: Deno.TcpConn) {}

  /** The next request's head, one character a byte; null where the client went away. */
  async head(): Promise<string | null> {
    const buffer = new Uint8Array(65_536);
    while (!this.#text.includes("\r\n\r\n")) {
      const count = await this.conn.read(buffer).catch(() => null);
      if (count === null) return null;
      this.#text += latin1(buffer.subarray(0, count));
    }
    const end = this.#text.indexOf("\r\n\r\n") + 4;
    const head = this.#text.slice(0, end);
    this.#text = this.#text.slice(end);
    return head;
  }

  /** What else came until `enough` says so or the client goes away. */
  async rest(enough: (text: string) => boolean): Promise<string> {
    const buffer = new Uint8Array(65_536);
    while (!enough(this.#text)) {
      const count = await this.conn.read(buffer).catch(() => null);
      if (count === null) break;
      this.#text += latin1(buffer.subarray(0, count));
    }
    return this.#text;
  }

  /** Sends each piece by a write of its own. */
  async send(...pieces: (string | Uint8Array)[]): Promise<void> {
    for (const piece of pieces) {
      const bytes = typeof piece === "string" ? Uint8Array.from(piece, (c) => c.charCodeAt(0)) : piece;
      for (let at = 0; at < bytes.length;) at += await this.conn.write(bytes.subarray(at));
      if (pieces.length > 1) await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}

/** A server on a free loopback port; `serve` has each connection, which is closed when it returns. */
export class FakeServer implements AsyncDisposable {
  readonly #listener: Deno.TcpListener;
  readonly #conns = new Set<Deno.TcpConn>();
  readonly #running: Promise<void>;
  accepted = 0;

  constructor(serve: (peer: Peer) => Promise<void>) {
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.#running = this.#run(serve);
  }

  /** Answers every request with these bytes, and keeps the connection. */
  static answering(...pieces: (string | Uint8Array)[]): FakeServer {
    return new FakeServer(async (peer) => {
      while (await peer.head() !== null) await peer.send(...pieces);
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#listener.addr.port}`;
  }

  /** Connections that are open now. */
  get open(): number {
    return this.#conns.size;
  }

  /** Closes the listener and every connection. */
  kill(): void {
    try {
      this.#listener.close();
    } catch { /* killed before */ }
    for (const conn of this.#conns) close(conn);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    await this.#running;
  }

  async #run(serve: (peer: Peer) => Promise<void>): Promise<void> {
    const serving = new Set<Promise<void>>();
    try {
      for await (const conn of this.#listener) {
        this.accepted++;
        this.#conns.add(conn);
        const one: Promise<void> = serve(new Peer(conn)).catch(() => {}).finally(() => {
          close(conn);
          this.#conns.delete(conn);
          serving.delete(one);
        });
        serving.add(one);
      }
    } catch { /* closed while accepting */ }
    await Promise.all(serving);
  }
}

/** Resolves when the condition holds. @throws {Error} after 20 s */
export async function until(condition: () => boolean, what = "the condition"): Promise<void> {
  for (let tries = 0; !condition(); tries++) {
    if (tries > 4000) throw new Error(`Waited 20 s in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Bytes as text, one character a byte. */
export function latin1(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return text;
}

function close(conn: Deno.TcpConn): void {
  try {
    conn.close();
  } catch { /* closed before */ }
}
