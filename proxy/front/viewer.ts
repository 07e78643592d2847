/** One viewer's connection, for as long as it asks for what the front understands: {@link Viewer}. */
import { Buffer } from "node:buffer";
import type { BodySource } from "../../runtime/http1/body_source.ts";
import type { Answered, Core } from "../core.ts";
import type { Deadlines, Watch } from "../../runtime/deadlines.ts";
import { type PassedOn, passOn } from "../../runtime/http1/pass_on.ts";
import type { StopSignal } from "../../runtime/http1/transport.ts";
import {
  type AnswerFraming,
  CHUNK_SIZE_BYTES,
  formatAnswerHead,
  formatChunkSize,
  formatHeadEnd,
  httpDate,
  put,
} from "./answer.ts";
import type { Buffers } from "./buffers.ts";
import {
  type Fields,
  findEmptyLine,
  type FrontRequest,
  LastFields,
  mayBeRequest,
  MOST_HEAD_BYTES,
  OTHER,
  readRequest,
} from "./request.ts";
import { Tunnel } from "./tunnel.ts";

/** What the viewers of a front share. */
export interface FrontContext {
  core: Core;
  deadlines: Deadlines;
  buffers: Buffers;
  /** Of the `Deno.serve` behind. */
  port: number;
  clients: Map<number, Deno.NetAddr>;
  /** How long a request's head may take from its first byte to its last. */
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
const TOO_LATE = "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
const LAST_CHUNK = "0\r\n\r\n";
const encoder = new TextEncoder();

/** Tells an exchange that its viewer went away: an `AbortSignal` with room for one listener, used again. */
class Gone implements StopSignal {
  aborted = false;
  #listener: (() => void) | null = null;
  addEventListener(_: "abort", listener: () => void): void {
    this.#listener = listener;
  }
  removeEventListener(_: "abort", listener: () => void): void {
    if (this.#listener === listener) this.#listener = null;
  }
  abort(): void {
    this.aborted = true;
    this.#listener?.();
  }
}

/** Reads requests, answers them one after the other, and hands the connection on when one is for others. */
export class Viewer {
  readonly #conn: Deno.TcpConn;
  readonly #context: FrontContext;
  readonly #client: string;
  readonly #watch: Watch;
  readonly #gone = new Gone();
  readonly #head = new Uint8Array(MOST_HEAD_BYTES);
  readonly #text = Buffer.from(this.#head.buffer);
  readonly #last = new LastFields();
  #start = 0;
  #end = 0;
  #reading: Promise<void> | null = null;
  #doing: "waiting" | "reading" | "answering" | "tunnelling" = "waiting";
  #closed = false;
  #tunnel: Tunnel | null = null;
  /** What goes on of the last fields, and for which authority. */
  #passed: { fields: Fields; authority: string; on: PassedOn } | null = null;
  readonly #onRead = (count: number | null) => {
    this.#reading = null;
    if (count === null) return this.#gone.abort();
    this.#end += count;
    if (this.#doing !== "waiting") return;
    this.#doing = "reading";
    this.#watch.set(this.#context.headMs);
  };
  readonly #onBroken = () => {
    this.#reading = null;
    this.#gone.abort();
  };

  constructor(conn: Deno.TcpConn, context: FrontContext) {
    this.#conn = conn;
    this.#context = context;
    this.#client = (conn.remoteAddr as Deno.NetAddr).hostname;
    this.#watch = context.deadlines.watch(() => this.#late());
  }

  /** True where nothing would be lost by closing it. */
  get idle(): boolean {
    return this.#doing === "waiting";
  }

  /** Resolves when the connection is closed. Never rejects. */
  async run(): Promise<void> {
    try {
      this.#conn.setNoDelay(true);
      while (await this.#next()) { /* one request after the other */ }
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
    try {
      this.#conn.close();
    } catch { /* the tunnel was faster */ }
  }

  #late(): void {
    if (this.#doing !== "reading") return this.close();
    const bytes = encoder.encode(TOO_LATE);
    this.#conn.write(bytes).catch(() => {}).finally(() => this.close());
  }

  /** Answers one request. False where none can follow. */
  async #next(): Promise<boolean> {
    const { core, headMs, idleMs } = this.#context;
    this.#doing = this.#end > this.#start ? "reading" : "waiting";
    if (this.#doing === "waiting" && this.#context.closing) return false;
    this.#watch.set(this.#doing === "reading" ? headMs : idleMs);
    const request = await this.#request();
    if (request === null) return false;
    if (request === OTHER) {
      await this.#handOn();
      return false;
    }
    this.#doing = "answering";
    this.#watch.pause();
    // Whether the viewer is still there shows in the read that its next request needs anyway.
    if (this.#start === this.#end) this.#read();
    const begun = core.now();
    const { method, target, fields } = request;
    const passed = this.#passOn(request);
    let answered: Answered;
    try {
      core.admit(method, target, passed.via);
      answered = await core.forward({
        method,
        target,
        fields: passed,
        body: null,
        bodyLength: null,
        signal: this.#gone,
      });
    } catch (error) {
      if (this.#gone.aborted) return false;
      answered = core.failure(error, begun);
    }
    const close = fields.close || this.#context.closing;
    const buffer = this.#context.buffers.take();
    try {
      await this.#send(method, answered, close, buffer);
    } finally {
      if (answered.body !== null && typeof answered.body !== "string" && !answered.body.done) answered.body.cancel();
      // A write that was begun has ended: closing the socket ends it too.
      this.#context.buffers.give(buffer);
    }
    return !close;
  }

  #passOn({ fields, target: { authority, scheme } }: FrontRequest): PassedOn {
    const known = this.#passed;
    if (known && known.fields === fields && known.authority === authority) return known.on;
    const { pseudonym } = this.#context.core;
    const on = passOn(fields.lines, { client: this.#client, host: authority, scheme, pseudonym, dropOrigin: false });
    this.#passed = { fields, authority, on };
    return on;
  }

  // ---- what the viewer sends

  /** The next request; null where the connection ended. */
  async #request(): Promise<FrontRequest | typeof OTHER | null> {
    let scanned = this.#start;
    while (true) {
      const end = findEmptyLine(this.#head, this.#start, scanned, this.#end);
      if (end >= 0) {
        const request = readRequest(this.#text.toString("latin1", this.#start, end), this.#last);
        if (request === OTHER) return OTHER;
        this.#start = end;
        if (this.#start === this.#end) this.#start = this.#end = 0;
        return request;
      }
      if (this.#end > this.#start && !mayBeRequest(this.#head[this.#start]!)) return OTHER;
      scanned = this.#end;
      if (this.#end === this.#head.length) {
        if (this.#start === 0) return OTHER;
        this.#head.copyWithin(0, this.#start, this.#end);
        scanned = this.#end -= this.#start;
        this.#start = 0;
      }
      await (this.#reading ?? this.#read());
      if (this.#gone.aborted) return null;
    }
  }

  /** Begins to read behind what is there. */
  #read(): Promise<void> {
    return this.#reading = this.#conn.read(this.#head.subarray(this.#end)).then(this.#onRead, this.#onBroken);
  }

  async #handOn(): Promise<void> {
    const { port, clients, buffers, tunnelIdleMs } = this.#context;
    this.#doing = "tunnelling";
    this.#tunnel = new Tunnel(this.#conn, { port, clients, buffers, watch: this.#watch, idleMs: tunnelIdleMs });
    await this.#tunnel.run(this.#head.subarray(this.#start, this.#end));
  }

  // ---- what it gets

  /** Sends an answer: in one write where all of it is here. */
  async #send(method: string, { status, headers, body }: Answered, close: boolean, out: Uint8Array<ArrayBuffer>) {
    const text = formatAnswerHead(status, headers, close, httpDate);
    if (body === null || typeof body === "string") {
      const bytes = body === null ? null : encoder.encode(body);
      const told = status === 204 || status === 304 || headers.some(([name]) => name === "content-length") ||
        (body === null && method === "HEAD");
      const at = put(text + formatHeadEnd(told ? "told" : bytes?.length ?? 0), out, 0);
      if (bytes === null || method === "HEAD") return await this.#write(out.subarray(0, at));
      out.set(bytes, at);
      return await this.#write(out.subarray(0, at + bytes.length));
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
    this.#watch.set(this.#context.idleMs);
    let at = await this.#conn.write(bytes);
    while (at < bytes.length) {
      this.#watch.set(this.#context.idleMs);
      at += await this.#conn.write(bytes.subarray(at));
    }
    this.#watch.pause();
  }
}
