/**
 * Where a server keeps its objects: the `Store` and what implements it.
 * @module
 */
export * from "./memory.ts";
export * from "./store.ts";
