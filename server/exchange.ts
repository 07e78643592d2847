/**
 * One request, from its head to its answer, as a table of named steps:
 *
 *     route ─┬─ read                                          GET and HEAD of an object: serve/read.ts
 *            ├─ receive                                       PUT
 *            ├─ remove                                        DELETE
 *            ├─ index                                         GET /
 *            ├─ own                                           everything below /-/
 *            ├─ pull                                          all but that, of an edge with origins
 *            └─ options
 *
 * A step does one thing and names the next; whatever goes wrong is thrown and becomes problem+json.
 */
import { CdnError, decodePath, OWN_PREFIX, splitTarget, type Target } from "../proto/mod.ts";
import { answerFromEdge } from "./edge/door.ts";
import { callEndpoint, methodNotAllowed } from "./endpoints/table.ts";
import type { Parts } from "./parts.ts";
import { receive, remove } from "./receive.ts";
import { contentResponse } from "./serve/content.ts";
import { indexResponse, listObjects } from "./serve/listing.ts";
import { readObject } from "./serve/read.ts";

type Step =
  | "route"
  | "options"
  | "own"
  | "pull"
  | "index"
  | "read"
  | "receive"
  | "remove"
  | "done";

/** What the steps of one request know so far. */
class Exchange {
  readonly target: Target;
  /** The object's path, decoded and checked; set by `route` where the request is for an object. */
  path = "";
  response: Response | null = null;

  constructor(readonly request: Request, readonly parts: Parts, readonly client: string) {
    // Not `new URL`, which would resolve ".." and so hide what the client tried.
    this.target = splitTarget(request.url);
  }
}

const OBJECT_METHODS = "GET, HEAD, PUT, DELETE, OPTIONS";
const INDEX_METHODS = "GET, HEAD, OPTIONS";

/** A Map, because a method may be any word: `constructor` is one, and every object has that. */
const ofMethod = new Map<string, "read" | "receive" | "remove">([
  ["GET", "read"],
  ["HEAD", "read"],
  ["PUT", "receive"],
  ["DELETE", "remove"],
]);

const steps: Record<Exclude<Step, "done">, (exchange: Exchange) => Step | Promise<Step>> = {
  route(exchange) {
    const { request: { method }, target: { path } } = exchange;
    // Its target is an authority and no path (RFC 9110 §9.3.6); we are no tunnel.
    if (method === "CONNECT") throw methodNotAllowed(method, OBJECT_METHODS);
    if (path.startsWith(OWN_PREFIX)) return "own";
    if (exchange.parts.edge) return "pull";
    if (method === "OPTIONS") return "options";
    if (path === "/") {
      if (method === "GET" || method === "HEAD") return "index";
      throw methodNotAllowed(method, INDEX_METHODS);
    }
    const next = ofMethod.get(method);
    if (!next) throw methodNotAllowed(method, OBJECT_METHODS);
    if (next !== "read") exchange.parts.guard.requireToken(exchange.request);
    exchange.path = decodePath(path);
    return next;
  },

  options(exchange) {
    const allow = exchange.target.path === "/" ? INDEX_METHODS : OBJECT_METHODS;
    exchange.response = new Response(null, { status: 204, headers: { allow } });
    return "done";
  },

  async own(exchange): Promise<Step> {
    exchange.response = await callEndpoint(exchange.request, exchange.target, exchange.parts);
    return "done";
  },

  async pull(exchange): Promise<Step> {
    const { request, target, parts, client } = exchange;
    exchange.response = await answerFromEdge(request, target, parts.edge!.edge, client);
    return "done";
  },

  async index(exchange): Promise<Step> {
    const { request, parts, target } = exchange;
    parts.guard.requireToken(request);
    const page = await listObjects(parts.store, new URLSearchParams(target.query));
    exchange.response = indexResponse(request, page, parts.identity.id);
    return "done";
  },

  async read(exchange): Promise<Step> {
    const { request: { method, headers }, path, parts } = exchange;
    exchange.response = contentResponse(await readObject({ method: method as "GET" | "HEAD", path, headers }, parts));
    return "done";
  },

  async receive(exchange): Promise<Step> {
    exchange.response = await receive(exchange.request, exchange.path, exchange.parts);
    return "done";
  },

  async remove(exchange): Promise<Step> {
    exchange.response = await remove(exchange.request, exchange.path, exchange.parts);
    return "done";
  },
};

/**
 * Answers one request.
 * @param client the address of who asks
 * @throws {CdnError} which `problemResponse` turns into the answer.
 */
export async function answer(request: Request, parts: Parts, client = ""): Promise<Response> {
  const exchange = new Exchange(request, parts, client);
  for (let at: Step = "route"; at !== "done";) {
    const next: Step | Promise<Step> = steps[at](exchange);
    at = typeof next === "string" ? next : await next;
  }
  if (!exchange.response) throw new CdnError("The steps ended without an answer", { source: "server" });
  return exchange.response;
}
