/**
 * The language that all parts speak: messages and their codecs, paths, digests, versions, errors.
 * Pure: no input or output, and nothing of the other rooms is imported.
 * @module
 */
export * from "./check.ts";
export * from "./clock.ts";
export * from "./codec.ts";
export * from "./digest.ts";
export * from "./error.ts";
export * from "./manifest.ts";
export { manifestBytes, manifestSignatureHolds, signManifest } from "./manifest_signature.ts";
export * from "./path.ts";
export { recordBytes } from "./record_signature.ts";
export * from "./rules.ts";
export * from "./target.ts";
export * from "./version.ts";
export * as wire from "./wire.ts";
