/** A front for tests: what it answers is laid down in a table. */
import {
  type Application,
  finish,
  type Finished,
  type Front,
  type FrontLimits,
  openFront,
} from "../../../runtime/front/mod.ts";
import type { Handler } from "../../../runtime/listen.ts";
import { silentLogger } from "../../../runtime/log.ts";
import type { TlsSource } from "../../../runtime/tls_source.ts";

/** What a test may say of its front. */
export interface TestFront extends Partial<Application> {
  hotAnswers?: Record<string, Finished>;
  handler?: Handler;
  limits?: Partial<FrontLimits>;
  tls?: TlsSource;
}

/** A finished answer with an entity tag. */
export function finished(body: string | Uint8Array, bornMs = 0): Finished {
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const fields: [string, string][] = [["date", ""], ["etag", '"v1"'], ["age", "0"]];
  return finish(200, [...fields, ["content-length", String(bytes.length)]], bytes, {
    bornMs,
    etag: '"v1"',
    notModified: finish(304, fields, null, { bornMs }),
  });
}

/** Opens one; `Deno.serve` behind it answers `behind METHOD URL CLIENT` unless told otherwise. */
export function testFront({ hotAnswers = {}, handler, limits, tls, ...application }: TestFront = {}): Front {
  return openFront({ hostname: "127.0.0.1", port: 0 }, {
    application: {
      hot: (_method, target) => hotAnswers[target] ?? null,
      answer: () => null,
      ...application,
    },
    handler: handler ??
      ((request, { remoteAddr }) => new Response(`behind ${request.method} ${request.url} ${remoteAddr.hostname}`)),
    limits: { mostViewers: 100, viewerHeadMs: 10_000, viewerIdleMs: 10_000, tunnelIdleMs: 10_000, ...limits },
    log: silentLogger,
    token: null,
    ...(tls && { tls }),
  });
}

/** `await using` closes it. */
export function closing(front: Front): Front & AsyncDisposable {
  return { ...front, counts: front.counts, [Symbol.asyncDispose]: () => front.close(1000) };
}
