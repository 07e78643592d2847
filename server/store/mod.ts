/**
 * Where a server keeps its objects: the `Store` and what implements it.
 * @module
 */
export { type DiskStore, type DiskStoreOptions, openDiskStore } from "./disk.ts";
export * from "./memory.ts";
export * from "./path_key.ts";
export {
  bodySize,
  type BodySource,
  type Entry,
  type Listing,
  type ListQuery,
  type LostBody,
  type OpenBody,
  type StagedBody,
  type Store,
} from "./store.ts";
export type { Scrubbed, Sleep } from "./scrubber.ts";
