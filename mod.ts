/**
 * The library's door: a server, a proxy, a pricing server and the upload client as values to build on.
 *
 * @example A server and a proxy before it, in one process
 * ```ts
 * import { listen, openServer, serveProxy, silentLogger as log } from "./mod.ts";
 *
 * const identity = { id: "a", provider: "local", region: "local", role: "origin" as const, labels: {} };
 * const server = await openServer({ data: "./data", identity });
 * const listening = listen({ hostname: "127.0.0.1", port: 8080 }, server.handler, { log, token: null });
 * server.start(listening.url);
 * const proxy = await serveProxy({ settings: { servers: [listening.url] } }, {
 *   address: { hostname: "127.0.0.1", port: 8000 },
 * });
 * console.log(proxy.url);
 * ```
 * @module
 */
export type { DescMessage, MessageShape } from "@bufbuild/protobuf";
export * from "./pricing/mod.ts";
export { type Codec, codecOf, type Encoding } from "./proto/codec.ts";
export { CdnError, type CdnErrorOptions, type ErrorSource, type FieldError } from "./proto/error.ts";
export type { Manifest, Metadata } from "./proto/manifest.ts";
export type { Version } from "./proto/version.ts";
/** Every message of the wire, as generated. */
export * as wire from "./proto/wire.ts";
export * from "./proxy/mod.ts";
export { noSecrets, type Secrets } from "./runtime/guard.ts";
export { type Handler, listen, type ListenAddress, type Listening } from "./runtime/listen.ts";
export {
  createLogger,
  type LogFields,
  type LogFormat,
  type Logger,
  type LogLevel,
  silentLogger,
} from "./runtime/log.ts";
export { VERSION } from "./runtime/version.ts";
export * from "./server/mod.ts";
export * from "./upload/mod.ts";
