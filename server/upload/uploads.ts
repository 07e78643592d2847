/**
 * Upload sessions: create, chunks, commit. `exchange.ts` calls these; `createUploads` in `sessions.ts`
 * makes one. Every acknowledged chunk is on disk, and a session outlives the process.
 */
import type { wire } from "../../proto/mod.ts";

/** The sessions of one server. Every method throws a `CdnError` where it cannot do what it is asked. */
export interface Uploads extends AsyncDisposable {
  /** Opens a session, or hands back the open one for the same path, size and digest. */
  create(request: wire.CreateUpload): Promise<wire.Upload>;
  /** How a session stands; 404 where there is none. */
  get(id: string): Promise<wire.Upload>;
  /**
   * Takes one chunk at an offset: any order, and again where the client is not sure. The chunk counts only
   * when all of it has come and its digest is right.
   */
  chunk(
    id: string,
    offset: number,
    data: AsyncIterable<Uint8Array>,
    check: { sha256: string; size: number | null },
  ): Promise<wire.Upload>;
  /** Forgets a session and its bytes; 404 where there is none. */
  cancel(id: string): Promise<void>;
  /** Makes the object visible; a repeated commit of a committed session answers as the first did. */
  commit(id: string, request: wire.CommitUpload): Promise<wire.Upload>;
}
