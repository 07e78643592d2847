/** One attempt at one server, and the bookkeeping that becomes its {@link Observation}. */
import type { ForwardContext, ForwardRequest, Observation, Upstream } from "./forwarding.ts";
import { fieldOf } from "../runtime/http1/lines.ts";
import { UpstreamError, type UpstreamResponse } from "../runtime/http1/transport.ts";

/** A viewer is what a body waited for where it took at least this share of the time. */
const VIEWER_SHARE = 0.5;

/** Sends, counts, and reports once. */
export class Attempt {
  readonly #context: ForwardContext;
  #response: UpstreamResponse | null = null;
  #headAt = 0;
  #bytes = 0;
  #serverMs = 0;
  #ended = false;

  constructor(readonly server: Upstream, context: ForwardContext) {
    this.#context = context;
  }

  /** Body bytes so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @throws {UpstreamError} which has been reported then */
  async send(
    request: Pick<ForwardRequest, "method" | "target" | "headers" | "body" | "bodyLength" | "signal">,
  ): Promise<UpstreamResponse> {
    const { transport, headTimeoutMs, idleTimeoutMs } = this.#context;
    const { method, target, headers, body, bodyLength, signal } = request;
    try {
      this.#response = await transport.send({
        origin: this.server.origin,
        method,
        target,
        headers,
        body,
        bodyLength,
        signal,
        headTimeoutMs,
        idleTimeoutMs,
      });
    } catch (cause) {
      this.end(outcomeOf(cause));
      throw cause;
    }
    this.#headAt = performance.now();
    return this.#response;
  }

  /** Bytes came, after so many milliseconds of waiting for the server. */
  received(bytes: number, serverMs = 0): void {
    this.#bytes += bytes;
    this.#serverMs += serverMs;
  }

  /** Reports it, the first time. */
  end(outcome: Observation["outcome"]): void {
    if (this.#ended) return;
    this.#ended = true;
    const response = this.#response;
    const bodyMs = response && this.#bytes > 0 ? performance.now() - this.#headAt : 0;
    this.#context.observe({
      serverId: this.server.id,
      atMs: this.#context.now(),
      outcome,
      status: response?.status ?? null,
      connectMs: response && !response.timing.reused ? response.timing.connectMs : null,
      headMs: response ? response.timing.headMs - response.timing.connectMs : null,
      bytes: this.#bytes,
      bodyMs,
      viewerBound: bodyMs - this.#serverMs > bodyMs * VIEWER_SHARE,
      size: response && sizeOf(response),
    });
  }
}

/**
 * What to report for an error of the transport. Any other error is the request's fault or ours, and counts against no
 * server: a viewer could else take servers off for everybody.
 */
export function outcomeOf(cause: unknown): Observation["outcome"] {
  if (!(cause instanceof UpstreamError)) return "viewer-left";
  return ({ connect: "connect-failed", timeout: "timeout", broken: "broken", aborted: "viewer-left" } as const)[
    cause.kind
  ];
}

/** The whole representation's size. */
function sizeOf({ status, headers, contentLength }: UpstreamResponse): number | null {
  if (status === 200) return contentLength;
  if (status !== 206) return null;
  const range = fieldOf(headers, "content-range");
  const total = /^bytes \d+-\d+\/(\d{1,15})$/.exec(range ?? "")?.[1];
  return total === undefined ? null : Number(total);
}
