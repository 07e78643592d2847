/** The proxy's own endpoints, below `/-/`. */
import { badRequest, decodePath, encodePath, OWN_PREFIX, type Target, wire } from "../proto/mod.ts";
import type { Guard } from "../runtime/guard.ts";
import { messageResponse } from "../runtime/message.ts";
import { pageResponse } from "../runtime/page.ts";
import { VERSION } from "../runtime/version.ts";
import { explain } from "./explain.ts";
import { explainPage } from "./explain_page.ts";
import type { SizeMemory } from "./sizes.ts";
import { isReady, type View } from "./view.ts";

/** What the endpoints tell of. */
export interface OwnContext {
  view: View;
  sizes: SizeMemory;
  guard: Guard;
  /** True where a token is set, and so needed for what is not everybody's. */
  hasToken: boolean;
  nowMs: number;
}

/**
 * Answers for a path below `/-/`.
 * @throws {CdnError} 404 where there is nothing, 405 for a write, 401 where the token is missing.
 */
export function answerOwn(request: Request, target: Target, context: OwnContext): Response {
  const endpoint = target.path.slice(OWN_PREFIX.length);
  if (!["healthz", "readyz", "explain"].includes(endpoint)) {
    throw badRequest("There is nothing of that name on a proxy: /-/explain, /-/healthz and /-/readyz are", {
      status: 404,
    });
  }
  if (request.method !== "GET" && request.method !== "HEAD") {
    throw badRequest("The proxy's own pages can only be read", { status: 405, headers: { allow: "GET, HEAD" } });
  }
  if (endpoint === "healthz") return statusResponse(request, 200, { status: "ok", version: VERSION });
  if (endpoint === "readyz") return ready(request, context.view);
  // Without a token there is nothing to show it: a stranger's host has been refused at the door already.
  if (context.hasToken) context.guard.requireToken(request);
  return explanation(request, target, context);
}

function ready(request: Request, view: View): Response {
  const { servers, prices, trouble } = view;
  const is = isReady(view);
  return statusResponse(request, is ? 200 : 503, {
    status: is ? "ready" : "not ready",
    servers: servers.length,
    measured: servers.filter(({ newestMs }) => newestMs !== null).length,
    down: servers.filter(({ excluded }) => excluded !== "").map(({ id, excluded }) => `${id}: ${excluded}`),
    prices,
    ...(trouble ? { trouble } : {}),
  });
}

function explanation(request: Request, target: Target, { view, sizes, nowMs }: OwnContext): Response {
  const query = new URLSearchParams(target.query);
  // Either as it stands in a URL or decoded: a size is remembered for what stands in the URL.
  const asked = query.get("path") || "/";
  const path = asked === "/" || asked.includes("%") ? asked : encodePath(asked);
  if (path !== "/") decodePath(path);
  const given = query.get("size") || null;
  if (given !== null && !/^\d{1,15}$/.test(given)) throw badRequest("size must be a whole number of bytes");
  const size = given === null ? sizes.predict(path) : { bytes: Number(given), from: "given" as const };
  const message = explain(view, path, size, nowMs);
  if (!/\btext\/html\b/i.test(request.headers.get("accept") ?? "")) {
    return messageResponse(request, wire.ExplanationSchema, message);
  }
  return pageResponse(request, explainPage(message));
}

function statusResponse(request: Request, status: number, body: Record<string, unknown>): Response {
  return new Response(request.method === "HEAD" ? null : JSON.stringify(body) + "\n", {
    status,
    headers: { "content-type": "application/json", "cache-control": "no-store", "x-content-type-options": "nosniff" },
  });
}
