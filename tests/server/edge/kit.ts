/** What the tests of the edge share: origins that do as they are told, bodies that come when they are told to. */
import { CdnError } from "../../../proto/mod.ts";
import type { Answered } from "../../../runtime/front/application.ts";
import type { BodySource } from "../../../runtime/http1/body_source.ts";
import { NEVER } from "../../../runtime/http1/stop.ts";
import type { HeaderLine } from "../../../runtime/http1/transport.ts";
import { silentLogger } from "../../../runtime/log.ts";
import { latin1 as latin1Text } from "../../kit/fake_server.ts";
import type { Asked } from "../../../server/edge/asked.ts";
import { createMemoryCache } from "../../../server/edge/cache/mod.ts";
import type { Cache } from "../../../server/edge/cache/cache.ts";
import { defaultEdgeLimits, Edge, type EdgeOptions } from "../../../server/edge/edge.ts";
import { loopGuard, type OriginRequest, type OriginResponse, type Origins } from "../../../server/edge/origins/mod.ts";

/** The moment at which every test begins. */
export const START = Date.UTC(2026, 0, 1);
const latin1 = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));

/** A body whose bytes come when the test says so. */
export class ManualBody implements BodySource {
  done = false;
  cancelled = false;
  /** How many bytes were read. */
  taken = 0;
  #chunks: Uint8Array[] = [];
  #ended = false;
  #failure: Error | null = null;
  #news = Promise.withResolvers<void>();

  /** More comes. */
  push(bytes: string | Uint8Array): this {
    this.#chunks.push(typeof bytes === "string" ? latin1(bytes) : bytes);
    return this.#tell();
  }

  /** That was all. */
  end(): this {
    this.#ended = true;
    if (this.#chunks.length === 0) this.done = true;
    return this.#tell();
  }

  /** It breaks off. */
  fail(error = new CdnError("the origin went away", { source: "origin" })): this {
    this.#failure = error;
    return this.#tell();
  }

  get held(): number {
    return this.#chunks.reduce((sum, { length }) => sum + length, 0);
  }

  get ready(): boolean {
    return false;
  }

  take(into: Uint8Array<ArrayBuffer>): number {
    let count = 0;
    while (this.#chunks.length && count < into.length) {
      const chunk = this.#chunks.shift()!;
      const part = chunk.subarray(0, into.length - count);
      into.set(part, count);
      count += part.length;
      if (part.length < chunk.length) this.#chunks.unshift(chunk.subarray(part.length));
    }
    this.taken += count;
    if (this.#ended && this.#chunks.length === 0) this.done = true;
    return count;
  }

  async read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    while (true) {
      const count = this.take(into);
      if (count > 0) return count;
      if (this.#failure) throw this.#failure;
      if (this.#ended || this.cancelled) {
        this.done = true;
        return null;
      }
      await this.#news.promise;
    }
  }

  cancel(): void {
    this.cancelled = true;
    this.done = true;
    this.#tell();
  }

  #tell(): this {
    const news = this.#news;
    this.#news = Promise.withResolvers();
    news.resolve();
    return this;
  }
}

/** What a test's origin answers. */
export interface Reply {
  status?: number;
  fields?: HeaderLine[];
  /** A text has a Content-Length; a body has one where the fields say so. */
  body?: string | Uint8Array | BodySource | null;
}

/** Origins that answer by a function, and remember what they were asked. */
export class ScriptedOrigins implements Origins {
  readonly requests: OriginRequest[] = [];

  constructor(public reply: (request: OriginRequest, number: number) => Reply | Promise<Reply>) {}

  async send(request: OriginRequest): Promise<OriginResponse> {
    this.requests.push(request);
    const { status = 200, fields = [], body = "" } = await this.reply(request, this.requests.length);
    const bytes = typeof body === "string" ? latin1(body) : body;
    const headers = [...fields];
    const bodyless = request.method === "HEAD" || status === 304 || status === 204 || bytes === null;
    if (bytes instanceof Uint8Array && !bodyless && !headers.some(([name]) => name === "content-length")) {
      headers.push(["content-length", String(bytes.length)]);
    }
    const told = headers.find(([name]) => name === "content-length")?.[1];
    return {
      status,
      headers,
      contentLength: told === undefined ? null : Number(told),
      body: bodyless ? null : bytes instanceof Uint8Array ? new ManualBody().push(bytes).end() : bytes,
      timing: { connectMs: 0, headMs: 0, reused: true },
      from: "http://origin.test",
    };
  }

  states() {
    return [];
  }

  close() {}

  /** The value of a field of the request of that number, from 1 on. */
  field(number: number, name: string): string | null {
    return this.requests[number - 1]!.fields.find(([known]) => known === name)?.[1] ?? null;
  }
}

/** An edge and what it stands between. */
export interface World extends AsyncDisposable {
  edge: Edge;
  cache: Cache;
  origins: ScriptedOrigins;
  /** The time; tests move it. */
  clock: { nowMs: number };
  get(target: string, fields?: HeaderLine[]): Promise<Got>;
}

/** An edge before an origin that answers by `reply`. */
export function world(reply: ScriptedOrigins["reply"], options: Partial<EdgeOptions> = {}): World {
  const clock = { nowMs: START };
  const origins = new ScriptedOrigins(reply);
  const cache = options.cache ?? createMemoryCache({ memoryBytes: 64 << 20 });
  const edge = new Edge({
    cache,
    origins,
    signature: { name: "edge", pseudonym: "edge" },
    loopGuard: loopGuard("edge"),
    rules: { heuristicShare: 0.1, heuristicMostMs: 86_400_000, staleOnErrorMs: 0 },
    limits: defaultEdgeLimits,
    now: () => clock.nowMs,
    log: silentLogger,
    ...options,
  });
  return {
    edge,
    cache,
    origins,
    clock,
    get: async (target, fields = []) => await got(await edge.answer(asking(target, { fields }))),
    [Symbol.asyncDispose]: () => cache.close(),
  };
}

/** A request. */
export function asking(target: string, options: Partial<Asked> = {}): Asked {
  return {
    method: "GET",
    target,
    authority: "www.test",
    fields: [],
    body: null,
    bodyLength: null,
    client: "192.0.2.1",
    signal: NEVER,
    ...options,
  };
}

/** An answer that was read to its end. */
export interface Got {
  status: number;
  /** Lines of one name are joined. */
  headers: Headers;
  text: string;
}

/** Reads an answer to its end. */
export async function got({ status, headers, body }: Answered): Promise<Got> {
  return { status, headers: new Headers(headers as HeaderLine[]), text: await textOf(body) };
}

/** Reads a body to its end, by pieces of `size` bytes. */
export async function textOf(body: Answered["body"], size = 65_536): Promise<string> {
  if (body === null) return "";
  if (typeof body === "string") return body;
  if (body instanceof Uint8Array) return asText(body);
  let text = "";
  const into = new Uint8Array(size);
  for (let count = await body.read(into); count !== null; count = await body.read(into)) {
    text += asText(into.subarray(0, count));
  }
  return text;
}

/** `length` bytes whose every place tells where it is. */
export function pattern(length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, at) => (at * 31 + (at >> 8) * 7 + (at >> 16)) & 255);
}

/** The same as text, one character a byte. */
export const asText = latin1Text;

/** An origin that keeps one object, and answers ranges and conditions on it as it should. */
export function objectOrigin(
  state: { content: Uint8Array; etag: string; fields?: HeaderLine[] },
): ScriptedOrigins["reply"] {
  return ({ fields }) => {
    const field = (name: string) => fields.find(([known]) => known === name)?.[1];
    const { content, etag } = state;
    const lines: HeaderLine[] = [["etag", etag], ["cache-control", "max-age=60"], ...state.fields ?? []];
    if (field("if-none-match")?.includes(etag)) return { status: 304, fields: lines };
    const range = /^bytes=(\d*)-(\d*)$/.exec(field("range") ?? "");
    const condition = field("if-range");
    if (!range || (condition !== undefined && condition !== etag)) return { fields: lines, body: content };
    const suffix = range[1] === "";
    const start = suffix ? Math.max(0, content.length - Number(range[2])) : Number(range[1]);
    const end = suffix || range[2] === "" ? content.length : Math.min(Number(range[2]) + 1, content.length);
    if (start >= end) return { status: 416, fields: [["content-range", `bytes */${content.length}`]] };
    return {
      status: 206,
      fields: [...lines, ["content-range", `bytes ${start}-${end - 1}/${content.length}`]],
      body: content.subarray(start, end),
    };
  };
}
