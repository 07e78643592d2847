/** How our programs call each other: messages in the chosen encoding, signed with the cluster key and a server's own. */
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import {
  CdnError,
  type Codec,
  codecForBody,
  type ErrorSource,
  jsonCodec,
  normalAuthority,
  splitTarget,
} from "../proto/mod.ts";
import { readAll } from "./body.ts";
import { randomNonce, type ServerIdentity, signRequest } from "./signature.ts";
import { words } from "./words.ts";

/** Past so many, all are introduced to once more. */
const MOST_ACQUAINTED = 10_000;

/** A request to one of our own programs. */
export interface PeerRequest {
  method?: string;
  /** Absolute. */
  url: string;
  headers?: Record<string, string>;
  /** A message to send: `[schema, message]` as {@link PeerClient.ask} takes it, already encoded. */
  body?: Uint8Array<ArrayBuffer>;
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** What a {@link PeerClient} needs; each has a default. */
export interface PeerClientOptions {
  clusterKey?: Uint8Array | null;
  /** The server that calls; what is read from it is read anew for each request. */
  identity?: ServerIdentity | null;
  /** METACDN_TOKEN, for programs that call with the operator's rights. */
  token?: string | null;
  codec?: Codec;
  fetch?: typeof fetch;
  now?: () => number;
  nonce?: () => string;
  /** Who is to blame when the other side fails. */
  source?: ErrorSource;
}

/** Calls peers. Every failure is a {@link CdnError} that says which URL, and whether to try again. */
export class PeerClient {
  readonly #options: Required<PeerClientOptions>;
  /** Authorities that took a request of ours in this process: they know our key. */
  readonly #acquainted = new Set<string>();

  constructor(options: PeerClientOptions = {}) {
    this.#options = {
      clusterKey: null,
      identity: null,
      token: null,
      codec: jsonCodec,
      fetch: globalThis.fetch,
      now: Date.now,
      nonce: randomNonce,
      source: "peer",
      ...options,
    };
  }

  /**
   * Sends a request as it is, signed. The answer's body must be read or cancelled by the caller.
   * Until a peer has taken one, requests of a server bring its key along; a peer that has forgotten it (401) is asked
   * once more, with the key.
   * @throws {CdnError} with `retry` where the peer could not be reached or answered 408, 429 or 5xx.
   */
  async send(request: PeerRequest): Promise<Response> {
    const authority = normalAuthority(splitTarget(request.url));
    const isKnown = this.#options.identity !== null && this.#acquainted.has(authority);
    let response = await this.#fetch(request, !isKnown);
    if (response.status === 401) this.#acquainted.delete(authority);
    if (response.status === 401 && isKnown) {
      await response.body?.cancel();
      response = await this.#fetch(request, true);
    }
    if (response.status < 400) {
      if (this.#options.identity) this.#remember(authority);
      return response;
    }
    const { now, source } = this.#options;
    const detail = await problemDetail(response);
    const retryAfterSeconds = parseRetryAfter(response.headers.get("retry-after"), now());
    throw new CdnError(`${new URL(request.url).host} answered ${response.status}${detail ? `: ${detail}` : ""}`, {
      source,
      status: response.status,
      retry: response.status >= 500 || response.status === 408 || response.status === 429,
      ...(retryAfterSeconds === null ? {} : { retryAfterSeconds }),
    });
  }

  async #fetch(
    { method = "GET", url, headers = {}, body, timeoutMs = 15_000, signal }: PeerRequest,
    introduce: boolean,
  ): Promise<Response> {
    const { clusterKey, identity, token, fetch, now, nonce, source } = this.#options;
    const signed = clusterKey || identity
      ? signRequest({ method, url, body: body ?? null }, {
        key: clusterKey,
        identity,
        introduce,
        nowMs: now(),
        nonce: nonce(),
      })
      : {};
    const auth: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {};
    // The time is for the head of the answer; a body may take as long as it flows.
    const gone = new AbortController();
    const timer = setTimeout(() => gone.abort(new DOMException("no answer in time", "TimeoutError")), timeoutMs);
    const signals = signal ? AbortSignal.any([signal, gone.signal]) : gone.signal;
    try {
      return await fetch(url, {
        method,
        headers: { "accept-encoding": "identity", ...auth, ...headers, ...signed },
        ...(body ? { body } : {}),
        signal: signals,
        redirect: "error",
      });
    } catch (cause) {
      // What Deno does not let us do, it will not let us do the next time either.
      const retry = !(cause instanceof Deno.errors.NotCapable);
      throw new CdnError(`Cannot reach ${url}: ${words(cause)}`, { source, status: 502, retry, cause });
    } finally {
      clearTimeout(timer);
    }
  }

  #remember(authority: string): void {
    if (this.#acquainted.size >= MOST_ACQUAINTED) this.#acquainted.clear();
    this.#acquainted.add(authority);
  }

  /** Sends a message (or none) and reads the answer as another. */
  async ask<Answer extends DescMessage, Question extends DescMessage = DescMessage>(
    url: string,
    answer: Answer,
    { method, question, timeoutMs = 15_000, signal, limit = 16 << 20 }: {
      method?: string;
      question?: [Question, MessageShape<Question>];
      timeoutMs?: number;
      signal?: AbortSignal;
      limit?: number;
    } = {},
  ): Promise<MessageShape<Answer>> {
    const { codec, source } = this.#options;
    const response = await this.send({
      method: method ?? (question ? "POST" : "GET"),
      url,
      headers: { accept: codec.mediaType, ...(question ? { "content-type": codec.mediaType } : {}) },
      ...(question ? { body: codec.encode(question[0], question[1]) } : {}),
      timeoutMs,
      ...(signal ? { signal } : {}),
    });
    try {
      const bytes = await readAll(response, { limit, idleMs: timeoutMs });
      return codecForBody(response.headers.get("content-type")).decode(answer, bytes, { lenient: true });
    } catch (cause) {
      const retry = cause instanceof CdnError && cause.retry; // it broke off: the next may be whole
      throw new CdnError(`Cannot understand the answer of ${url}: ${words(cause)}`, {
        source,
        status: 502,
        retry,
        cause,
      });
    }
  }
}

/** Retry-After (RFC 9110 §10.2.3), a number or a date, in seconds from now; null where absent or malformed. */
export function parseRetryAfter(field: string | null, nowMs: number): number | null {
  if (field === null) return null;
  if (/^\d{1,9}$/.test(field)) return Number(field);
  const at = /^[A-Z][a-z]{2}, /.test(field) ? Date.parse(field) : NaN;
  return Number.isNaN(at) ? null : Math.max(0, Math.ceil((at - nowMs) / 1000));
}

async function problemDetail(response: Response): Promise<string> {
  try {
    const bytes = await readAll(response, { limit: 64 << 10, idleMs: 5000 });
    const detail = (JSON.parse(new TextDecoder().decode(bytes)) as { detail?: unknown }).detail;
    return typeof detail === "string" ? detail.slice(0, 500) : "";
  } catch {
    return "";
  }
}
