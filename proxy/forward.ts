/**
 * One request, tried at one server after the other: {@link forward}. What happens when a server fails in the
 * middle of a body is in `resume.ts`.
 */
import { CdnError } from "../proto/mod.ts";
import { Attempt } from "./attempt.ts";
import type { BodySource } from "../runtime/http1/body_source.ts";
import type { ForwardContext, Forwarded, ForwardRequest, Upstream } from "./forwarding.ts";
import { ResumableBody, resumptionOf } from "./resume.ts";
import { UpstreamError, type UpstreamResponse } from "../runtime/http1/transport.ts";

/** An answer that is passed on only where nobody has a better one. */
interface Spare {
  server: Upstream;
  attempt: Attempt;
  response: UpstreamResponse;
}

/**
 * Sends a request to the first of `candidates` (best first) that has an answer.
 *
 * GET and HEAD go on to the next after anything that failed: no connection, no head in time, a broken one, a
 * 5xx; and after a 404 without `metacdn-version` too, since a copy may still be on its way there (one with that
 * field is a tombstone, and final). Other methods go on only where a server cannot have seen the request: when
 * connecting failed, before a byte of the body was read.
 *
 * Every attempt is told to `context.observe` once, when it has ended: for an answer with a body, at its end.
 * @throws {CdnError} 502 (504 where all were too late) that names each server and why it failed; a real 404 or
 * 5xx of a server is passed on instead. 400 where the viewer's own body was at fault.
 */
export async function forward(
  request: ForwardRequest,
  candidates: readonly Upstream[],
  context: ForwardContext,
): Promise<Forwarded> {
  const safe = request.method === "GET" || request.method === "HEAD";
  const failed: Forwarded["failed"] = [];
  let onlyLate = candidates.length > 0;
  let missing: Spare | null = null;
  let faulty: Spare | null = null;

  for (const server of candidates) {
    const attempt = new Attempt(server, context);
    let response: UpstreamResponse;
    try {
      response = await attempt.send(request);
    } catch (cause) {
      if (!(cause instanceof UpstreamError)) throw cause;
      if (cause.kind === "aborted") {
        drop(missing, faulty);
        throw new CdnError(`Cannot forward the request: ${cause.message}`, { source: "client", cause });
      }
      failed.push({ id: server.id, why: cause.message });
      if (cause.kind !== "timeout") onlyLate = false;
      if (safe || (cause.kind === "connect" && !cause.bodyTouched)) continue;
      break;
    }
    const spare = { server, attempt, response };
    if (safe && response.status >= 500) {
      attempt.end("server-error");
      failed.push({ id: server.id, why: `it answered ${response.status}` });
      if (faulty) drop(spare);
      else faulty = spare;
    } else if (safe && response.status === 404 && !response.headers.some(([name]) => name === "metacdn-version")) {
      attempt.end("ok");
      failed.push({ id: server.id, why: "it answered 404" });
      if (missing) drop(spare);
      else missing = spare;
    } else {
      drop(missing, faulty);
      return answer(spare, failed, request, candidates, context);
    }
  }

  const last = missing ?? faulty;
  if (missing) drop(faulty);
  if (last) {
    const others = failed.filter(({ id }) => id !== last.server.id);
    return answer(last, others, request, candidates, context);
  }
  const reasons = failed.map(({ id, why }) => `${id}: ${why}`).join("; ");
  throw new CdnError(`Cannot forward the request to any server: ${reasons || "none is known"}`, {
    source: "origin",
    status: onlyLate ? 504 : 502,
    retry: safe,
  });
}

function answer(
  { server, attempt, response }: Spare,
  failed: Forwarded["failed"],
  request: ForwardRequest,
  candidates: readonly Upstream[],
  context: ForwardContext,
): Forwarded {
  let body: BodySource | null = response.body;
  if (body && !body.done) {
    body = new ResumableBody(body, {
      attempt,
      length: response.contentLength,
      request,
      resumption: request.method === "GET" ? resumptionOf(response) : null,
      candidates,
      context,
    });
  } else attempt.end(response.status >= 500 ? "server-error" : "ok");
  const { connectMs, headMs } = response.timing;
  return { status: response.status, headers: response.headers, body, server, failed, connectMs, headMs };
}

/** Gives up answers that nobody wants. */
function drop(...spares: (Spare | null)[]): void {
  for (const spare of spares) spare?.response.body?.cancel();
}
