/** Makes one file that stands still an object, where that is called for. */
import { createHash } from "node:crypto";
import { formatVersion, type Manifest } from "../../proto/mod.ts";
import { mediaTypeOf } from "../media_type.ts";
import { isLive } from "../parts.ts";
import type { Store } from "../store/store.ts";
import { piecesOf } from "../store/stream.ts";
import type { Writer } from "../write.ts";
import { type Look, lookAt, type OpenFile, sameLook } from "./folder.ts";
import type { Row } from "./table.ts";

/** What publishing a file needs of the server. */
export interface FileNeeds {
  store: Pick<Store, "stage">;
  writer: Writer;
  /** The newest version of a path that is known. */
  current: (path: string) => Promise<Manifest | null>;
  /** Our id among the servers. */
  server: string;
  /** Ends it, in the middle of a file too. */
  signal: AbortSignal;
}

/** What became of a file; `version` is for its row (null: the object is somebody else's). */
export type Put =
  | { readonly put: "published"; readonly version: string }
  /** Nothing is to be written: the object has these bytes, or is `newer` than a file that was never seen. */
  | { readonly put: "same"; readonly version: string | null; readonly newer: boolean }
  /** It changed while it was read, or its object did: nothing is done. */
  | { readonly put: "moving" };

/** The path of an object got another version while we were at it. */
export class Overtaken extends Error {}

/**
 * Publishes an open file that is not as it was seen last.
 * @param row what was seen of it; null where it never was
 */
export async function putFile(path: string, open: OpenFile, row: Row | null, needs: FileNeeds): Promise<Put> {
  const { current, server, signal } = needs;
  const { file, look } = open;
  const newest = await current(path);
  if (row || isLive(newest)) {
    const sha256 = await digestOf(file, signal);
    if (!sameLook(await lookAt(file), look)) return { put: "moving" };
    const isThere = isLive(newest) && newest.sha256 === sha256;
    const isNewer = !row && isLive(newest) && newest.version.wallMs >= look.modifiedMs;
    if (isThere || isNewer) {
      const version = formatVersion(newest.version);
      // The process may have ended between a write and its note: what we would have written, we have.
      const isOurs = row?.version === version ||
        isThere && newest.version.server === server && newest.modifiedMs === dateOf(look) && newest.name === "";
      return { put: "same", version: isOurs ? version : null, newer: !isThere };
    }
    await file.seek(0, Deno.SeekMode.Start);
  }
  return await write(path, open, newest, needs);
}

async function write(
  path: string,
  { file, look }: OpenFile,
  newest: Manifest | null,
  { store, writer, signal }: FileNeeds,
): Promise<Put> {
  const before = newest && formatVersion(newest.version);
  try {
    const staged = await store.stage(until(signal, piecesOf(file)), { size: look.size });
    if (!sameLook(await lookAt(file), look)) return { put: "moving" };
    const metadata = { mediaType: mediaTypeOf(path), name: "", modifiedMs: dateOf(look), meta: {} };
    const { manifest } = await writer.write(path, staged, metadata, (current) => {
      if ((current && formatVersion(current.version)) !== before) throw new Overtaken();
    });
    return { put: "published", version: formatVersion(manifest.version) };
  } catch (error) {
    // It may have failed because it changed, as where it got another size.
    if (error instanceof Overtaken || !sameLook(await lookAt(file), look)) return { put: "moving" };
    throw error;
  }
}

async function digestOf(file: Deno.FsFile, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of until(signal, piecesOf(file))) hash.update(piece);
  return hash.digest("hex");
}

async function* until<T>(signal: AbortSignal, items: AsyncIterable<T>): AsyncGenerator<T> {
  for await (const item of items) {
    signal.throwIfAborted();
    yield item;
  }
}

/** What a manifest takes: files may be older than 1970. */
function dateOf({ modifiedMs }: Look): number {
  return Math.min(Math.max(modifiedMs, 0), 2 ** 47);
}
