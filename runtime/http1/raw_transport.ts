/**
 * A client for HTTP/1.1 on raw sockets: {@link createRawTransport}. `heads.ts`, `chunked.ts` and `connection.ts`
 * read and write the bytes, `pool.ts` keeps the connections; here stands the life of one request on one of them.
 */
import { isLoopback } from "../guard.ts";
import type { Live } from "../live.ts";
import { words } from "../words.ts";
import { Deadlines, type Watch } from "../deadlines.ts";
import { formatRequestHead, Http1Error, type ResponseHead } from "./heads.ts";
import { Connection, type Socket } from "./connection.ts";
import { Pool } from "./pool.ts";
import { type BodyOwner, RawBody } from "./raw_body.ts";
import { type Transport, UpstreamError, type UpstreamRequest, type UpstreamResponse } from "./transport.ts";

/** A socket that can be told to send at once. */
export interface ConnectedSocket extends Socket {
  setNoDelay?(on: boolean): void;
  /** Over TLS: resolves when the peer's certificate is known to be right. */
  handshake?(): Promise<unknown>;
}

/** Settings of {@link createRawTransport}; times in milliseconds. */
export interface RawTransportOptions {
  /** CAs (PEM) beside those that Deno knows; null: those alone, and plain connections. */
  ca?: Live<readonly string[]> | null;
  /** For name, TCP and TLS together. */
  connectTimeoutMs?: number;
  /** See {@link UpstreamRequest.headTimeoutMs}. */
  headTimeoutMs?: number;
  /** See {@link UpstreamRequest.idleTimeoutMs}. */
  idleTimeoutMs?: number;
  /** Most idle connections kept for one origin. */
  poolSize?: number;
  /** How long one is kept. Shorter than what servers use, so that they seldom close it under a request. */
  idleConnectionMs?: number;
  /** Makes a plain connection. */
  connect?: (to: { hostname: string; port: number }) => Promise<ConnectedSocket>;
  /** Makes one over TLS. */
  connectTls?: (to: { hostname: string; port: number }) => Promise<ConnectedSocket>;
}

type Settings = Required<Omit<RawTransportOptions, "ca">>;

/**
 * Sends requests by HTTP/1.1, over TLS where the origin says `https`.
 * @param options.ca with it, nothing is sent in the clear but to this machine
 */
export function createRawTransport({
  ca = null,
  connectTimeoutMs = 5_000,
  headTimeoutMs = 30_000,
  idleTimeoutMs = 30_000,
  poolSize = 64,
  idleConnectionMs = 20_000,
  connect = (to) => connectPlain(to, ca !== null),
  connectTls = (to) => connectOverTls(to, ca?.current ?? []),
}: RawTransportOptions = {}): Transport {
  const settings: Settings = {
    connectTimeoutMs,
    headTimeoutMs,
    idleTimeoutMs,
    poolSize,
    idleConnectionMs,
    connect,
    connectTls,
  };
  const deadlines = new Deadlines();
  const pool = new Pool({ size: poolSize, idleMs: idleConnectionMs, deadlines });
  return {
    async send(request) {
      const begun = performance.now();
      const { bodyLength } = request;
      const text = formatRequestHead({
        method: request.method,
        target: request.target,
        authority: originOf(request.origin).authority,
        headers: request.headers,
        body: request.body ? bodyLength ?? "chunked" : bodyLength === 0 || NEEDS_LENGTH.has(request.method) ? 0 : null,
      });
      if (request.signal.aborted) throw new UpstreamError("The request was aborted", "aborted", false);
      // What can be sent only once does not go to a connection that its server may be closing just now.
      const once = request.body !== null || !IDEMPOTENT.has(request.method);
      const pooled = once ? null : pool.take(request.origin);
      if (pooled) {
        const exchange = new Exchange(request, settings, deadlines, pool, begun);
        const response = await exchange.run(pooled, text, true);
        if (response) return response;
      }
      const exchange = new Exchange(request, settings, deadlines, pool, begun);
      const response = await exchange.run(await exchange.connect(), text, false);
      if (!response) throw new UpstreamError("The server closed the connection without an answer", "broken", false);
      return response;
    },
    close() {
      pool.close();
      deadlines.close();
    },
  };
}

/** Methods that tell of an empty body too (RFC 9110 §8.6). */
const NEEDS_LENGTH = new Set(["POST", "PUT", "PATCH"]);
/** May be sent again where it is not known whether the first was acted on (RFC 9110 §9.2.2). */
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);

interface Origin {
  hostname: string;
  port: number;
  tls: boolean;
  authority: string;
}

const origins = new Map<string, Origin>();

/** Parses a base URL, once. */
function originOf(url: string): Origin {
  let origin = origins.get(url);
  if (origin) return origin;
  const { protocol, hostname, port, host } = new URL(url);
  if (protocol !== "http:" && protocol !== "https:") throw new TypeError(`The origin ${url} must be http or https`);
  const tls = protocol === "https:";
  origin = {
    hostname: hostname.replace(/^\[(.*)\]$/, "$1"),
    port: port === "" ? (tls ? 443 : 80) : Number(port),
    tls,
    authority: host,
  };
  if (origins.size >= 2000) origins.clear();
  origins.set(url, origin);
  return origin;
}

/** One request and its answer. Whatever ends it early closes its connection, and says why to whoever waits. */
class Exchange implements BodyOwner {
  readonly #request: UpstreamRequest;
  readonly #settings: Settings;
  readonly #pool: Pool;
  readonly #begun: number;
  readonly #watch: Watch;
  readonly #onAbort = () => this.#stop("aborted", "The request was aborted");
  readonly #idleMs: number;
  #late = "";
  #connection: Connection | null = null;
  #connectMs = 0;
  #failure: UpstreamError | null = null;
  #onFailure: ((error: UpstreamError) => void) | null = null;
  #ended = false;
  #keepAlive = false;
  /** Where the request's body stands. */
  #sending: "no" | "yes" | "done" = "no";
  #bodyTouched = false;
  #bodyReader: ReadableStreamDefaultReader<Uint8Array> | null = null;

  constructor(request: UpstreamRequest, settings: Settings, deadlines: Deadlines, pool: Pool, begun: number) {
    this.#request = request;
    this.#settings = settings;
    this.#pool = pool;
    this.#begun = begun;
    this.#idleMs = request.idleTimeoutMs ?? settings.idleTimeoutMs;
    this.#watch = deadlines.watch(() => this.#stop(this.#connection ? "timeout" : "connect", this.#late));
    request.signal.addEventListener("abort", this.#onAbort);
  }

  /** A new connection. @throws {UpstreamError} */
  async connect(): Promise<Connection> {
    const { hostname, port, tls } = originOf(this.#request.origin);
    const begun = performance.now();
    const connecting = dial(tls ? this.#settings.connectTls : this.#settings.connect, { hostname, port });
    const stopped = new Promise<never>((_, reject) => this.#onFailure = reject);
    this.#setDeadline(this.#settings.connectTimeoutMs, "Connecting took too long");
    let socket: ConnectedSocket;
    try {
      socket = await Promise.race([connecting, stopped]);
    } catch (cause) {
      // What comes too late is closed.
      connecting.then((late) => late.close(), () => {});
      this.#end(false);
      if (this.#failure) throw this.#failure;
      throw new UpstreamError(`Cannot connect: ${words(cause)}`, "connect", false, { cause });
    } finally {
      this.#onFailure = null;
    }
    this.#connectMs = performance.now() - begun;
    try {
      socket.setNoDelay?.(true);
    } catch { /* closed already: the first write will say so */ }
    return new Connection(socket);
  }

  /**
   * Sends the request and reads the answer's head.
   * @returns null where a pooled connection was closed before an answer and the request may be sent again
   * @throws {UpstreamError}
   */
  async run(connection: Connection, head: string, reused: boolean): Promise<UpstreamResponse | null> {
    this.#connection = connection;
    const { method, body } = this.#request;
    let answer: ResponseHead | null;
    try {
      if (this.#failure) { // Stopped between two steps, when the connection was nobody's yet.
        connection.close();
        throw this.#failure;
      }
      this.#sending = body ? "yes" : "done";
      this.#setDeadline(this.#headTimeoutMs, "No answer came in time");
      this.#sendRequest(head, body);
      // The answer is awaited from the start: it may come before the body was sent, and end the sending.
      answer = await connection.readHead(method);
    } catch (cause) {
      const retry = reused && !this.#failure && !(cause instanceof Http1Error) && IDEMPOTENT.has(method);
      const failure = this.fail(cause);
      if (retry) return null;
      throw failure;
    }
    if (answer === null) {
      const retry = reused && !this.#failure && IDEMPOTENT.has(method);
      const failure = this.fail(new Http1Error("the connection ended before an answer came"));
      if (retry) return null;
      throw failure;
    }
    if (this.#failure) throw this.fail(this.#failure);
    this.#watch.pause();
    if (this.#sending === "yes" && answer.status >= 400) this.#stopSending();
    const headMs = performance.now() - this.#begun;
    return {
      status: answer.status,
      headers: answer.headers,
      contentLength: answer.contentLength,
      body: this.#body(answer),
      timing: { connectMs: this.#connectMs, headMs, reused },
    };
  }

  get #headTimeoutMs(): number {
    return this.#request.headTimeoutMs ?? this.#settings.headTimeoutMs;
  }

  // ---- the request

  /** Never rejects: a fault of the request's own body stops the exchange, one of the server is seen by what reads its answer. */
  async #sendRequest(head: string, body: ReadableStream<Uint8Array> | null): Promise<void> {
    const connection = this.#connection!;
    try {
      await connection.writeText(head);
    } catch {
      return;
    }
    if (!body) return;
    const { bodyLength } = this.#request;
    const reader = this.#bodyReader = body.getReader();
    let left = bodyLength ?? Infinity;
    while (this.#sending === "yes") {
      this.#watch.pause(); // The viewer's pauses are not the server's.
      let result: ReadableStreamReadResult<Uint8Array>;
      try {
        result = await reader.read();
      } catch (cause) {
        if (this.#sending === "yes") this.#stop("aborted", `The request's body broke off: ${words(cause)}`);
        return;
      }
      // Before anything else: what was read can be sent by nobody again, whether we still send or not.
      if (!result.done && result.value.length > 0) this.#bodyTouched = true;
      if (this.#sending !== "yes") return;
      if (result.done) {
        if (bodyLength !== null && left > 0) {
          return this.#stop("aborted", `The request's body is ${left} bytes shorter than its length`);
        }
        break;
      }
      const chunk = result.value;
      if (chunk.length === 0) continue;
      left -= chunk.length;
      if (left < 0) return this.#stop("aborted", "The request's body is longer than its length");
      this.#setDeadline(this.#idleMs, "The server stopped reading the request's body");
      try {
        if (bodyLength === null) await connection.writeText(`${chunk.length.toString(16)}\r\n`);
        await connection.write(chunk);
        if (bodyLength === null) await connection.writeText("\r\n");
      } catch {
        return; // The answer may be here all the same (a 413, then a close): the reading side knows.
      }
    }
    if (bodyLength === null && this.#sending === "yes") {
      try {
        await connection.writeText("0\r\n\r\n");
      } catch {
        return;
      }
    }
    if (this.#sending !== "yes") return;
    this.#sending = "done";
    this.#setDeadline(this.#headTimeoutMs, "No answer came in time");
  }

  #stopSending(): void {
    this.#sending = "no";
    this.#bodyReader?.cancel().catch(() => {});
  }

  // ---- the answer's body

  #body({ framing, keepAlive }: ResponseHead): RawBody | null {
    this.#keepAlive = keepAlive;
    if (framing.kind === "none") {
      this.finish();
      return null;
    }
    try {
      return new RawBody(this.#connection!, framing, this);
    } catch (cause) {
      throw this.fail(cause);
    }
  }

  expect(): void {
    if (this.#failure) throw this.#failure;
    this.#setDeadline(this.#idleMs, "The server paused for too long in the middle of the body");
  }

  relax(): void {
    this.#watch.pause();
    if (this.#failure) throw this.#failure;
  }

  finish(): void {
    this.#end(this.#keepAlive);
  }

  abandon(): void {
    this.#end(false);
  }

  // ---- the end

  #setDeadline(ms: number, late: string): void {
    this.#late = late;
    if (!this.#ended) this.#watch.set(ms);
  }

  /** Ends it from outside, at any time. */
  #stop(kind: UpstreamError["kind"], message: string): void {
    if (this.#ended || this.#failure) return;
    this.#failure = new UpstreamError(message, kind, this.#bodyTouched);
    this.#connection?.close();
    this.#onFailure?.(this.#failure);
    this.#end(false);
  }

  /** What to tell for an error of the connection; closes it. */
  fail(cause: unknown): UpstreamError {
    this.#failure ??= new UpstreamError(
      `The answer is broken: ${words(cause)}`,
      "broken",
      this.#bodyTouched,
      { cause },
    );
    this.#end(false);
    return this.#failure;
  }

  /** A body that nobody has read from goes back as it was: it may still be sent elsewhere. */
  #stopSendingFor(failure: UpstreamError): void {
    this.#sending = "no";
    if (this.#bodyTouched) this.#bodyReader?.cancel(failure).catch(() => {});
    else this.#bodyReader?.releaseLock();
  }

  #end(keep: boolean): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#watch.end();
    this.#request.signal.removeEventListener("abort", this.#onAbort);
    const connection = this.#connection;
    const reusable = keep && this.#sending === "done" && !this.#failure;
    if (this.#sending === "yes") {
      this.#stopSendingFor(
        this.#failure ?? new UpstreamError("The answer came before the body was sent", "broken", true),
      );
    }
    if (!connection) return;
    if (reusable && !connection.hasMore && !connection.closed) this.#pool.give(this.#request.origin, connection);
    else connection.close();
  }
}

// deno-lint-ignore require-await -- so that what it throws is a rejection
async function connectPlain(to: { hostname: string; port: number }, overTlsOnly: boolean): Promise<ConnectedSocket> {
  if (!overTlsOnly || isLoopback(to.hostname)) return Deno.connect(to);
  throw new Error(`${to.hostname}:${to.port} has an http:// URL, and here servers are asked over TLS alone`);
}

async function connectOverTls(
  to: { hostname: string; port: number },
  caCerts: readonly string[],
): Promise<ConnectedSocket> {
  const plain = await Deno.connect(to);
  try {
    plain.setNoDelay(true); // what stands on it has no such method, and would let the pieces of a body wait
    return await Deno.startTls(plain, { hostname: to.hostname, alpnProtocols: ["http/1.1"], caCerts: [...caCerts] });
  } catch (error) {
    try {
      plain.close();
    } catch { /* taken over already */ }
    throw error;
  }
}

/** A connection that stands: `Deno.connectTls` resolves before its handshake, and no request may be lost to that. */
async function dial(connect: Settings["connect"], to: { hostname: string; port: number }): Promise<ConnectedSocket> {
  const socket = await connect(to);
  try {
    await socket.handshake?.();
  } catch (cause) {
    socket.close();
    throw cause;
  }
  return socket;
}
