/** `/-/healthz` and `/-/readyz`: for whoever starts, watches or balances; open to all. */
import { CdnError } from "../../proto/mod.ts";
import type { Call } from "./call.ts";

/** Alive: the process answers. */
export function healthz({ request }: Call): Response {
  return plain(request, "ok\n");
}

/** Ready: it has started, is not closing, and its store answers. */
export async function readyz({ request, parts }: Call): Promise<Response> {
  if (!parts.ready()) {
    throw new CdnError("Not ready: starting or stopping", { source: "server", status: 503, retry: true });
  }
  await parts.store.list({ by: "path", limit: 1 });
  return plain(request, "ok\n");
}

function plain(request: Request, text: string): Response {
  return new Response(request.method === "HEAD" ? null : text, {
    headers: { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store" },
  });
}
