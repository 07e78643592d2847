/** A request that came by `Deno.serve`: to the proxy's own pages, or to the {@link Core} and back. */
import { splitTarget } from "../proto/mod.ts";
import { contentLength } from "../runtime/body.ts";
import { responseOf } from "../runtime/front/mod.ts";
import { Guard, type Secrets } from "../runtime/guard.ts";
import { passOn } from "../runtime/http1/pass_on.ts";
import { NEVER } from "../runtime/http1/stop.ts";
import type { HeaderLine } from "../runtime/http1/transport.ts";
import type { Handler } from "../runtime/listen.ts";
import { type Core, WRITES } from "./core.ts";
import { answerOwn } from "./own.ts";

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
      return responseOf(
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
        "server",
      );
    } catch (error) {
      return responseOf(core.failure(error, begun), "server");
    }
  };
}

function marked(response: Response, marks: readonly HeaderLine[]): Response {
  for (const [name, value] of marks) response.headers.append(name, value);
  return response;
}
