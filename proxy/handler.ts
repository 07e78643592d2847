/**
 * A request through the proxy, in the order of {@link handle}: admit, own endpoint or not, decide, forward, answer.
 * Every answer, an error too, says by Metacdn-Route, Via and Server-Timing why it came from where.
 */
import { CdnError, decodePath, splitTarget, type Target } from "../proto/mod.ts";
import { contentLength } from "../runtime/body.ts";
import { Guard, type Secrets } from "../runtime/guard.ts";
import type { Handler } from "../runtime/listen.ts";
import type { Logger } from "../runtime/log.ts";
import { problemResponse } from "../runtime/problem.ts";
import { bodyInit } from "./body_source.ts";
import { hasPassed, requestFields, routeField, timingField } from "./fields.ts";
import { forward, type ForwardContext, type Forwarded, type Observation } from "./forward.ts";
import { admit, authorityOf, type Hosts } from "./hosts.ts";
import { answerOwn } from "./own.ts";
import type { ProxySettings } from "./settings.ts";
import { SizeMemory, sizeOf } from "./sizes.ts";
import type { HeaderLine, Transport } from "./transport.ts";
import { decide, type View } from "./view.ts";

/** What a handler works with. */
export interface HandlerOptions {
  settings: ProxySettings;
  secrets: Secrets;
  /** What is known now. */
  view(): View;
  /** Takes note of how an attempt went. */
  observe(observation: Observation): void;
  /** Takes note of how long an object is, where that is news. */
  learnt?(target: string, bytes: number): void;
  sizes?: SizeMemory;
  /** The port that we listen on. */
  port(): number;
  transport: Transport;
  /** Our name in Via: one that no other proxy has. */
  pseudonym: string;
  log: Logger;
  now(): number;
}

const WRITES = new Set(["PUT", "DELETE", "POST"]);

/** The answering half of a proxy; it knows what {@link HandlerOptions.view} tells it. */
export function createHandler(options: HandlerOptions): Handler {
  const { settings, secrets, view, observe, port, transport, pseudonym, log, now, learnt } = options;
  const guard = new Guard(secrets, { now });
  const sizes = options.sizes ?? new SizeMemory({ assumedBytes: settings.assumedBytes });
  const names = new Set(settings.names);
  const { headTimeoutMs, idleTimeoutMs } = settings;
  const reading: ForwardContext = { transport, observe, now, headTimeoutMs, idleTimeoutMs };
  // The answer to a write comes after its body was sent and made durable: when it comes says nothing of the round
  // trip, and that it was late once does not take a server off.
  const writing: ForwardContext = {
    ...reading,
    observe: (seen) =>
      observe({ ...seen, headMs: null, outcome: seen.outcome === "timeout" ? "broken" : seen.outcome }),
  };
  const hosts = remembered((current: View): Hosts => ({
    names,
    servers: new Set(current.servers.map(({ origin }) => authorityOf(origin))),
    port: port(),
  }));
  const routes = remembered(() => new Map<string | undefined, string>());

  /** Metacdn-Route for an answer: made once for each server and view. */
  function route(current: View, server?: string, failed: readonly { id: string }[] = []): string {
    const { policy, prices } = current;
    const known = routes(current);
    if (failed.length) {
      return routeField({
        ...(server === undefined ? {} : { server }),
        policy,
        prices,
        failed: failed.map(({ id }) => id),
      });
    }
    let field = known.get(server);
    if (field === undefined) {
      known.set(server, field = routeField({ ...(server === undefined ? {} : { server }), policy, prices }));
    }
    return field;
  }

  async function handle(request: Request, info: Deno.ServeHandlerInfo<Deno.NetAddr>): Promise<Response> {
    const begun = now();
    const current = view();
    try {
      const target = splitTarget(request.url);
      const where = admit(request.method, target, hosts(current));
      if (hasPassed(request.headers.get("via"), pseudonym)) {
        throw new CdnError("The request has been here already: proxies send it round in a loop", {
          source: "client",
          status: 508,
        });
      }
      if (where === "own") {
        const own = { view: current, sizes, guard, hasToken: secrets.token !== null, nowMs: begun };
        return marked(answerOwn(request, target, own), current, begun);
      }
      return await pass(request, target, info.remoteAddr.hostname, current, begun);
    } catch (error) {
      return marked(problemResponse(error, log), current, begun);
    }
  }

  async function pass(request: Request, target: Target, client: string, current: View, begun: number) {
    const { method, headers } = request;
    const writes = WRITES.has(method);
    if (target.path !== "/") decodePath(target.path);
    const path = inAscii(target.path);
    if (writes) guard.requireToken(request);
    // What a server takes in is free, and no rate of it was measured: only the answer to a GET has bytes that count.
    const bytes = method === "GET" ? sizes.predict(path, headers.get("range")).bytes : 0;
    const candidates = decide(current, bytes, begun, settings.attempts);
    if (candidates.length === 0) {
      throw new CdnError(`No server is known${current.trouble ? `: ${current.trouble}` : ""}`, {
        source: "server",
        status: 503,
        retry: true,
        retryAfterSeconds: 2,
      });
    }
    const decided = now();
    const forwarded = await forward(
      {
        method,
        target: target.query === "" ? path : `${path}?${inAscii(target.query)}`,
        headers: requestFields(headers, {
          client,
          host: target.authority,
          scheme: target.scheme,
          pseudonym,
          dropOrigin: writes,
        }),
        body: request.body,
        bodyLength: writes ? contentLength(headers) : null,
        // Not `request.signal`, which costs a third of small requests and fires on success too. That a viewer went
        // away shows in the body: the request's breaks off, the answer's is cancelled.
        signal: new AbortController().signal,
      },
      candidates,
      writes ? writing : reading,
    );
    learn(method, path, request, forwarded);
    return answer(forwarded, current, decided - begun);
  }

  /** An object's size, from whatever tells it. */
  function learn(method: string, path: string, request: Request, { status, headers }: Forwarded): void {
    const bytes = method === "PUT"
      ? (status === 200 || status === 201 || status === 204 ? contentLength(request.headers) : null)
      : WRITES.has(method)
      ? null
      : sizeOf(status, headers);
    if (bytes !== null && sizes.learn(path, bytes)) learnt?.(path, bytes);
  }

  function answer(
    { status, headers, body, server, failed, connectMs, headMs }: Forwarded,
    current: View,
    decideMs: number,
  ) {
    const lines: HeaderLine[] = headers;
    lines.push(
      ["via", "1.1 metacdn"],
      ["server-timing", timingField({ decide: decideMs, connect: connectMs, head: headMs })],
      ["metacdn-route", route(current, server.id, failed)],
    );
    try {
      return new Response(bodyInit(body), { status, headers: lines });
    } catch (cause) {
      body?.cancel();
      throw new CdnError(`${server.id} gave an answer that cannot be passed on`, { source: "origin", cause });
    }
  }

  function marked(response: Response, current: View, begun: number): Response {
    response.headers.append("via", "1.1 metacdn");
    response.headers.append("server-timing", timingField({ decide: now() - begun }));
    response.headers.set("metacdn-route", route(current));
    return response;
  }

  return handle;
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
