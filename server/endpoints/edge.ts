/** `/-/v1/edge` and `/-/metrics`: how an edge fares, for its operator and for what scrapes. */
import { badRequest, wire } from "../../proto/mod.ts";
import { messageResponse } from "../../runtime/message.ts";
import { edgeMetrics, METRICS_TYPE } from "../edge/metrics.ts";
import type { Call } from "./call.ts";

/** GET /-/v1/edge */
export function status(call: Call): Response {
  return messageResponse(call.request, wire.EdgeStatusSchema, statusFor(call));
}

/** GET /-/metrics */
export function metrics(call: Call): Response {
  const text = edgeMetrics(statusFor(call));
  return new Response(call.request.method === "HEAD" ? null : text, {
    headers: { "content-type": METRICS_TYPE, "cache-control": "no-store" },
  });
}

/** @throws {CdnError} 404 on a server that is no edge with origins */
function statusFor({ request, parts }: Call): wire.EdgeStatus {
  parts.guard.requireTokenOrPeer(request);
  if (!parts.edge) {
    throw badRequest("This server is no edge: it has no origins to pull from (--role edge --origin URL)", {
      status: 404,
    });
  }
  return parts.edge.status();
}
