/**
 * Before the origin, an edge asks the member that owns the key: so an object crosses from the origin to the edges once,
 * and not once for each. A sibling that fails costs its answer's time once, and then nothing.
 */
import type { wire } from "../../../proto/mod.ts";
import { createRawTransport } from "../../../runtime/http1/raw_transport.ts";
import { fieldOf } from "../../../runtime/http1/lines.ts";
import type { Live } from "../../../runtime/live.ts";
import type { Logger } from "../../../runtime/log.ts";
import type { HeaderLine, Transport, UpstreamResponse } from "../../../runtime/http1/transport.ts";
import { UpstreamError } from "../../../runtime/http1/transport.ts";
import type { Backoff } from "../../cluster/settings.ts";
import { CountedBody } from "../counted_body.ts";
import { isSick } from "../origins/origin.ts";
import type { OriginRequest, OriginResponse, Origins } from "../origins/origins.ts";
import { isNoStore } from "../rules/mod.ts";
import { Circuits } from "./circuit.ts";
import { ownerOf } from "./rendezvous.ts";
import { ResumedBody } from "./resumed_body.ts";

/**
 * The field that marks a sibling's request: who has it asks no further sibling. Its value is the purge stamp of the
 * sibling (`Purges.stamp`), which the edge hands to `Purges.waitingFor` before it looks into its cache. It goes to no
 * origin. A client that forges it skips the siblings, and no more.
 */
export const SIBLING_FIELD = "metacdn-sibling";

/** An edge that may own keys. */
export interface Sibling {
  readonly id: string;
  readonly url: string;
}

/** Times in milliseconds. */
export interface SiblingSettings {
  /** How long it may take to the head of its answer; it may have to ask the origin first. */
  headTimeoutMs: number;
  /** How long its body may pause. */
  idleTimeoutMs: number;
  /** How long one that failed is not asked. */
  backoff: Backoff;
}

/** What an edge uses unless it is told otherwise. */
export const siblingDefaults: SiblingSettings = {
  headTimeoutMs: 5_000,
  idleTimeoutMs: 5_000,
  backoff: { leastMs: 1_000, mostMs: 60_000 },
};

/** What {@link withSiblings} works with. */
export interface SiblingsOptions {
  /** Our own id. */
  self: string;
  /** The edges that live now, ourselves among them (`liveEdges`). */
  edges: () => readonly Sibling[];
  /** Closed with it ({@link siblingTransport}). */
  transport: Transport;
  /** The stamp that goes along (`Purges.stamp`). */
  stamp: () => string;
  settings?: Partial<SiblingSettings>;
  now: () => number;
  random: () => number;
  log: Logger;
}

/** What siblings have done for an edge since its start. */
export interface SiblingFigures {
  /** Requests that they were sent, and those of them that they could not answer, so that the origin was asked. */
  requests: number;
  failures: number;
  /** Bytes of the bodies that they sent. */
  bytes: number;
}

/** The origins, with the siblings before them. */
export function withSiblings(
  origins: Origins,
  options: SiblingsOptions,
): Origins & { readonly figures: Readonly<SiblingFigures> } {
  const siblings = new Siblings(origins, options);
  return {
    figures: siblings.figures,
    send: (request) => siblings.send(request),
    states: () => origins.states(),
    close() {
      options.transport.close();
      origins.close();
    },
  };
}

/** The origins alone: no field for siblings reaches them. */
export function withoutSiblings(origins: Origins): Origins {
  return {
    send: (request) => origins.send(forOrigin(request)),
    states: () => origins.states(),
    close: () => origins.close(),
  };
}

function forOrigin(request: OriginRequest): OriginRequest {
  if (!request.fields.some(([name]) => name === SIBLING_FIELD)) return request;
  return { ...request, fields: request.fields.filter(([name]) => name !== SIBLING_FIELD) };
}

class Siblings {
  readonly figures: SiblingFigures = { requests: 0, failures: 0, bytes: 0 };
  readonly #origins: Origins;
  readonly #options: SiblingsOptions;
  readonly #settings: SiblingSettings;
  readonly #circuits: Circuits;

  constructor(origins: Origins, options: SiblingsOptions) {
    this.#origins = origins;
    this.#options = options;
    this.#settings = { ...siblingDefaults, ...options.settings };
    this.#circuits = new Circuits(this.#settings.backoff);
  }

  async send(request: OriginRequest): Promise<OriginResponse> {
    const bare = forOrigin(request);
    const sibling = bare !== request || !mayShare(request) ? null : this.#ownerOf(request.target);
    const answer = sibling && await this.#ask(sibling, request);
    return answer ?? await this.#origins.send(bare);
  }

  /** Null where that is ourselves, or it should not be asked now. */
  #ownerOf(target: string): Sibling | null {
    const { self, edges, now } = this.#options;
    const all = edges();
    const id = ownerOf(target, all.map(({ id }) => id));
    if (id === null || id === self || !this.#circuits.allows(id, now())) return null;
    return all.find((edge) => edge.id === id) ?? null;
  }

  /** Null where the origin must be asked. @throws what the end of the request itself is */
  async #ask({ id, url }: Sibling, request: OriginRequest): Promise<OriginResponse | null> {
    const { transport, stamp, log } = this.#options;
    const { headTimeoutMs, idleTimeoutMs } = this.#settings;
    const { method, target, signal } = request;
    const headers: HeaderLine[] = [...request.fields, [SIBLING_FIELD, stamp()]];
    this.figures.requests++;
    let response: UpstreamResponse;
    try {
      response = await transport.send({
        origin: url,
        method,
        target,
        headers,
        body: null,
        bodyLength: null,
        signal,
        headTimeoutMs,
        idleTimeoutMs,
      });
    } catch (error) {
      if (!(error instanceof UpstreamError) || error.kind === "aborted") {
        this.#circuits.undecided(id);
        throw error;
      }
      this.#failed(id);
      log.info("a sibling does not answer; the origin is asked", { id, error: error.message });
      return null;
    }
    // What is behind the sibling fails, or it can answer nothing now.
    if (isSick(response.status)) {
      response.body?.cancel();
      this.#failed(id);
      log.info("a sibling cannot answer; the origin is asked", { id, status: response.status });
      return null;
    }
    this.#circuits.succeeded(id);
    const onBreak = () => this.#failed(id);
    const counted = response.body && new CountedBody(response.body, (count) => void (this.figures.bytes += count));
    const answer = { ...response, body: counted };
    const body = ResumedBody.of(answer, { request, origins: this.#origins, onBreak });
    return { ...answer, body: body ?? counted, from: id };
  }

  #failed(id: string): void {
    const { now, random } = this.#options;
    this.figures.failures++;
    this.#circuits.failed(id, now(), random);
  }
}

/** True for a request whose answer may come from a cache that all share. */
function mayShare({ method, fields, body }: OriginRequest): boolean {
  if ((method !== "GET" && method !== "HEAD") || body !== null) return false;
  return fieldOf(fields, "authorization") === null && !isNoStore(fields);
}

/**
 * The edges of a list that live, as far as is known; ourselves among them. The list is looked at once a second, for
 * a miss must not copy it.
 */
export function liveEdges(
  servers: () => readonly wire.Server[],
  { now, everyMs = 1_000 }: { now: () => number; everyMs?: number },
): () => readonly Sibling[] {
  let [atMs, edges]: [number, readonly Sibling[]] = [-Infinity, []];
  return () => {
    const nowMs = now();
    if (nowMs >= atMs + everyMs || nowMs < atMs) {
      atMs = nowMs;
      edges = servers()
        .filter(({ role, health, draining }) =>
          role === "edge" && (health?.state === "self" || (health?.state === "alive" && !draining))
        )
        .map(({ id, url }) => ({ id, url }));
    }
    return edges;
  };
}

/** How edges are reached. @param ca see `createRawTransport`: with it, over TLS alone */
export function siblingTransport({ ca = null }: { ca?: Live<readonly string[]> | null } = {}): Transport {
  return createRawTransport({ ca, connectTimeoutMs: CONNECT_TIMEOUT_MS });
}

/** An edge that is farther away than this is of no use before the origin. */
const CONNECT_TIMEOUT_MS = 1_000;
