/** A request that came by `Deno.serve`: to the proxy's own pages, or to the {@link Core} and back. */
import { NEVER } from "../runtime/http1/stop.ts";
import { CdnError, splitTarget } from "../proto/mod.ts";
import { contentLength } from "../runtime/body.ts";
import { Guard, type Secrets } from "../runtime/guard.ts";
import type { Handler } from "../runtime/listen.ts";
import { bodyInit } from "../runtime/http1/body_source.ts";
import { type Answered, type Core, WRITES } from "./core.ts";
import { passOn } from "../runtime/http1/pass_on.ts";
import { answerOwn } from "./own.ts";
import type { HeaderLine } from "../runtime/http1/transport.ts";

/** The handler for `Deno.serve`. */
export function createHandler(core: Core, secrets: Secrets): Handler {
  const guard = new Guard(secrets, { now: () => core.now() });

  return async (request, { remoteAddr }) => {
    const begun = core.now();
    try {
      const { method, headers, body } = request;
      const target = splitTarget(request.url);
      // Without a Host, Deno makes up an authority: its own, which behind the front is nobody's.
      if (target.authority.startsWith("localhost:") && !headers.get("host")) {
        target.authority = `localhost:${core.port}`;
      }
      if (core.admit(method, target, headers.get("via")) === "own") {
        const own = {
          view: core.view(),
          sizes: core.sizes,
          guard,
          hasToken: secrets.token !== null,
          nowMs: begun,
        };
        return marked(answerOwn(request, target, own), core.marks(begun));
      }
      const writes = WRITES.has(method);
      // The listing too: a server without a token shows it to local callers, and to it we are one, whoever asks us.
      const guarded = writes || (target.path === "/" && secrets.token !== null);
      return response(
        await core.forward({
          method,
          target,
          fields: passOn([...headers], {
            client: remoteAddr.hostname,
            host: target.authority,
            scheme: target.scheme,
            pseudonym: core.pseudonym,
            dropOrigin: writes,
          }),
          body,
          bodyLength: writes ? contentLength(headers) : null,
          // Not `request.signal`, which costs a third of small requests and fires on success too. That a viewer went
          // away shows in the body: the request's breaks off, the answer's is cancelled.
          signal: NEVER,
          ...(guarded ? { permit: () => guard.requireToken(request) } : {}),
        }),
      );
    } catch (error) {
      return response(core.failure(error, begun));
    }
  };
}

function response({ status, headers, body }: Answered): Response {
  const init = typeof body === "string" ? body : bodyInit(body);
  try {
    return new Response(init, { status, headers });
  } catch (cause) {
    if (init instanceof ReadableStream) init.cancel().catch(() => {});
    throw new CdnError("The server's answer cannot be passed on", { source: "origin", cause });
  }
}

function marked(response: Response, marks: readonly HeaderLine[]): Response {
  for (const [name, value] of marks) response.headers.append(name, value);
  return response;
}
