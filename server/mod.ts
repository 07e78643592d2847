/**
 * One content server: takes objects, keeps them, hands them out, and shares them with the other servers.
 *
 * {@link createServer} puts the parts together from what it is given; {@link openServer} makes those parts in a
 * data folder, as `metacdn server` does.
 * @module
 */
export { clusterDefaults, type ClusterSettings, type Egress } from "./cluster/mod.ts";
export { edgeDefaults, type EdgeSettings } from "./edge/open.ts";
export { ORIGIN_DEFAULTS, type OriginSettings, parseOriginUrl } from "./edge/origins/mod.ts";
export { keepServerId, makeServerId } from "./identity.ts";
export { openServer, type OpenServerOptions, type ServerTls } from "./open.ts";
export { defaultLimits, type Identity, type Limits } from "./parts.ts";
export {
  applyPolicy,
  type CacheRules,
  type Caching,
  compilePolicy,
  defaultRules,
  type MatchedRules,
  orDefault,
  parseMatched,
  parsePolicy,
} from "./serve/policy.ts";
export type { Purgeable, Purges, PurgeSettings } from "./purge/mod.ts";
export { type ContentServer, createServer, type Needs, type ServerOptions } from "./server.ts";
export type { Precondition, Writer, Written } from "./write.ts";
export { defaultUploadLimits, type UploadLimits } from "./upload/mod.ts";
export { frontDefaults, listenServer, type ServerDoor } from "./front/listen.ts";
