/** The edge behind `Deno.serve`: a `Request` in, a `Response` out. */
import { NEVER } from "../../runtime/http1/stop.ts";
import { badRequest, type Target } from "../../proto/mod.ts";
import { contentLength } from "../../runtime/body.ts";
import { isSource, responseOf } from "../../runtime/front/mod.ts";
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
  if (!NULL_BODY.has(answered.status)) return responseOf(answered, "origin");
  if (isSource(answered.body) && !answered.body.done) answered.body.cancel();
  return responseOf({ ...answered, body: null }, "origin");
}
