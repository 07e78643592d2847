/**
 * A body that outlives its server. Where the connection breaks or the server pauses for too long, the rest is
 * fetched by Range (RFC 9110 §14) from another server that holds the same bytes: the one with the same strong
 * entity tag. The viewer reads one unbroken stream, or one that errors; never a mixture, never a short one.
 */
import { Attempt, outcomeOf } from "./attempt.ts";
import type { BodySource } from "../runtime/http1/body_source.ts";
import type { ForwardContext, ForwardRequest, Upstream } from "./forwarding.ts";
import { fieldOf } from "../runtime/http1/lines.ts";
import { CONDITIONS } from "../runtime/http1/pass_on.ts";
import { type HeaderLine, UpstreamError, type UpstreamResponse } from "../runtime/http1/transport.ts";

/** What must be known of a body to go on with it elsewhere. */
export interface Resumption {
  /** The strong entity tag of the representation. */
  etag: string;
  /** Place of the body's first byte in the representation. */
  first: number;
  /** Place of its last byte. */
  last: number;
  /** The representation's size; null where the server did not tell it. */
  total: number | null;
}

/** Most servers asked for the rest of one body, counted as a multiple of those that there are. */
const ROUNDS = 3;

/** How to go on with an answer's body; null where nobody could say that other bytes belong to it. */
export function resumptionOf({ status, headers, contentLength }: UpstreamResponse): Resumption | null {
  const etag = fieldOf(headers, "etag");
  if (!etag || !/^"[\x21\x23-\x7e\x80-\xff]*"$/.test(etag) || contentLength === null) return null;
  if (status === 200) return { etag, first: 0, last: contentLength - 1, total: contentLength };
  if (status !== 206) return null;
  const range = contentRange(headers);
  if (!range || range.last - range.first + 1 !== contentLength) return null;
  return { etag, ...range };
}

/** What a body must know to go on elsewhere. */
export interface ResumableOptions {
  /** Whose answer it is. */
  attempt: Attempt;
  /** The body's, where it is known. */
  length: number | null;
  request: ForwardRequest;
  resumption: Resumption | null;
  candidates: readonly Upstream[];
  context: ForwardContext;
}

/**
 * The body that the viewer reads. It reads a server only when the viewer asks, so the viewer's pauses are
 * never taken for the server's.
 */
export class ResumableBody implements BodySource {
  readonly #options: ResumableOptions;
  readonly #end: number;
  #attempt: Attempt;
  #source: BodySource;
  /** Place of the next byte in the representation. */
  #next: number;
  /** How many servers may still be asked. */
  #left: number;
  #queue: Upstream[] | null = null;
  #done = false;

  constructor(source: BodySource, options: ResumableOptions) {
    this.#options = options;
    this.#source = source;
    this.#attempt = options.attempt;
    this.#next = options.resumption?.first ?? 0;
    this.#end = this.#next + (options.length ?? Infinity);
    this.#left = options.candidates.length * ROUNDS;
  }

  get done(): boolean {
    return this.#done;
  }

  get held(): number {
    return this.#done ? 0 : this.#source.held;
  }

  get ready(): boolean {
    return !this.#done && this.#source.ready;
  }

  take(into: Uint8Array<ArrayBuffer>): number {
    if (this.#done) return 0;
    const room = this.#end - this.#next;
    const count = this.#source.take(room < into.length ? into.subarray(0, room) : into);
    this.#attempt.received(count);
    this.#next += count;
    if (this.#next === this.#end || (this.#source.done && this.#end === Infinity)) this.#finish();
    return count;
  }

  async read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    if (this.#done) return null;
    const { length, resumption } = this.#options;
    while (true) {
      const asked = performance.now();
      try {
        const count = await this.#source.read(into);
        this.#attempt.received(count ?? 0, performance.now() - asked);
        const next = this.#next + (count ?? 0);
        const over = count === null || this.#source.done;
        if (next > this.#end || (over && length !== null && next < this.#end)) {
          // What was read now is not handed out: the rest begins before it.
          throw new UpstreamError("The body is not as long as it should be", "broken", false);
        }
        this.#next = next;
        if (over || this.#next === this.#end) this.#finish();
        return count;
      } catch (cause) {
        this.#attempt.received(0, performance.now() - asked);
        this.#attempt.end(outcomeOf(cause));
        const gone = cause instanceof UpstreamError && cause.kind === "aborted";
        if (!resumption || gone || this.#done) throw cause;
        await this.#resume(resumption, cause);
      }
    }
  }

  cancel(): void {
    if (this.#done) return;
    this.#done = true;
    this.#attempt.end("viewer-left");
    this.#source.cancel();
  }

  #finish(): void {
    this.#done = true;
    this.#attempt.end("ok");
    this.#source.cancel();
  }

  /** Finds a server that goes on; throws the first failure where there is none. */
  async #resume(plan: Resumption, cause: unknown): Promise<void> {
    const { candidates, request, context } = this.#options;
    // Those after it in order of merit, then those before it, which failed once, and last the one that just failed.
    const queue = this.#queue ??= after(candidates, this.#attempt.server);
    const tried = new Set<Upstream>();
    while (this.#left > 0 && queue.length > 0 && !request.signal.aborted && !this.#done) {
      const server: Upstream = queue.shift()!;
      if (tried.has(server)) break;
      tried.add(server);
      this.#left--;
      const attempt = new Attempt(server, context);
      const verdict = await fetchRest(attempt, request, plan, this.#next);
      if (typeof verdict === "object") {
        this.#attempt = attempt;
        this.#source = verdict;
        queue.push(server);
        if (!this.#done) return;
        attempt.end("viewer-left");
        verdict.cancel();
        break;
      }
      if (verdict === "failed") queue.push(server); // "different": it holds another version, and is not asked again.
    }
    throw cause;
  }
}

/** The rest from one server: its body, or why it cannot be had there. */
async function fetchRest(
  attempt: Attempt,
  request: ForwardRequest,
  { etag, last, total }: Resumption,
  next: number,
): Promise<BodySource | "failed" | "different"> {
  const headers: HeaderLine[] = [
    ...request.headers.filter(([name]) => !CONDITIONS.has(name)),
    ["range", `bytes=${next}-${last}`],
    ["if-match", etag],
  ];
  let response: UpstreamResponse;
  try {
    response = await attempt.send({ ...request, method: "GET", headers, body: null, bodyLength: null });
  } catch {
    return "failed";
  }
  const range = contentRange(response.headers);
  const fits = response.status === 206 && fieldOf(response.headers, "etag") === etag && range !== null &&
    range.first === next && range.last === last && (total === null || range.total === null || range.total === total) &&
    (response.contentLength === null || response.contentLength === last - next + 1);
  if (fits && response.body) return response.body;
  response.body?.cancel();
  const missing = response.status >= 400 && response.status !== 412 && response.status !== 416;
  attempt.end(response.status >= 500 ? "server-error" : "ok");
  return missing ? "failed" : "different";
}

function after(candidates: readonly Upstream[], server: Upstream): Upstream[] {
  const at = candidates.indexOf(server);
  return [...candidates.slice(at + 1), ...candidates.slice(0, at + 1)];
}

/** A Content-Range of one part (RFC 9110 §14.4). */
function contentRange(headers: readonly HeaderLine[]): { first: number; last: number; total: number | null } | null {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(?:(\d{1,15})|\*)$/.exec(fieldOf(headers, "content-range") ?? "");
  if (!match) return null;
  const [first, last, total] = [Number(match[1]), Number(match[2]), match[3] === undefined ? null : Number(match[3])];
  return first <= last && (total === null || last < total) ? { first, last, total } : null;
}
