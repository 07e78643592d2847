/**
 * The library's door.
 * @module
 */
export { CdnError } from "./proto/mod.ts";
