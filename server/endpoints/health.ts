/** `/-/healthz` and `/-/readyz`: for whoever starts, watches or balances; open to all. */
import { CdnError, type wire } from "../../proto/mod.ts";
import type { Call } from "./call.ts";

/** Alive: the process answers. */
export function healthz({ request }: Call): Response {
  return plain(request, "ok\n");
}

/**
 * Ready: it has started, is not closing, its store answers, and it knows what there is: what it does not hold yet it
 * fetches while it answers. The text says how much that is.
 *
 * An edge that pulls from origins is ready once it knows what it should not serve any more; what objects the other
 * servers have does not matter to it, nor whether there are any others. Later it stays ready: where it has to learn that
 * again, requests wait for a moment (5 s at most), which is less than taking it out and back; and where all origins are
 * out it still serves what it has, which no other machine may do better.
 */
export async function readyz({ request, parts }: Call): Promise<Response> {
  if (!parts.ready()) throw notReady("starting or stopping");
  await parts.store.list({ by: "path", limit: 1 });
  if (parts.edge) return plain(request, `ok\n${troubles(parts.edge.status())}`);
  const { knowsAll, objects, wantedObjects, wantedBytes } = parts.cluster.progress();
  if (!knowsAll) throw notReady(`learning what the other servers have, ${objects} objects so far`);
  const left = wantedObjects > 0
    ? `filling: ${wantedObjects} of ${objects} objects to come, ${wantedBytes} bytes\n`
    : "";
  return plain(request, `ok\n${left}`);
}

/** What whoever looks at an edge should know, though it answers. */
function troubles({ origins, waitingForPurges }: wire.EdgeStatus): string {
  return [
    waitingForPurges ? "waiting: what was purged meanwhile is being asked for\n" : "",
    origins.every(({ healthy }) => !healthy) ? "every origin is out: what is stored is served\n" : "",
  ].join("");
}

function notReady(why: string): CdnError {
  return new CdnError(`Not ready: ${why}`, { source: "server", status: 503, retry: true, retryAfterSeconds: 1 });
}

function plain(request: Request, text: string): Response {
  return new Response(request.method === "HEAD" ? null : text, {
    headers: { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store" },
  });
}
