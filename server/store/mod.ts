/**
 * Where a server keeps its objects: the `Store` and what implements it.
 * @module
 */
export { type DiskStore, type DiskStoreOptions, openDiskStore } from "./disk.ts";
export * from "./memory.ts";
export * from "./store.ts";
export { pathKey } from "./path_key.ts";
