/**
 * A shaped link: a TCP forwarder with a delay and a rate, for trying what a wide area does to us on one machine.
 *
 * - Delay: each chunk leaves `rttMs / 2` after it was sent, in each direction, so that a request and its answer
 *   take `rttMs` together on an open connection.
 * - Rate: what ONE connection gets, in each direction (a chunk takes `size / rate` to be sent, one after the
 *   other). Connections do not share it: the figures that we play are those of single connections.
 * - A connection stands at once, because the kernel answers the SYN before a program hears of it. No round trip
 *   is added to the first bytes instead: then a cold request would look twice as far as a warm one. So the
 *   round trip shows in the time from request to answer, and never in the time to connect.
 * - Memory is bounded: what is on the way is at most the rate times the delay and a small buffer; a slow reader
 *   stops the sender.
 */
import { CdnError } from "../../proto/mod.ts";

/** How a link is at the moment. */
export interface LinkShape {
  /** Round trip, in milliseconds; half of it each way. */
  rttMs: number;
  /** Bytes a second for one connection, each way. */
  bytesPerSecond: number;
  /** Nothing passes, as when a cable is cut: connections hang, none is closed. */
  cut?: boolean;
}

/** Where a link leads. */
export interface LinkTarget {
  hostname: string;
  port: number;
}

/** A chunk covers at most this time of sending, so that the head of an answer need not wait for much of its body. */
const CHUNK_MS = 2;
/** Bytes may be taken over this long before they can be sent: a timer that is late loses no rate. */
const AHEAD_MS = 20;
/** A timer fires up to 1 ms late, half of it on average. */
const TIMER_LATE_MS = 0.5;
const LEAST_CHUNK = 1460;
const MOST_CHUNK = 64 << 10;
/** What one direction of one connection may hold, whatever rate and delay would ask for. */
const MOST_HELD = 8 << 20;

/** A listening forwarder. Close it to end it, with all connections through it. */
export class Link {
  readonly #listener: Deno.TcpListener;
  /** One for each open connection: aborting it ends the connection. */
  readonly #open = new Set<AbortController>();
  readonly #running = new Set<Promise<void>>();
  #shape: LinkShape;
  #closed = false;
  /** Resolves when the shape changes. */
  #changed = Promise.withResolvers<void>();
  /** Where connections are led; while it is null, they are closed at once. */
  target: LinkTarget | null;
  /** Bytes that came out of it, both ways. */
  carried = 0;

  /**
   * Listens on 127.0.0.1.
   * @throws {CdnError} where the port is in use.
   */
  constructor(shape: LinkShape, { port = 0, target = null }: { port?: number; target?: LinkTarget | null } = {}) {
    this.#shape = checked(shape);
    this.target = target;
    try {
      this.#listener = Deno.listen({ hostname: "127.0.0.1", port });
    } catch (cause) {
      const why = cause instanceof Deno.errors.AddrInUse ? "the address is in use" : (cause as Error).message;
      throw new CdnError(`Cannot listen on 127.0.0.1:${port}: ${why}`, { source: "server", cause });
    }
    this.#accept();
  }

  /** `http://127.0.0.1:port` */
  get url(): string {
    return `http://127.0.0.1:${this.#listener.addr.port}`;
  }

  get shape(): Readonly<LinkShape> {
    return this.#shape;
  }

  /** Changes it while it runs: what is already on the way arrives as it was sent, the rest by the new figures. */
  reshape(change: Partial<LinkShape>): void {
    this.#shape = checked({ ...this.#shape, ...change });
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  /** Ends it; resolves when nothing of it runs any more. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#listener.close();
    this.#changed.resolve();
    for (const stop of this.#open) stop.abort();
    await Promise.all(this.#running);
  }

  async #accept(): Promise<void> {
    while (!this.#closed) {
      let near: Deno.TcpConn;
      try {
        near = await this.#listener.accept();
      } catch {
        if (this.#closed) return;
        // Out of descriptors, or a client that left at once: neither ends the link.
        await sleepUntil(performance.now() + 50);
        continue;
      }
      const run = this.#carry(near);
      this.#running.add(run);
      run.finally(() => this.#running.delete(run));
    }
  }

  /** One connection, until both directions have ended or one of them broke. */
  async #carry(near: Deno.TcpConn): Promise<void> {
    const stop = new AbortController();
    this.#open.add(stop);
    stop.signal.addEventListener("abort", () => closeQuietly(near));
    try {
      if (!this.target) throw new Error("leads nowhere yet");
      const far = await Deno.connect(this.target);
      stop.signal.addEventListener("abort", () => closeQuietly(far));
      if (stop.signal.aborted) closeQuietly(far);
      near.setNoDelay(true);
      far.setNoDelay(true);
      const whole = () => this.#whole();
      await Promise.all([
        new Direction(this, whole, near, far, stop).run(),
        new Direction(this, whole, far, near, stop).run(),
      ]);
    } catch {
      // Nobody listens behind the link: the news takes a round trip, as that of a refused connection would.
      await sleepUntil(performance.now() + this.#shape.rttMs, stop.signal);
    } finally {
      stop.abort();
      this.#open.delete(stop);
    }
  }

  /** Resolves when the link is not cut, or is closed. */
  async #whole(): Promise<void> {
    while (this.#shape.cut && !this.#closed) await this.#changed.promise;
  }
}

/** One way through a link. The reader paces, the writer delays; between them is what is on the way. */
class Direction {
  readonly #onTheWay: { bytes: Uint8Array; dueAt: number }[] = [];
  #held = 0;
  /** When the last chunk that was taken will have been sent. */
  #sentAt = 0;
  #ended = false;
  #wake = Promise.withResolvers<void>();

  /** @param stop ends both directions of the connection and closes its sockets */
  constructor(
    readonly link: Link,
    readonly whole: () => Promise<void>,
    readonly from: Deno.TcpConn,
    readonly to: Deno.TcpConn,
    readonly stop: AbortController,
  ) {
    stop.signal.addEventListener("abort", () => this.#signal());
  }

  async run(): Promise<void> {
    const broke = () => this.stop.abort();
    await Promise.all([this.#read().catch(broke), this.#write().catch(broke)]);
  }

  async #read(): Promise<void> {
    for (;;) {
      await this.whole();
      const { bytesPerSecond, rttMs } = this.link.shape;
      await sleepUntil(this.#sentAt - AHEAD_MS, this.stop.signal);
      // Beyond what rate and delay hold on the way, the far side is slow: wait for it.
      const room = Math.min(MOST_HELD, Math.max(MOST_CHUNK, bytesPerSecond * (rttMs + 4 * AHEAD_MS) / 1000));
      while (this.#held >= room && !this.stop.signal.aborted) await this.#news();
      if (this.stop.signal.aborted) return;
      const most = Math.min(MOST_CHUNK, Math.max(LEAST_CHUNK, Math.round(bytesPerSecond * CHUNK_MS / 1000)));
      const buffer = new Uint8Array(most);
      const count = await this.from.read(buffer);
      if (count === null) break;
      // The shape may have changed while we waited for bytes.
      await this.whole();
      const { shape } = this.link;
      this.#sentAt = Math.max(this.#sentAt, performance.now()) + count / shape.bytesPerSecond * 1000;
      this.#push(buffer.subarray(0, count), this.#sentAt + shape.rttMs / 2);
    }
    this.#push(new Uint8Array(0), Math.max(this.#sentAt, performance.now()) + this.link.shape.rttMs / 2);
    this.#ended = true;
    this.#signal();
  }

  async #write(): Promise<void> {
    for (;;) {
      const next = this.#onTheWay[0];
      if (!next) {
        if (this.#ended) break;
        if (this.stop.signal.aborted) return;
        await this.#news();
        continue;
      }
      await sleepUntil(next.dueAt, this.stop.signal);
      await this.whole();
      if (this.stop.signal.aborted) return;
      for (let at = 0; at < next.bytes.length;) at += await this.to.write(next.bytes.subarray(at));
      this.#onTheWay.shift();
      this.#held -= next.bytes.length;
      this.link.carried += next.bytes.length;
      this.#signal();
    }
    await this.to.closeWrite();
  }

  #push(bytes: Uint8Array, dueAt: number): void {
    this.#onTheWay.push({ bytes, dueAt });
    this.#held += bytes.length;
    this.#signal();
  }

  /** Resolves at the next {@link #signal}. */
  #news(): Promise<void> {
    return this.#wake.promise;
  }

  #signal(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }
}

function checked(shape: LinkShape): LinkShape {
  if (!(shape.rttMs >= 0 && shape.rttMs <= 60_000)) throw new RangeError("rttMs must be from 0 to 60000");
  if (!(shape.bytesPerSecond >= 1000)) throw new RangeError("bytesPerSecond must be at least 1000");
  return shape;
}

/** Resolves at `at` on the clock of `performance.now()`, or when `signal` aborts. */
function sleepUntil(at: number, signal?: AbortSignal): Promise<void> {
  const wait = at - performance.now() - TIMER_LATE_MS;
  if (wait <= 0 || signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", wake);
      resolve();
    };
    const timer = setTimeout(wake, wait);
    signal?.addEventListener("abort", wake);
  });
}

function closeQuietly(conn: Deno.TcpConn): void {
  try {
    conn.close();
  } catch { /* closed already */ }
}
