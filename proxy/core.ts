/**
 * One request through the proxy, as plain data, whichever door it came by: admit, decide, forward, answer. Every
 * answer, an error too, says by Metacdn-Route, Via and Server-Timing why it came from where.
 */
import { CdnError, decodePath, type Target } from "../proto/mod.ts";
import type { Answered } from "../runtime/front/mod.ts";
import type { Logger } from "../runtime/log.ts";
import { problemOf } from "../runtime/problem.ts";
import { hasPassed, type PassedOn } from "../runtime/http1/pass_on.ts";
import { routeField, timingField } from "./fields.ts";
import { forward } from "./forward.ts";
import type { ForwardContext, Forwarded, Observation } from "./forwarding.ts";
import { admit, type Admitted, authorityOf, type Hosts } from "./hosts.ts";
import type { ProxySettings } from "./settings.ts";
import { SizeMemory, sizeOf } from "./sizes.ts";
import type { HeaderLine, StopSignal, Transport } from "../runtime/http1/transport.ts";
import { decide, type View } from "./view.ts";

/** What a proxy's doors work with. */
export interface CoreOptions {
  settings: ProxySettings;
  /** What is known now. */
  view(): View;
  /** Takes note of how an attempt went. */
  observe(observation: Observation): void;
  /** Takes note of how long an object is, where that is news. */
  learnt?(target: string, bytes: number): void;
  sizes?: SizeMemory;
  /** The port that we are reached at. */
  port(): number;
  transport: Transport;
  /** Our name in Via: one that no other proxy has. */
  pseudonym: string;
  log: Logger;
  now(): number;
}

/** A request. */
export interface Asked {
  method: string;
  target: Target;
  /** Its fields, as they go on. */
  fields: PassedOn;
  body: ReadableStream<Uint8Array> | null;
  bodyLength: number | null;
  /** The viewer went away. */
  signal: StopSignal;
  /** @throws {CdnError} where the request may not do what it asks; nothing was sent then */
  permit?(): void;
}

/** How many checked paths are remembered; each may keep the text of the request that it was cut from. */
const MOST_SOUND = 200;

/** Methods that change something. */
export const WRITES: ReadonlySet<string> = new Set(["PUT", "DELETE", "POST"]);

/** Sends requests where they belong. */
export class Core {
  readonly sizes: SizeMemory;
  readonly #options: CoreOptions;
  readonly #names: ReadonlySet<string>;
  readonly #reading: ForwardContext;
  readonly #writing: ForwardContext;
  readonly #hosts: (view: View) => Hosts;
  /** Paths that were checked and found good. */
  readonly #sound = new Set<string>();
  readonly #routes = remembered(() => new Map<string | undefined, string>());

  constructor(options: CoreOptions) {
    const { settings, transport, observe, now, port } = options;
    const { headTimeoutMs, idleTimeoutMs } = settings;
    this.#options = options;
    this.sizes = options.sizes ?? new SizeMemory({ assumedBytes: settings.assumedBytes });
    this.#names = new Set(settings.names);
    this.#reading = { transport, observe, now, headTimeoutMs, idleTimeoutMs };
    // The answer to a write comes after its body was sent and made durable: when it comes says nothing of the round
    // trip, and that it was late once does not take a server off.
    this.#writing = {
      ...this.#reading,
      observe: (seen) =>
        observe({ ...seen, headMs: null, outcome: seen.outcome === "timeout" ? "broken" : seen.outcome }),
    };
    this.#hosts = remembered((view) => ({
      names: this.#names,
      servers: new Set(view.servers.map(({ origin }) => authorityOf(origin))),
      port: port(),
    }));
  }

  /** Our name in Via. */
  get pseudonym(): string {
    return this.#options.pseudonym;
  }

  /** The port that we are reached at. */
  get port(): number {
    return this.#options.port();
  }

  /** The time, in milliseconds since 1970. */
  now(): number {
    return this.#options.now();
  }

  /** What is known now. */
  view(): View {
    return this.#options.view();
  }

  /**
   * Lets a request in, and says where it goes. `via` is its Via field.
   * @throws {CdnError} 405 for a method that is not forwarded, 403 for a host that is not ours, 508 for a loop.
   */
  admit(method: string, target: Target, via: string | null): Admitted {
    const where = admit(method, target, this.#hosts(this.view()));
    if (hasPassed(via, this.pseudonym)) {
      throw new CdnError("The request has been here already: proxies send it round in a loop", {
        source: "client",
        status: 508,
      });
    }
    return where;
  }

  /**
   * Forwards a request that was let in.
   * @throws {CdnError} as {@link forward}; 400 for a bad path, 503 while no server is known.
   */
  async forward({ method, target, fields, body, bodyLength, signal, permit }: Asked): Promise<Answered> {
    const { now, settings, learnt } = this.#options;
    const begun = now();
    const view = this.view();
    const writes = WRITES.has(method);
    this.#checkPath(target.path);
    const path = inAscii(target.path);
    permit?.();
    // What a server takes in is free, and no rate of it was measured: only the answer to a GET has bytes that count.
    const bytes = method === "GET" ? this.sizes.predict(path, fields.range).bytes : 0;
    const candidates = decide(view, bytes, begun, settings.attempts);
    if (candidates.length === 0) {
      throw new CdnError(`No server is known${view.trouble ? `: ${view.trouble}` : ""}`, {
        source: "server",
        status: 503,
        retry: true,
        retryAfterSeconds: 2,
      });
    }
    const decideMs = now() - begun;
    const forwarded = await forward(
      {
        method,
        target: target.query === "" ? path : `${path}?${inAscii(target.query)}`,
        headers: fields.lines,
        body,
        bodyLength,
        signal,
      },
      candidates,
      writes ? this.#writing : this.#reading,
    );
    const size = sizeTold(method, bodyLength, forwarded);
    if (size !== null && this.sizes.learn(path, size)) learnt?.(path, size);
    return this.#answer(forwarded, view, decideMs);
  }

  /** @throws {CdnError} 400 or 414 for a path that names no object */
  #checkPath(path: string): void {
    if (path === "/" || this.#sound.has(path)) return;
    decodePath(path);
    if (this.#sound.size >= MOST_SOUND) this.#sound.clear();
    this.#sound.add(path);
  }

  #answer({ status, headers, body, server, failed, connectMs, headMs }: Forwarded, view: View, decideMs: number) {
    // Ours alone to say: with a server's own line beside it, the two would be read as one dictionary.
    if (headers.some(isRoute)) headers = headers.filter((line) => !isRoute(line));
    headers.push(
      ["via", "1.1 metacdn"],
      ["server-timing", timingField({ decide: decideMs, connect: connectMs, head: headMs })],
      ["metacdn-route", this.#route(view, server.id, failed)],
    );
    if (status !== 205) return { status, headers, body };
    body?.cancel(); // A 205 has no content (RFC 9110 §15.3.6).
    return { status, headers, body: null };
  }

  /** The answer that tells of an error. */
  failure(error: unknown, begun: number): Answered {
    const { status, headers, body } = problemOf(error, this.#options.log);
    return { status, headers: [...Object.entries(headers), ...this.marks(begun)], body };
  }

  /** Our fields, for an answer that no server gave. */
  marks(begun: number): HeaderLine[] {
    return [
      ["via", "1.1 metacdn"],
      ["server-timing", timingField({ decide: this.now() - begun })],
      ["metacdn-route", this.#route(this.view())],
    ];
  }

  /** Metacdn-Route for an answer: made once for each server and view. */
  #route(view: View, server?: string, failed: readonly { id: string }[] = []): string {
    const { policy, prices } = view;
    const known = this.#routes(view);
    let field = failed.length ? undefined : known.get(server);
    if (field !== undefined) return field;
    field = routeField({
      ...(server === undefined ? {} : { server }),
      policy,
      prices,
      failed: failed.map(({ id }) => id),
    });
    if (!failed.length) known.set(server, field);
    return field;
  }
}

/** An object's size, from whatever tells it. */
function sizeTold(method: string, bodyLength: number | null, { status, headers }: Forwarded): number | null {
  if (method === "PUT") return status === 200 || status === 201 || status === 204 ? bodyLength : null;
  return WRITES.has(method) ? null : sizeOf(status, headers);
}

/** A path or a query as a request line takes it (RFC 3986 §2.1): some clients send UTF-8 as it is. */
function inAscii(text: string): string {
  return text.replace(/[^\x21-\x7e]+/g, (part) => encodeURIComponent(part.toWellFormed()));
}

/** Computes something of a view once, and again only for the next view. */
function remembered<T>(compute: (view: View) => T): (view: View) => T {
  let of: View | null = null;
  let value: T;
  return (view) => {
    if (view !== of) [of, value] = [view, compute(view)];
    return value;
  };
}

function isRoute([name]: HeaderLine): boolean {
  return name === "metacdn-route";
}
