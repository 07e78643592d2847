/** A server without sessions: absence is an implementation. */
import { badRequest } from "../../proto/mod.ts";
import type { Uploads } from "./uploads.ts";

// deno-lint-ignore require-await -- so that what is thrown rejects
async function none(): Promise<never> {
  throw badRequest("There is no such upload", { status: 404 });
}

/** Knows no session, and opens none. */
export const noUploads: Uploads = {
  create: none,
  get: none,
  chunk: none,
  cancel: none,
  commit: none,
  [Symbol.asyncDispose]: () => Promise.resolve(),
};
