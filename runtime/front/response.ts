/** An answer as `Deno.serve` takes it: {@link responseOf}. */
import { CdnError } from "../../proto/mod.ts";
import { bodyInit } from "../http1/body_source.ts";
import type { HeaderLine } from "../http1/transport.ts";
import { type Answered, isSource } from "./application.ts";

/**
 * The same answer as a `Response`.
 * @param whose it is, for the error: "origin"
 * @throws {CdnError} source "origin" for one that none can be; its body is given up
 */
export function responseOf({ status, headers, body }: Answered, whose: string): Response {
  const init = isSource(body) ? bodyInit(body) : body;
  try {
    return new Response(init, { status, headers: headers as HeaderLine[] });
  } catch (cause) {
    if (init instanceof ReadableStream) init.cancel().catch(() => {});
    throw new CdnError(`The ${whose}'s answer cannot be passed on`, { source: "origin", cause });
  }
}
