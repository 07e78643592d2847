/**
 * Upload sessions: large files in chunks, which go on where either side stopped.
 * @module
 */
export { defaultUploadLimits, type UploadLimits } from "./limits.ts";
export { noUploads } from "./none.ts";
export { createUploads, type UploadsOptions } from "./sessions.ts";
export type { Uploads } from "./uploads.ts";
