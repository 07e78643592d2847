/** Where the edge gets what it does not have: several origins, asked with care. */
export { createOrigins, type OriginsOptions } from "./create_origins.ts";
export { type LoopGuard, loopGuard } from "./loop_guard.ts";
export { parseOriginUrl } from "./origin_url.ts";
export type { OriginRequest, OriginResponse, Origins, OriginState } from "./origins.ts";
export { ORIGIN_DEFAULTS, type OriginSettings, originSettings } from "./settings.ts";
