/**
 * A server in a data folder:
 *
 *     server.json    its id (identity.ts)
 *     store/         objects
 *     uploads/       sessions under way
 *     cluster/       the list of servers, and what is still to be sent to them
 */
import { join } from "@std/path";
import { type ContentServer, createServer, type ServerOptions } from "./server.ts";
import { openDiskStore } from "./store/mod.ts";
import { noUploads } from "./upload/none.ts";

/** What {@link openServer} takes: the options of a server, but for the parts that it makes itself. */
export interface OpenServerOptions extends Omit<ServerOptions, "store" | "uploads" | "cluster"> {
  /** The data folder; made where it is missing. One process at a time. */
  data: string;
}

/**
 * Opens the server of a data folder, with all that it held when it was last closed or killed.
 * @throws {CdnError} where another process has the folder open, or it cannot be used.
 */
export async function openServer({ data, ...options }: OpenServerOptions): Promise<ContentServer> {
  const store = await openDiskStore({
    folder: join(data, "store"),
    ...(options.now && { now: options.now }),
    ...(options.log && { log: options.log }),
  });
  try {
    return await createServer({
      ...options,
      store,
      uploads: () => noUploads,
    });
  } catch (error) {
    await store[Symbol.asyncDispose]();
    throw error;
  }
}
