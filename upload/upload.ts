/**
 * One upload, from the source to a verified object:
 *
 *     hash -> open a session -> send what is missing, several chunks at once -> commit -> verify
 *
 * A source that can be read at any place is hashed first: by path, size and digest the server knows an open
 * session again, so that an upload goes on where it stopped although nothing was written down here. A stream
 * is hashed while it is sent, chunk after chunk.
 */
import { createHash } from "node:crypto";
import { CdnError, encodePath, type Manifest, manifestFromWire, type Metadata, pathFault, wire } from "../proto/mod.ts";
import { covered, missing, type Piece } from "./plan.ts";
import { SessionClient, type SessionOptions } from "./session.ts";
import { type Content, hashContent, openContent, rechunk, type UploadSource } from "./source.ts";

/** Where to, how, and what is said of the object. */
export interface UploadOptions extends SessionOptions, Partial<Metadata> {
  /** The object's path: decoded, starts with "/". */
  path: string;
  /** Chunks under way at once, 1 to 16. Not for streams, which go one after the other. */
  concurrency?: number;
  /** The largest chunk that we send, in bytes; the server's own limit holds besides. It bounds our memory. */
  chunkSize?: number;
  /** Told whenever the upload got further. */
  onProgress?: (progress: UploadProgress) => void;
}

/** How far an upload is. */
export interface UploadProgress {
  /** What is done now, in this order; a stream has no hashing. */
  phase: "hashing" | "sending" | "committing";
  /** Bytes hashed, or on the server, so far. */
  bytes: number;
  /** Of those, bytes that an earlier attempt had sent. */
  resumed: number;
  /** In bytes; null for a stream. */
  size: number | null;
}

/** An object that is on the server, as the server says and as we have checked. */
export interface UploadResult {
  /** The object's path. */
  path: string;
  /** Where the object can be had now. */
  url: string;
  /** In bytes. */
  size: number;
  /** As hexadecimal. */
  sha256: string;
  /** How many servers held it on disk when the commit was answered. */
  copies: number;
  /** `present`: the server had all of its bytes already, and none was sent. */
  state: "sent" | "present";
  /** Bytes that an earlier attempt had sent. */
  resumed: number;
  /** All that the server keeps of it beside its bytes. */
  object: Manifest;
}

/** Four of these as JSON are under way in well under 200 MiB. */
const CHUNK_SIZE = 2 << 20;
/** How often a session that the server forgot is opened again. */
const SESSIONS = 3;
/** The session expired (404), the server lost some of its bytes (409), or all of them are in doubt (422). */
const LOST = [404, 409, 422];

/**
 * Uploads one object and verifies that the server holds it.
 * @throws {CdnError} source "client" where the source cannot be read, has changed, or the server refuses what
 * it is; source "server" where the server cannot be reached or fails, after several tries.
 */
export async function upload(source: UploadSource, options: UploadOptions): Promise<UploadResult> {
  const { path, concurrency = 4, chunkSize = CHUNK_SIZE } = options;
  const fault = pathFault(path);
  if (fault) throw new CdnError(`The path ${fault}`, { source: "client" });
  if (!(Number.isInteger(concurrency) && concurrency >= 1 && concurrency <= 16)) {
    throw new RangeError(`concurrency must be from 1 to 16, not ${concurrency}`);
  }
  if (!(Number.isInteger(chunkSize) && chunkSize >= 1)) {
    throw new RangeError("chunkSize must be a whole number above 0");
  }
  const client = new SessionClient(options);
  if (source instanceof ReadableStream) return await sendStream(client, source, options);
  await using content = await openContent(source);
  return await sendContent(client, content, options);
}

async function sendContent(client: SessionClient, content: Content, options: UploadOptions): Promise<UploadResult> {
  const { onProgress = () => {}, signal } = options;
  const { size } = content;
  const sha256 = await hashContent(content, {
    signal,
    onBytes: (bytes) => onProgress({ phase: "hashing", bytes, resumed: 0, size }),
  });
  await content.requireUnchanged();
  const request = {
    path: options.path,
    size: BigInt(size),
    sha256,
    ...metadata({ modifiedMs: content.modifiedMs, ...options }),
  };
  for (let session = 1;; session++) {
    const opened = await client.open(request);
    if (opened.state === wire.Upload_State.COMMITTED) return verified(opened, options, { size, sha256, sent: false });
    const received = opened.received.map(pieceFromWire);
    const resumed = covered(size, received);
    try {
      await sendMissing(client, opened, content, received, options);
      await content.requireUnchanged();
      onProgress({ phase: "committing", bytes: size, resumed, size });
      const done = await client.commit(opened.id, sha256, size);
      return verified(done, options, { size, sha256, sent: size === 0 || resumed < size, resumed });
    } catch (error) {
      signal?.throwIfAborted();
      await content.requireUnchanged(); // the better reason, if it has one
      if (!(error instanceof CdnError) || !LOST.includes(error.status) || session >= SESSIONS) throw error;
    }
  }
}

/** Keeps `concurrency` chunks under way until all are there; the first failure ends it. */
async function sendMissing(
  client: SessionClient,
  opened: wire.Upload,
  content: Content,
  received: readonly Piece[],
  { concurrency = 4, chunkSize = CHUNK_SIZE, onProgress = () => {}, signal }: UploadOptions,
): Promise<void> {
  const { size } = content;
  const resumed = covered(size, received);
  let bytes = resumed;
  const largest = Math.min(chunkSizeFor(opened, chunkSize), Math.max(size, 1));
  const pieces = missing(size, largest, received);
  const report = () => onProgress({ phase: "sending", bytes, resumed, size });
  report();
  const lane = async () => {
    const buffer = new Uint8Array(largest);
    // One generator for all lanes: it hands out each piece once, and a lane that throws ends it for the others.
    for (const { start, end } of pieces) {
      signal?.throwIfAborted();
      await client.chunk(opened.id, start, await content.read(buffer.subarray(0, end - start), start));
      bytes += end - start;
      report();
    }
  };
  // All lanes have ended before this does: none of them reads a file that is closed.
  const ends = await Promise.allSettled(Array.from({ length: concurrency }, lane));
  for (const end of ends) if (end.status === "rejected") throw end.reason;
}

async function sendStream(
  client: SessionClient,
  stream: ReadableStream<Uint8Array>,
  options: UploadOptions,
): Promise<UploadResult> {
  const { onProgress = () => {}, chunkSize = CHUNK_SIZE, signal } = options;
  try {
    const opened = await client.open({ path: options.path, ...metadata(options) });
    const hash = createHash("sha256");
    let size = 0;
    for await (const chunk of rechunk(stream, chunkSizeFor(opened, chunkSize))) {
      signal?.throwIfAborted();
      hash.update(chunk);
      await client.chunk(opened.id, size, chunk);
      size += chunk.length;
      onProgress({ phase: "sending", bytes: size, resumed: 0, size: null });
    }
    onProgress({ phase: "committing", bytes: size, resumed: 0, size });
    const sha256 = hash.digest("hex");
    return verified(await client.commit(opened.id, sha256, size), options, { size, sha256, sent: true });
  } finally {
    // Where it failed before the stream was begun; else the loop has let go of it.
    if (!stream.locked) await stream.cancel().catch(() => {});
  }
}

function chunkSizeFor(opened: wire.Upload, ours: number): number {
  if (opened.chunkSize > 0) return Math.min(opened.chunkSize, ours);
  throw new CdnError("Cannot send: the server takes chunks of 0 bytes", { source: "server" });
}

function metadata({ mediaType = "", name = "", modifiedMs = 0, meta = {} }: Partial<Metadata>) {
  return { mediaType, name, modifiedMs: BigInt(Math.trunc(modifiedMs)), meta };
}

function pieceFromWire({ start, end }: wire.ByteRange): Piece {
  return { start: Number(start), end: Number(end) };
}

/** Trust is good: what the server says it stored must be what we sent. */
function verified(
  upload: wire.Upload,
  { server, path }: UploadOptions,
  { size, sha256, sent, resumed = 0 }: { size: number; sha256: string; sent: boolean; resumed?: number },
): UploadResult {
  if (upload.state !== wire.Upload_State.COMMITTED || !upload.object) {
    throw new CdnError("The upload was not committed, although the server answered as if it were", {
      source: "server",
    });
  }
  const object = manifestFromWire(upload.object);
  if (object.sha256 !== sha256 || object.size !== size || object.path !== path) {
    throw new CdnError(
      `The server stored something else: ${object.path} of ${object.size} bytes with SHA-256 ${object.sha256}, ` +
        `not ${path} of ${size} bytes with ${sha256}`,
      { source: "server" },
    );
  }
  const url = server + encodePath(path);
  return { path, url, size, sha256, copies: upload.copies, state: sent ? "sent" : "present", resumed, object };
}
