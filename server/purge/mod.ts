/**
 * Purging over the whole cluster: every server keeps every purge for a while, so that any can tell any other.
 * @module
 */
export type { PurgeMembers } from "./members.ts";
export { noCache, type Purgeable } from "./purge.ts";
export { memoryPurgeLog, openPurgeLog, PurgeLog } from "./purge_log.ts";
export { createPurges, type Purges, type PurgesOptions } from "./purges.ts";
export { purgeDefaults, type PurgeSettings, purgeSettings } from "./settings.ts";
