/** The edge behind `Deno.serve`: a `Request` in, a `Response` out. */
import { NEVER } from "../../runtime/http1/stop.ts";
import { badRequest, CdnError, type Target } from "../../proto/mod.ts";
import { contentLength } from "../../runtime/body.ts";
import type { Answered } from "../../runtime/front/application.ts";
import { bodyInit } from "../../runtime/http1/body_source.ts";
import type { Edge } from "./edge.ts";

/** Statuses that `Response` takes no body with, not even an empty one (Fetch §2.2.3). */
const NULL_BODY: ReadonlySet<number> = new Set([204, 205, 304]);

/** What of a request's target can be sent to an origin as it is (RFC 9112 §3.2.1). */
const TARGET = /^\/[\x21-\x7e\x80-\xff]*$/;

/**
 * Answers a request from an edge.
 * @param client the viewer's address
 * @throws {CdnError} as {@link Edge.answer} does; 400 for a target that cannot be
 */
export async function answerFromEdge(
  request: Request,
  { path, query, authority }: Target,
  edge: Edge,
  client: string,
): Promise<Response> {
  const { method, headers, body } = request;
  const target = query === "" && !request.url.endsWith("?") ? path : `${path}?${query}`;
  // "*" of OPTIONS is the one target that is no path; it asks of the server as such, which is the origin.
  if (!TARGET.test(target) && target !== "*") throw badRequest("The target must be a path of visible characters");
  const answered = await edge.answer({
    method,
    target,
    authority,
    fields: [...headers],
    body,
    bodyLength: body ? contentLength(headers) : null,
    client,
    // Not `request.signal`, which costs much and fires on success too: that a viewer went away shows in the body.
    signal: NEVER,
  });
  return responseOf(answered);
}

function responseOf({ status, headers, body }: Answered): Response {
  const init = body === null || typeof body === "string" || body instanceof Uint8Array ? body : bodyInit(body);
  const none = NULL_BODY.has(status);
  try {
    if (none) giveUp(init);
    return new Response(none ? null : init, { status, headers: headers as [string, string][] });
  } catch (cause) {
    giveUp(init);
    throw new CdnError("The origin's answer cannot be passed on", { source: "origin", cause });
  }
}

function giveUp(init: unknown): void {
  if (init instanceof ReadableStream) init.cancel().catch(() => {});
}
