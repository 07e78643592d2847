/** One origin: the requests to it, its places and its health, and the probes while it is out. */
import type { LogFields, Logger } from "../../../runtime/log.ts";
import {
  type StopSignal,
  type Transport,
  UpstreamError,
  type UpstreamResponse,
} from "../../../runtime/http1/transport.ts";
import { words } from "../../../runtime/words.ts";
import type { Schedule } from "../../cluster/wake.ts";
import { CountedBody } from "../counted_body.ts";
import { Health } from "./health.ts";
import type { OriginRequest, OriginResponse, OriginState } from "./origins.ts";
import { type Leave, type NoPlace, Places } from "./places.ts";
import type { OriginSettings } from "./settings.ts";
import { type BodyEnd, WatchedBody } from "./watched_body.ts";

/** What an origin is given. */
export interface OriginParts {
  transport: Transport;
  settings: Readonly<OriginSettings>;
  /** In milliseconds. */
  now: () => number;
  random: () => number;
  schedule: Schedule;
  log: Logger;
  /** There is no other to ask: then only what says that nobody would be answered by it takes it out. */
  alone: boolean;
}

/** Answers after which another origin may do better. */
export function isFailure(status: number): boolean {
  return status === 500 || isSick(status);
}

/**
 * Answers that speak of the server (RFC 9110 §15.6.3 to §15.6.5); a 500 may speak of one request alone, which anybody can
 * send again and again.
 */
export function isSick(status: number): boolean {
  return status === 502 || status === 503 || status === 504;
}

/** One of several that serve the same content. */
export class Origin {
  readonly #parts: OriginParts;
  readonly #health: Health;
  readonly #places: Places;
  readonly #closing = new AbortController();
  #callOffProbe = () => {};
  #requests = 0;
  #failures = 0;
  #bytes = 0;

  constructor(readonly url: string, parts: OriginParts) {
    const { settings, random, schedule } = parts;
    this.#parts = parts;
    this.#health = new Health(settings, random);
    this.#places = new Places({ most: settings.maxActive, mostWaiting: settings.maxWaiting, schedule });
  }

  get healthy(): boolean {
    return this.#health.healthy;
  }

  /** When it is to be probed; null where it is healthy. */
  get probeAtMs(): number | null {
    return this.#health.probeAtMs;
  }

  get state(): OriginState {
    return {
      url: this.url,
      healthy: this.#health.healthy,
      active: this.#places.active,
      waiting: this.#places.waiting,
      reason: this.#health.reason,
      requests: this.#requests,
      failures: this.#failures,
      bytes: this.#bytes,
    };
  }

  /** A place, if one is free: fewer of them while it is out. */
  tryEnter(): Leave | null {
    return this.#places.tryEnter(this.healthy ? undefined : this.#parts.settings.maxTrials);
  }

  /** A place, after at most `ms` of waiting; who waits is dismissed when it goes out. */
  enter(signal: StopSignal, ms: number): Promise<Leave | NoPlace> {
    return this.#places.enter(signal, ms);
  }

  /**
   * Sends it a request. The place is left when the answer's body has ended, or there is none.
   * @throws {UpstreamError} where no answer came
   * @throws {TypeError} where the request is none that can be sent
   */
  async ask(
    { method, target, fields, body, bodyLength, signal }: OriginRequest,
    leave: Leave,
  ): Promise<OriginResponse> {
    const { transport, settings: { headTimeoutMs, idleTimeoutMs } } = this.#parts;
    this.#requests++;
    let response: UpstreamResponse;
    try {
      response = await transport.send({
        origin: this.url,
        method,
        target,
        headers: fields,
        body,
        bodyLength,
        signal,
        headTimeoutMs,
        idleTimeoutMs,
      });
    } catch (cause) {
      this.#blame(cause, { method, target }); // first, so that nobody who waits gets the place at one that goes out
      leave();
      throw cause;
    }
    const { status, headers, contentLength, timing } = response;
    if (isFailure(status)) this.#failures++;
    if (isSick(status) && !this.#parts.alone) this.#failed(`it answered ${status}`);
    else if (status < 500 && this.#health.answered()) this.#isBack();

    const ended = (end: BodyEnd) => {
      if (end.kind === "broken") this.#blame(end.cause, { method, target });
      else if (end.kind === "whole" && status < 500) this.#health.succeeded();
      leave();
    };
    const counted = response.body && new CountedBody(response.body, (count) => void (this.#bytes += count));
    const watched = counted && new WatchedBody(counted, signal, ended);
    if (!watched) ended({ kind: "whole" });
    return { status, headers, contentLength, timing, body: watched, from: this.url };
  }

  /** Ends the probes, and dismisses who waits. */
  close(): void {
    this.#callOffProbe();
    this.#closing.abort();
    this.#places.close();
  }

  /** Counts an error against it, unless it is the request's own or that of whoever sent it. */
  #blame(cause: unknown, request: LogFields): void {
    if (!(cause instanceof UpstreamError) || cause.kind === "aborted") return;
    this.#failures++;
    this.#parts.log.debug("an origin failed", { origin: this.url, ...request, reason: cause.message });
    // A broken answer, like a 503, may be to one request alone, which anybody can send again and again.
    if (!this.#parts.alone || cause.kind === "connect" || cause.kind === "timeout") this.#failed(cause.message);
  }

  #failed(why: string): void {
    const { log, now } = this.#parts;
    if (this.#closing.signal.aborted || !this.#health.failed(why, now())) return;
    log.warn("an origin is out", { origin: this.url, reason: why });
    this.#planProbe();
    this.#places.dismiss(); // to look for another
  }

  #isBack(): void {
    this.#callOffProbe();
    this.#parts.log.info("an origin is back", { origin: this.url });
  }

  #planProbe(): void {
    const { schedule, now } = this.#parts;
    this.#callOffProbe();
    this.#callOffProbe = schedule(() => void this.#probe(), Math.max(0, this.#health.probeAtMs! - now()));
  }

  /** Never rejects. */
  async #probe(): Promise<void> {
    const { signal } = this.#closing;
    const why = await this.#deadBecause(signal);
    if (signal.aborted || this.healthy) return; // closed, or a request was faster
    if (why === "") {
      this.#health.answered();
      this.#isBack();
    } else {
      this.#health.probeFailed(why, this.#parts.now());
      this.#planProbe();
    }
  }

  /** Why a probe takes it for dead; empty where it is alive. */
  async #deadBecause(signal: AbortSignal): Promise<string> {
    const { transport, settings: { probeTarget, probeTimeoutMs } } = this.#parts;
    try {
      const { status, body } = await transport.send({
        origin: this.url,
        method: "GET",
        target: probeTarget,
        headers: PROBE_FIELDS,
        body: null,
        bodyLength: null,
        signal,
        headTimeoutMs: probeTimeoutMs,
      });
      body?.cancel();
      return status < 500 ? "" : `it answered a probe with ${status}`;
    } catch (cause) {
      return words(cause);
    }
  }
}

const PROBE_FIELDS = Object.freeze([["user-agent", "metacdn"], ["accept", "*/*"]] as [string, string][]);
