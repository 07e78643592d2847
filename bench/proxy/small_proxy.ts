/**
 * The least proxy: `Deno.serve`, {@link forward}, one known server. What the transport can do, with no routing
 * before it. Started several times on one port by `run.ts`: `small_proxy.ts PORT ORIGIN`.
 */
import { bodyInit } from "../../runtime/http1/body_source.ts";
import { forward } from "../../proxy/forward.ts";
import { createRawTransport } from "../../runtime/http1/raw_transport.ts";
import { splitTarget } from "../../proto/mod.ts";
import type { HeaderLine } from "../../runtime/http1/transport.ts";

const [port, origin] = Deno.args;
const transport = createRawTransport();
const candidates = [{ id: "origin", origin: origin! }];
const context = {
  transport,
  observe() {},
  now: Date.now,
  headTimeoutMs: 30_000,
  idleTimeoutMs: 30_000,
};
const never = new AbortController().signal;
const skipped = new Set(["host", "connection", "content-length", "transfer-encoding"]);

Deno.serve({ hostname: "127.0.0.1", port: Number(port), reusePort: true, onListen() {} }, async (request) => {
  const { path, query } = splitTarget(request.url);
  const headers: HeaderLine[] = [];
  for (const line of request.headers) if (!skipped.has(line[0])) headers.push(line);
  const answer = await forward(
    {
      method: request.method,
      target: query ? `${path}?${query}` : path,
      headers,
      body: request.body,
      bodyLength: null,
      signal: never, // `request.signal` costs a good part of a small request.
    },
    candidates,
    context,
  );
  return new Response(bodyInit(answer.body), { status: answer.status, headers: answer.headers });
});
