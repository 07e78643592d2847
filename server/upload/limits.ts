/** How much the upload sessions of one server take, and the checks that hold them to it. */
import { badRequest, CdnError } from "../../proto/mod.ts";
import type { StagedBody } from "../store/store.ts";
import type { Session } from "./session_table.ts";

/** Sizes in bytes, times in milliseconds. */
export interface UploadLimits {
  /** The largest chunk. */
  chunkSize: number;
  /** The largest object. */
  maxObjectSize: number;
  /** Most sessions under way. */
  maxSessions: number;
  /** Most bytes that the sessions under way may come to, together. */
  maxTotalSize: number;
  /** Most pieces with gaps between them that a session may consist of. */
  maxRanges: number;
  /** Most bytes of chunks in memory, all sessions together; further chunks wait. */
  bufferSize: number;
  /** Chunks are refused where they would leave less than this free on the disk; see the store's. */
  minFreeBytes: number;
  /** After this long without a chunk a session is forgotten, and its bytes with it. */
  idleMs: number;
  /** How long a committed session is remembered, for clients that did not hear the answer. */
  rememberMs: number;
}

/** Sane for a small server. */
export const defaultUploadLimits: UploadLimits = {
  chunkSize: 2 ** 20,
  maxObjectSize: 2 ** 40,
  maxSessions: 1000,
  maxTotalSize: 2 ** 42,
  maxRanges: 1000,
  bufferSize: 64 * 2 ** 20,
  minFreeBytes: 64 * 2 ** 20,
  idleMs: 24 * 3_600_000,
  rememberMs: 3_600_000,
};

/** @throws {RangeError} for a setting that cannot work. */
export function checkUploadLimits(limits: UploadLimits): UploadLimits {
  for (const [name, value] of Object.entries(limits)) {
    const least = name === "minFreeBytes" ? 0 : 1;
    if (!(Number.isInteger(value) && value >= least)) {
      throw new RangeError(`${name} must be a whole number from ${least}`);
    }
  }
  // It is a uint32 on the wire, and one buffer in memory.
  if (limits.chunkSize > 2 ** 30) throw new RangeError("chunkSize must be at most 1 GiB");
  return limits;
}

/** @throws {CdnError} 413 for an object that is too large. */
export function requireObjectSize(size: number, { maxObjectSize }: UploadLimits): void {
  if (size <= maxObjectSize) return;
  throw badRequest(`An object must be at most ${maxObjectSize} bytes long`, { status: 413 });
}

/** @throws {CdnError} 400 for a chunk that is not inside the upload; 413 where it makes the object too large. */
export function requireInside({ size }: Session, offset: number, length: number, limits: UploadLimits): void {
  if (!Number.isSafeInteger(offset) || offset < 0) {
    throw badRequest("The chunk's offset must be a whole number from 0");
  }
  const end = offset + length;
  if (size === null) requireObjectSize(end, limits);
  else if (end > size) throw badRequest(`The chunk must lie in the ${size} bytes of the upload, but ends at ${end}`);
}

/** What the sessions under way come to. */
export interface Load {
  sessions: number;
  /** The bytes that they may come to on disk. */
  bytes: number;
}

/** @throws {CdnError} 503 where `more` does not fit beside what is under way. */
export function requireRoomFor(more: Load, underWay: Load, { maxSessions, maxTotalSize }: UploadLimits): void {
  const full = underWay.sessions + more.sessions > maxSessions
    ? `${maxSessions} uploads are`
    : underWay.bytes + more.bytes > maxTotalSize
    ? `uploads of up to ${maxTotalSize} bytes in all may be`
    : null;
  if (full === null) return;
  throw new CdnError(`Cannot go on with the upload: at most ${full} under way at a time`, {
    source: "server",
    status: 503,
    retry: true,
    retryAfterSeconds: 60,
  });
}

/** @throws {CdnError} 409 where a commit is for other bytes than its session. */
export function requireSame(session: Session, wanted: StagedBody): void {
  if ((session.size ?? wanted.size) === wanted.size && (session.sha256 || wanted.sha256) === wanted.sha256) return;
  throw badRequest(
    `Cannot commit ${wanted.size} bytes with the digest ${wanted.sha256}: the upload is for ` +
      `${session.size ?? wanted.size} bytes with the digest ${session.sha256 || wanted.sha256}`,
    { status: 409 },
  );
}
