/** One viewer's connection, for as long as it asks for what the front understands: {@link Viewer}. */
import type { BodySource } from "../http1/body_source.ts";
import { Stop } from "../http1/stop.ts";
import type { Deadlines, Watch } from "../deadlines.ts";
import type { HangUp } from "../hang_up.ts";
import {
  type AnswerFraming,
  CHUNK_SIZE_BYTES,
  formatAnswerHead,
  formatChunkSize,
  formatHeadEnd,
  httpDate,
  put,
} from "./answer.ts";
import { type Answered, type Application, type Asker, type Finished, type Given, isSource } from "./application.ts";
import type { Buffers } from "./buffers.ts";
import { copyFinished, sheetOf } from "./finished.ts";
import { type FrontRequest, OTHER } from "./request.ts";
import { RequestReader } from "./request_reader.ts";
import { Tunnel, type ViewerConn } from "./tunnel.ts";

/** How many requests were answered how, and how many connections were handed on. */
export interface FrontCounts {
  /** By a finished answer. */
  finished: number;
  /** By another one of the application. */
  answered: number;
  /** Connections that went to the `Deno.serve` behind. */
  tunnelled: number;
}

/** What the viewers of a front share. */
export interface FrontContext {
  application: Application;
  /** {@link Application.failure}, or what stands for it. */
  failure(error: unknown, asker: Asker): Answered;
  deadlines: Deadlines;
  buffers: Buffers;
  counts: FrontCounts;
  hangUp: HangUp;
  /** Of the `Deno.serve` behind. */
  port: number;
  clients: Map<number, Deno.NetAddr>;
  /** How long a request's head may take from its first byte to its last, and a TLS handshake. */
  headMs: number;
  /** How long a viewer may be silent between requests, or take nothing of an answer. */
  idleMs: number;
  /** How long nothing may come either way on a connection that `Deno.serve` answers. */
  tunnelIdleMs: number;
  /** True where no connection is kept any more. */
  closing: boolean;
}

/** Room in front of a body for the end of its head, or a chunk's size. */
const HEAD_END_ROOM = 64;
/** A finished answer up to this goes out together with others to requests that came together with its own. */
const MOST_TOGETHER = 16 * 1024;
/** No more is written at once: what the reader takes meanwhile is still in the processor's cache. */
const MOST_WRITE = 1024 * 1024;
/** Over TLS no more than this: it is all encrypted before the first byte goes out, and stays in memory. */
const MOST_TLS_WRITE = 64 * 1024;
const TOO_LATE = "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
const LAST_CHUNK = "0\r\n\r\n";
const CLOSE = "connection: close\r\n\r\n";
const encoder = new TextEncoder();

/** Reads requests, answers them one after the other, and hands the connection on when one is for others. */
export class Viewer {
  readonly #conn: ViewerConn;
  readonly #context: FrontContext;
  readonly #watch: Watch;
  readonly #gone = new Stop();
  readonly #asker: Asker;
  readonly #mostWrite: number;
  readonly #reader: RequestReader;
  #reading: Promise<void> | null = null;
  #doing: "waiting" | "shaking hands" | "reading" | "answering" | "tunnelling" = "waiting";
  #closed = false;
  #tunnel: Tunnel | null = null;
  readonly #onRead = (count: number | null) => {
    this.#reading = null;
    if (count === null) return this.#gone.abort();
    this.#reader.add(count);
    if (this.#doing !== "waiting") return;
    this.#doing = "reading";
    this.#watch.set(this.#context.headMs);
  };
  readonly #onBroken = () => {
    this.#reading = null;
    this.#gone.abort();
  };

  constructor(conn: ViewerConn, context: FrontContext) {
    this.#conn = conn;
    this.#context = context;
    this.#asker = { client: (conn.remoteAddr as Deno.NetAddr).hostname, signal: this.#gone, note: undefined };
    this.#reader = new RequestReader(isTls(conn) ? "https" : "http");
    this.#mostWrite = isTls(conn) ? MOST_TLS_WRITE : MOST_WRITE;
    this.#watch = context.deadlines.watch(() => this.#late());
  }

  /** True where nothing would be lost by closing it. */
  get idle(): boolean {
    return this.#doing === "waiting" || this.#doing === "shaking hands";
  }

  /** Resolves when the connection is closed. Never rejects. */
  async run(): Promise<void> {
    const conn = this.#conn;
    try {
      if (isTls(conn)) {
        if (await this.#shakeHands(conn) === "h2") return await this.#handOn(this.#reader.rest.slice());
      } else conn.setNoDelay(true);
      while (await this.#next()) { /* one request after the other */ }
      // What TLS holds back, and its end, would be lost by closing alone.
      if (isTls(conn) && !this.#closed) await conn.closeWrite();
    } catch {
      /* the viewer or the server went away in the middle */
    } finally {
      this.close();
      this.#watch.end();
      await this.#reading;
    }
  }

  /** Closes it, whatever it does. */
  close(): void {
    this.#tunnel?.close();
    if (this.#closed) return;
    this.#closed = true;
    if (this.#doing === "shaking hands") this.#context.hangUp.end(this.#conn);
    try {
      this.#conn.close();
    } catch { /* the tunnel was faster */ }
  }

  #late(): void {
    if (this.#doing !== "reading") return this.close();
    const bytes = encoder.encode(TOO_LATE);
    this.#conn.write(bytes).catch(() => {}).finally(() => this.close());
  }

  /**
   * The protocol that was agreed on, once the viewer has sent the first bytes by it; a viewer that sends none is closed
   * as one whose handshake takes too long.
   */
  async #shakeHands(conn: Deno.TlsConn): Promise<string | null> {
    this.#doing = "shaking hands";
    this.#watch.set(this.#context.headMs);
    await this.#read();
    this.#doing = "reading";
    if (this.#gone.aborted) return null;
    return (await conn.handshake()).alpnProtocol;
  }

  /** Answers one request, or those that came together. False where none can follow. */
  async #next(): Promise<boolean> {
    const { application, headMs, idleMs, counts } = this.#context;
    this.#doing = this.#reader.held > 0 ? "reading" : "waiting";
    if (this.#doing === "waiting" && this.#context.closing) return false;
    this.#watch.set(this.#doing === "reading" ? headMs : idleMs);
    let request = this.#reader.next();
    while (request === null) {
      await (this.#reading ?? this.#read());
      if (this.#gone.aborted) return false;
      request = this.#reader.next();
    }
    if (request === OTHER) {
      await this.#handOn(this.#reader.rest.slice());
      return false;
    }
    this.#doing = "answering";
    this.#watch.pause();
    const hot = this.#hot(request);
    if (hot !== null) return await this.#sendFinished(request, hot);
    let given: Given;
    try {
      const giving = application.answer(request, this.#asker);
      if (giving instanceof Promise) {
        // Whether the viewer is still there shows in the read that its next request needs anyway.
        if (this.#reader.held === 0) this.#read();
        given = await giving;
      } else given = giving;
    } catch (error) {
      if (this.#gone.aborted) return false;
      given = this.#context.failure(error, this.#asker);
    }
    if (given === null) {
      const { reading, first } = this.#takeBack(request);
      await this.#handOn(first, reading);
      return false;
    }
    if (isFinished(given)) return await this.#sendFinished(request, given);
    counts.answered++;
    return await this.#sendAnswered(request, given);
  }

  /** The finished answer to a request that cannot change it. */
  #hot({ method, pathAndQuery, fields: { plain, ifNoneMatch } }: FrontRequest): Finished | null {
    const { application } = this.#context;
    if (!plain || application.hot === undefined) return null;
    const finished = application.hot(method, pathAndQuery);
    if (finished === null || ifNoneMatch === null) return finished;
    return ifNoneMatch === finished.etag ? finished.notModified : null;
  }

  // ---- what the viewer sends

  /** Begins to read behind what is there. */
  #read(): Promise<void> {
    return this.#reading = this.#conn.read(this.#reader.room()).then(this.#onRead, this.#onBroken);
  }

  /** The bytes of a request that was read, and those behind it; and what is being read. */
  #takeBack({ text }: FrontRequest): { first: Uint8Array; reading: Promise<Uint8Array | null> | null } {
    const { rest } = this.#reader;
    const first = new Uint8Array(text.length + rest.length);
    first.set(rest, put(text, first, 0));
    const before = rest.length;
    const reading = this.#reading?.then(() => this.#gone.aborted ? null : this.#reader.rest.subarray(before)) ?? null;
    return { first, reading };
  }

  async #handOn(first: Uint8Array, ahead: Promise<Uint8Array | null> | null = null): Promise<void> {
    const { port, clients, buffers, tunnelIdleMs, counts } = this.#context;
    counts.tunnelled++;
    this.#doing = "tunnelling";
    this.#tunnel = new Tunnel(this.#conn, { port, clients, buffers, watch: this.#watch, idleMs: tunnelIdleMs });
    await this.#tunnel.run(first, ahead);
  }

  // ---- what it gets

  #count({ bytes, headLength }: Finished, whole: boolean): void {
    const { counts, application } = this.#context;
    counts.finished++;
    application.sent?.(whole ? bytes.length - headLength : 0);
  }

  /** Sends a finished answer: one write. False where no request can follow. */
  async #sendFinished({ method, fields }: FrontRequest, finished: Finished): Promise<boolean> {
    const nowMs = Date.now();
    const close = fields.close || this.#context.closing;
    const whole = method === "GET";
    this.#count(finished, whole);
    if (close) {
      await this.#sendCopied(finished, nowMs, whole, CLOSE);
      return false;
    }
    if (this.#reader.held > 0 && finished.bytes.length <= MOST_TOGETHER) {
      await this.#sendTogether(finished, whole, nowMs);
      return true;
    }
    const sheet = sheetOf(finished, nowMs);
    if (sheet === null) {
      await this.#sendCopied(finished, nowMs, whole, "\r\n");
      return true;
    }
    const bytes = whole ? sheet.bytes : sheet.bytes.subarray(0, finished.headLength);
    const first = Math.min(bytes.length, Math.max(this.#mostWrite, finished.headLength));
    sheet.writers++;
    let at = 0;
    try {
      this.#watch.set(this.#context.idleMs);
      while (at < finished.headLength) {
        const writing = this.#conn.write(at === 0 && first === bytes.length ? bytes : bytes.subarray(at, first));
        // Together, and not one after the other: it saves a turn of the loop for each request.
        if (this.#reading === null && this.#reader.held === 0) this.#read();
        at += await writing;
      }
    } finally {
      sheet.writers--;
    }
    if (at < bytes.length) await this.#write(bytes.subarray(at));
    this.#watch.pause();
    return true;
  }

  /** As {@link #sendFinished}, by a copy of the head, or of all that is short. @param end of the head */
  async #sendCopied(finished: Finished, nowMs: number, whole: boolean, end: string): Promise<void> {
    const { bytes, headLength } = finished;
    const together = !whole || bytes.length <= MOST_TOGETHER;
    const copy = new Uint8Array((together ? bytes.length : headLength) + end.length);
    await this.#write(copy.subarray(0, copyFinished(finished, nowMs, copy, 0, { body: together && whole, end })));
    if (!together) await this.#write(bytes.subarray(headLength));
  }

  /** Sends finished answers to this request and to those that came with it, as far as one buffer goes. */
  async #sendTogether(finished: Finished, body: boolean, nowMs: number): Promise<void> {
    const { buffers } = this.#context;
    const out = buffers.take();
    try {
      let at = copyFinished(finished, nowMs, out, 0, { body, end: "\r\n" });
      while (out.length - at >= MOST_TOGETHER) {
        const request = this.#reader.next();
        if (request === null || request === OTHER) break; // OTHER comes again
        const next = request.fields.close ? null : this.#hot(request);
        if (next === null || next.bytes.length > MOST_TOGETHER) {
          this.#reader.putBack();
          break;
        }
        this.#count(next, request.method === "GET");
        at = copyFinished(next, nowMs, out, at, { body: request.method === "GET", end: "\r\n" });
      }
      await this.#write(out.subarray(0, at));
    } finally {
      buffers.give(out); // a write that was begun has ended: closing the socket ends it too
    }
  }

  async #sendAnswered({ method, fields }: FrontRequest, answered: Answered): Promise<boolean> {
    const close = fields.close || this.#context.closing;
    const { body } = answered;
    const out = this.#context.buffers.take();
    try {
      await this.#send(method, answered, close, out);
    } finally {
      if (isSource(body) && !body.done) body.cancel();
      this.#context.buffers.give(out);
    }
    return !close;
  }

  /** Sends an answer: in one write where all of it is here. */
  async #send(method: string, { status, headers, body }: Answered, close: boolean, out: Uint8Array<ArrayBuffer>) {
    const text = formatAnswerHead(status, headers, close, httpDate);
    if (!isSource(body)) {
      const bytes = typeof body === "string" ? encoder.encode(body) : body;
      const told = status === 204 || status === 304 || headers.some(([name]) => name === "content-length") ||
        (body === null && method === "HEAD");
      const at = put(text + formatHeadEnd(told ? "told" : bytes?.length ?? 0), out, 0);
      if (bytes === null || method === "HEAD") return await this.#write(out.subarray(0, at));
      const count = Math.min(bytes.length, out.length - at);
      out.set(count < bytes.length ? bytes.subarray(0, count) : bytes, at);
      await this.#write(out.subarray(0, at + count));
      if (count < bytes.length) await this.#write(bytes.subarray(count));
      return;
    }
    const told = headers.some(([name]) => name === "content-length");
    // The body's first bytes come to stand where the head will end.
    const from = text.length + HEAD_END_ROOM;
    const room = out.length - HEAD_END_ROOM;
    let count = body.take(out.subarray(from, room));
    if (body.ready) count += await body.read(out.subarray(from + count, room)) ?? 0;
    const framing: AnswerFraming = told ? "told" : body.done ? count : "chunked";
    let end = formatHeadEnd(framing);
    let to = from + count;
    if (framing === "chunked" && count > 0) {
      end += formatChunkSize(count);
      to = put("\r\n", out, to);
    }
    const start = from - end.length - text.length;
    put(end, out, put(text, out, start));
    await this.#write(out.subarray(start, to));
    if (!body.done) await (framing === "chunked" ? this.#sendChunks(body, out) : this.#sendRest(body, out));
    else if (framing === "chunked") await this.#write(encoder.encode(LAST_CHUNK));
  }

  async #sendRest(body: BodySource, out: Uint8Array<ArrayBuffer>): Promise<void> {
    while (!body.done) {
      const count = await body.read(out);
      if (count === null) return;
      await this.#write(out.subarray(0, count));
    }
  }

  async #sendChunks(body: BodySource, out: Uint8Array<ArrayBuffer>): Promise<void> {
    const room = out.subarray(CHUNK_SIZE_BYTES, out.length - HEAD_END_ROOM);
    while (true) {
      const count = body.done ? null : await body.read(room);
      if (count === null) return await this.#write(encoder.encode(LAST_CHUNK));
      put(formatChunkSize(count), out, 0);
      await this.#write(out.subarray(0, put("\r\n", out, CHUNK_SIZE_BYTES + count)));
    }
  }

  /** Writes all of it; a viewer that takes nothing for too long is cut off. */
  async #write(bytes: Uint8Array): Promise<void> {
    const most = this.#mostWrite;
    this.#watch.set(this.#context.idleMs);
    let at = await this.#conn.write(bytes.length > most ? bytes.subarray(0, most) : bytes);
    while (at < bytes.length) {
      this.#watch.set(this.#context.idleMs);
      at += await this.#conn.write(bytes.subarray(at, at + most));
    }
    this.#watch.pause();
  }
}

function isTls(conn: ViewerConn): conn is Deno.TlsConn {
  return "handshake" in conn;
}

function isFinished(given: Finished | Answered): given is Finished {
  return "headLength" in given;
}
