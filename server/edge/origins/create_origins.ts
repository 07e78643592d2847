/** The origins behind their contract: which of them is asked, and when the next one is. */
import { CdnError } from "../../../proto/mod.ts";
import { createRawTransport } from "../../../runtime/http1/raw_transport.ts";
import { type Transport, UpstreamError } from "../../../runtime/http1/transport.ts";
import type { Live } from "../../../runtime/live.ts";
import { type Logger, silentLogger } from "../../../runtime/log.ts";
import { byTimer, type Schedule } from "../../cluster/wake.ts";
import { isFailure, Origin } from "./origin.ts";
import { parseOriginUrl } from "./origin_url.ts";
import type { OriginRequest, OriginResponse, Origins } from "./origins.ts";
import type { Leave } from "./places.ts";
import { type OriginSettings, originSettings } from "./settings.ts";

/** What {@link createOrigins} takes; all but `urls` has a default. */
export interface OriginsOptions {
  /** Base URLs, the preferred one first. */
  urls: readonly string[];
  /** CAs (PEM) that are believed beside the public ones (`openTlsClient` reads them from a file); null: none. */
  ca?: Live<readonly string[]> | null;
  settings?: Partial<OriginSettings>;
  /** Stays its owner's to close. By default one of our own, with the times of `settings`. */
  transport?: Transport;
  /** In milliseconds. */
  now?: () => number;
  random?: () => number;
  schedule?: Schedule;
  log?: Logger;
}

/**
 * Origins that serve the same content. Each request goes to the first healthy one; see the README for when the next
 * is asked.
 * @throws {TypeError} without an origin
 * @throws {Error} for a URL that is none of an origin
 * @throws {RangeError} for a setting that makes no sense
 */
export function createOrigins({
  urls,
  ca = null,
  settings: given,
  transport,
  now = Date.now,
  random = Math.random,
  schedule = byTimer,
  log = silentLogger,
}: OriginsOptions): Origins {
  const settings = originSettings(given);
  const names = new Set(urls.map(parseOriginUrl));
  if (names.size === 0) throw new TypeError("There must be an origin");
  const own = transport ? null : ownTransport(ca, settings);
  const parts = { transport: transport ?? own!, settings, now, random, schedule, log, alone: names.size === 1 };
  const origins = [...names].map((url) => new Origin(url, parts));
  return {
    send: (request) => new Search(origins, request, settings, now).run(),
    states: () => origins.map(({ state }) => state),
    close() {
      for (const origin of origins) origin.close();
      own?.close();
    },
  };
}

/** The operator names the origins: one that he gives as http:// is asked in the clear, whatever CAs he gives for others. */
function ownTransport(ca: Live<readonly string[]> | null, settings: OriginSettings): Transport {
  const { connectTimeoutMs, headTimeoutMs, idleTimeoutMs, maxActive } = settings;
  const connect = (to: { hostname: string; port: number }) => Deno.connect(to);
  return createRawTransport({ ca, connectTimeoutMs, headTimeoutMs, idleTimeoutMs, poolSize: maxActive, connect });
}

/** May be sent again where it is not known whether the first was acted on (RFC 9110 §9.2.2). */
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);

/** The way of one request from origin to origin. */
class Search {
  readonly #origins: readonly Origin[];
  readonly #request: OriginRequest;
  readonly #settings: Readonly<OriginSettings>;
  readonly #now: () => number;
  readonly #waitUntilMs: number;
  readonly #asked = new Set<Origin>();
  /** The first answer that told of a failure, its body unread: passed on if nobody does better. */
  #answer: OriginResponse | null = null;
  /** The first error. */
  #error: UpstreamError | null = null;

  constructor(origins: readonly Origin[], request: OriginRequest, settings: OriginSettings, now: () => number) {
    this.#origins = origins;
    this.#request = request;
    this.#settings = settings;
    this.#now = now;
    this.#waitUntilMs = now() + settings.maxWaitMs;
  }

  /** @throws {CdnError} as {@link Origins.send} */
  async run(): Promise<OriginResponse> {
    while (this.#asked.size < this.#settings.maxAttempts) {
      const next = await this.#next();
      if (!next) break;
      this.#asked.add(next.origin);
      let response: OriginResponse;
      try {
        response = await next.origin.ask(this.#request, next.leave);
      } catch (cause) {
        this.#keep(cause);
        if (this.#mayGoOnAfter(this.#error!)) continue;
        break;
      }
      if (!isFailure(response.status) || !this.#repeatable) {
        this.#answer?.body?.cancel();
        return response;
      }
      if (this.#answer) response.body?.cancel();
      else this.#answer = response;
    }
    if (this.#answer) return this.#answer;
    throw this.#error ? failure(this.#error) : this.#busy();
  }

  /** A body goes to one origin alone, once it was begun; without one, what is idempotent goes to several. */
  get #repeatable(): boolean {
    return this.#request.body === null && IDEMPOTENT.has(this.#request.method);
  }

  #mayGoOnAfter(error: UpstreamError): boolean {
    return this.#repeatable || (error.kind === "connect" && !error.bodyTouched); // then nothing was sent
  }

  /** Keeps an origin's error. @throws {CdnError} for one that is no origin's */
  #keep(cause: unknown): void {
    if (cause instanceof UpstreamError && cause.kind !== "aborted") {
      this.#error ??= cause;
      return;
    }
    this.#answer?.body?.cancel();
    // The transport takes no target, method or field that could change the message.
    if (cause instanceof UpstreamError || cause instanceof TypeError) {
      throw new CdnError(`Cannot ask the origin: ${cause.message}`, { source: "client", cause });
    }
    throw cause;
  }

  /**
   * The origin to ask now, and a place at it: the first healthy one that has a place, else the first, after waiting.
   * Where none is healthy and nobody has answered, one that is out. Null where there is none.
   */
  async #next(): Promise<{ origin: Origin; leave: Leave } | null> {
    const { signal } = this.#request;
    while (true) {
      const others = this.#origins.filter((origin) => !this.#asked.has(origin));
      const healthy = others.filter((origin) => origin.healthy);
      for (const origin of healthy.length > 0 || this.#answer ? healthy : others) {
        const leave = origin.tryEnter();
        if (leave) return { origin, leave };
      }
      const [origin] = healthy;
      // Who has an answer, if a bad one, has no need to wait.
      if (!origin || this.#answer) return null;
      const entered = await origin.enter(signal, this.#waitUntilMs - this.#now());
      if (typeof entered === "function") return { origin, leave: entered };
      if (entered === "aborted") this.#keep(new UpstreamError("The request was aborted", "aborted", false));
      if (entered !== "dismissed") return null;
    }
  }

  #busy(): CdnError {
    const probes = this.#origins.flatMap(({ probeAtMs }) => probeAtMs === null ? [] : [probeAtMs - this.#now()]);
    const allOut = probes.length === this.#origins.length;
    const waitMs = allOut ? Math.min(...probes) : this.#settings.maxWaitMs;
    return new CdnError(
      allOut
        ? "Cannot ask the origin: it has failed again and again, and enough requests try whether it is back"
        : "Cannot ask the origin: too many requests wait for it",
      { source: "origin", status: 503, retry: true, retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1000)) },
    );
  }
}

/** Names no origin: viewers read it, and the log has the rest. */
function failure(cause: UpstreamError): CdnError {
  const late = cause.kind === "timeout";
  const what = late
    ? "no answer came in time"
    : cause.kind === "connect"
    ? "it cannot be reached"
    : "its answer is broken";
  return new CdnError(`Cannot ask the origin: ${what}`, {
    source: "origin",
    status: late ? 504 : 502,
    retry: true,
    cause,
  });
}
