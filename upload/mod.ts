/**
 * The upload client: splits, hashes, sends, resumes, verifies.
 *
 *     await upload({ file: "photo.jpg" }, { server: "http://127.0.0.1:8080", path: "/photo.jpg" });
 * @module
 */
export { CdnError } from "../proto/error.ts";
export type { Codec } from "../proto/codec.ts";
export type { Manifest, Metadata } from "../proto/manifest.ts";
export { type FileNotes, type FileTarget, listFiles } from "./files.ts";
export { clock, printable, progressLine } from "./progress_line.ts";
export { Rate } from "./rate.ts";
export type { RetryOptions } from "./retry.ts";
export type { SessionOptions } from "./session.ts";
export type { UploadSource } from "./source.ts";
export { upload, type UploadOptions, type UploadProgress, type UploadResult } from "./upload.ts";
