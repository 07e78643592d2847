/** No room: how it is noticed beforehand, and how it is told. */
import { statfsSync } from "node:fs";
import { CdnError } from "../../proto/mod.ts";

/** The 507 of a store without room (RFC 4918 §11.5). Another server may have room; this one will not soon. */
export function noRoom(action: string, cause?: unknown): CdnError {
  return new CdnError(`Cannot ${action}: there is no room left on this server`, {
    source: "server",
    status: 507,
    cause,
  });
}

/** What `work` gives; an error that means a full disk (or quota) becomes a 507. */
export async function withRoom<T>(action: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw isFull(error) ? noRoom(action, error) : error;
  }
}

/** As {@link withRoom}, for work that is done when it returns. */
export function orNoRoom<T>(action: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw isFull(error) ? noRoom(action, error) : error;
  }
}

/** True for ENOSPC and EDQUOT, and for what SQLite makes of them. */
export function isFull(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code, message } = error as Error & { code?: string };
  if (code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG") return true;
  return code === "ERR_SQLITE_ERROR" && message.includes("disk is full") || /\(os error (28|122|27)\)/.test(message);
}

/** Free bytes on the disk that `folder` is on; null where we may not ask (`--allow-sys=statfs`). */
export function freeBytes(folder: string): number | null {
  if (Deno.permissions.querySync({ name: "sys", kind: "statfs" }).state !== "granted") return null;
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

/** @throws {CdnError} 507 where `bytes` more would leave less than `reserve` free, as far as we may ask. */
export function requireRoom(action: string, folder: string, bytes: number, reserve: number): void {
  if (reserve === 0) return;
  const free = freeBytes(folder);
  if (free !== null && free - bytes < reserve) throw noRoom(action);
}
