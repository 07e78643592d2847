/**
 * The proxy: chooses a server for each request by what each link does and each byte costs.
 * @module
 */
export { checkName } from "./hosts.ts";
export { createProxy, type Proxy, type ProxyOptions, type ProxyTls } from "./create.ts";
export { POLICIES, type Policy } from "./score.ts";
export { serveProxy, type ServeProxyOptions, type ServingProxy } from "./serve.ts";
export { PROXY_DEFAULTS, type ProxySettings } from "./settings.ts";
export type { ServerView, View } from "./view.ts";
export type {
  HeaderLine,
  Transport,
  UpstreamRequest,
  UpstreamResponse,
  UpstreamTiming,
} from "../runtime/http1/transport.ts";
