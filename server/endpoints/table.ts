/**
 * Which function answers which of our own endpoints, all below `/-/`. `{name}` stands for one segment,
 * `{name*}` at the end for all that follows, still percent-encoded.
 */
import { badRequest } from "../../proto/mod.ts";
import type { Parts } from "../parts.ts";
import type { Endpoint } from "./call.ts";
import * as edge from "./edge.ts";
import * as health from "./health.ts";
import * as objects from "./objects.ts";
import * as peers from "./peers.ts";
import * as purge from "./purge.ts";
import * as servers from "./servers.ts";
import * as uploads from "./uploads.ts";

const table: [pattern: string, methods: Record<string, Endpoint>][] = [
  ["/-/healthz", { GET: health.healthz }],
  ["/-/readyz", { GET: health.readyz }],
  ["/-/metrics", { GET: edge.metrics }],
  ["/-/v1/objects", { GET: objects.list }],
  ["/-/v1/objects/{path*}", { GET: objects.describe }],
  ["/-/v1/uploads", { POST: uploads.create }],
  ["/-/v1/uploads/{id}", { GET: uploads.get, DELETE: uploads.cancel }],
  ["/-/v1/uploads/{id}/chunks/{offset}", { PUT: uploads.chunk }],
  ["/-/v1/uploads/{id}/commit", { POST: uploads.commit }],
  ["/-/v1/servers", { GET: servers.list, POST: servers.add }],
  ["/-/v1/servers/{id}", { GET: servers.describe, PATCH: servers.change, DELETE: servers.remove }],
  ["/-/v1/purge", { POST: purge.everywhere }],
  ["/-/v1/edge", { GET: edge.status }],
  ["/-/v1/durability", { GET: servers.durability }],
  ["/-/v1/peer/bodies/{sha256}", { GET: peers.sendBody }],
  ["/-/v1/peer/bodies", { POST: peers.sendSmallBodies }],
  ["/-/v1/peer/probe", { GET: peers.probe }],
  ["/-/v1/peer/{name}", { POST: peers.answerCall }],
];

const compiled = table.map(([pattern, methods]) => ({
  pattern: new RegExp(
    `^${pattern.replaceAll(/\{(\w+)\*\}/g, "(?<$1>.*)").replaceAll(/\{(\w+)\}/g, "(?<$1>[^/]+)")}$`,
  ),
  methods,
  // HEAD is GET without the body (RFC 9110 §9.3.2).
  allow: [...Object.keys(methods).flatMap((method) => method === "GET" ? ["GET", "HEAD"] : [method]), "OPTIONS"].join(
    ", ",
  ),
}));

/**
 * Answers a request for one of our own endpoints.
 * @throws {CdnError} 404 where there is none at the path, 405 where it does not know the method.
 */
export function callEndpoint(
  request: Request,
  { path, query }: { path: string; query: string },
  parts: Parts,
): Response | Promise<Response> {
  for (const { pattern, methods, allow } of compiled) {
    const match = pattern.exec(path);
    if (!match) continue;
    if (request.method === "OPTIONS") return new Response(null, { status: 204, headers: { allow } });
    const method = request.method === "HEAD" ? "GET" : request.method;
    const endpoint = Object.hasOwn(methods, method) ? methods[method] : undefined;
    if (!endpoint) throw methodNotAllowed(request.method, allow);
    return endpoint({ request, segments: { ...match.groups }, query: new URLSearchParams(query), parts });
  }
  throw badRequest("There is no such endpoint", { status: 404 });
}

/** A 405 with what is allowed instead (RFC 9110 §15.5.6). */
export function methodNotAllowed(method: string, allow: string) {
  return badRequest(`The method ${method.slice(0, 32)} is not allowed here`, { status: 405, headers: { allow } });
}
