/** What the tests of upload sessions share. */
import { create } from "@bufbuild/protobuf";
import { assertRejects } from "@std/assert";
import { CdnError, type Manifest, type Metadata, wire } from "../../../proto/mod.ts";
import type { StagedBody, Store } from "../../../server/store/mod.ts";
import { createUploads, type UploadLimits, type Uploads } from "../../../server/upload/mod.ts";
import { chunksOf, sha256 } from "../../suite/store_suite.ts";

/** A write as a server makes it, without clocks: each is newer than the last. */
export function writerOf(store: Store) {
  let wallMs = 0;
  return async (
    path: string,
    body: StagedBody,
    metadata: Metadata,
  ): Promise<{ manifest: Manifest; copies: number }> => {
    wallMs = Math.max(wallMs, (await store.get(path))?.version.wallMs ?? 0) + 1;
    const manifest = { path, version: { wallMs, counter: 0, server: "t" }, deleted: false, ...body, ...metadata };
    await store.put(manifest);
    return { manifest, copies: 1 };
  };
}

/** Sessions over a store. */
export function openUploads(
  folder: string,
  store: Store,
  { now = Date.now, limits = {} }: { now?: () => number; limits?: Partial<UploadLimits> } = {},
): Promise<Uploads> {
  return createUploads({ folder, store, write: writerOf(store), now, limits: { minFreeBytes: 0, ...limits } });
}

/** Asks for a session of known bytes. */
export function requestFor(path: string, bytes: Uint8Array, more: Partial<wire.CreateUpload> = {}): wire.CreateUpload {
  return create(wire.CreateUploadSchema, {
    path,
    size: BigInt(bytes.length),
    sha256: sha256(bytes),
    ...more as { name?: string },
  });
}

/** Sends `bytes[start, end)`. */
export function send(
  uploads: Uploads,
  id: string,
  bytes: Uint8Array,
  start: number,
  end: number,
): Promise<wire.Upload> {
  const part = bytes.subarray(start, end);
  return uploads.chunk(id, start, chunksOf(part, 700), { sha256: sha256(part), size: part.length });
}

/** Commits the session as all of `bytes`. */
export function commit(uploads: Uploads, id: string, bytes: Uint8Array): Promise<wire.Upload> {
  return uploads.commit(id, create(wire.CommitUploadSchema, { sha256: sha256(bytes), size: BigInt(bytes.length) }));
}

/** What has been received, as pairs of numbers. */
export function receivedOf(upload: wire.Upload): [number, number][] {
  return upload.received.map(({ start, end }) => [Number(start), Number(end)]);
}

/** The error that `work` rejects with; its status must be `status`, and its message hold `words`. */
export async function refused(work: () => Promise<unknown>, status: number, words: string): Promise<CdnError> {
  const error = await assertRejects(work, CdnError, words);
  if (error.status !== status) throw new Error(`status ${error.status}, not ${status}: ${error.message}`);
  return error;
}
