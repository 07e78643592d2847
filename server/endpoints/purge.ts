/** `/-/v1/purge`: purges the caches of all servers. */
import { wire } from "../../proto/mod.ts";
import { messageResponse, readMessage } from "../../runtime/message.ts";
import type { Call } from "./call.ts";

/** The largest request: what it may name, escaped in JSON. */
const LIMIT = 4 << 20;

/** POST /-/v1/purge: answered when every server has acknowledged, or has had its time. */
export async function everywhere({ request, parts }: Call): Promise<Response> {
  parts.guard.requireToken(request);
  const { idleMs } = parts.limits;
  const purge = await readMessage(request, wire.PurgeRequestSchema, { limit: LIMIT, idleMs });
  return messageResponse(request, wire.PurgeReportSchema, await parts.purges.purge(purge));
}
