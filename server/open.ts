/**
 * A server in a data folder:
 *
 *     server.json    its id (identity.ts)
 *     store/         objects
 *     uploads/       sessions under way
 *     cluster/       the list of servers, and what is still to be sent to them
 */
import { join } from "@std/path";
import { PeerClient } from "../runtime/peer_client.ts";
import { VERSION } from "../runtime/version.ts";
import { type ClusterSettings, createCluster } from "./cluster/mod.ts";
import { type ContentServer, createServer, type ServerOptions } from "./server.ts";
import { openDiskStore } from "./store/mod.ts";
import { createUploads, type UploadLimits } from "./upload/mod.ts";

/** What {@link openServer} takes: the options of a server, but for the parts that it makes itself. */
export interface OpenServerOptions extends Omit<ServerOptions, "store" | "uploads" | "cluster"> {
  /** The data folder; made where it is missing. One process at a time. */
  data: string;
  /** Bytes are refused (507) where they would leave less than this free on the disk. */
  minFreeBytes?: number;
  /** The figures of the cluster's work that are not the default. */
  cluster?: Partial<ClusterSettings>;
  /** The limits of upload sessions that are not the default. */
  uploads?: Partial<UploadLimits>;
}

/**
 * Opens the server of a data folder, with all that it held when it was last closed or killed.
 * @throws {CdnError} where another process has the folder open, or it cannot be used.
 */
export async function openServer(
  { data, minFreeBytes = 64 << 20, cluster: settings = {}, uploads = {}, ...options }: OpenServerOptions,
): Promise<ContentServer> {
  const store = await openDiskStore({
    folder: join(data, "store"),
    minFreeBytes,
    ...(options.now && { now: options.now }),
    ...(options.log && { log: options.log }),
  });
  return await createServer({
    ...options,
    store,
    cluster: ({ identity, clock, secrets, codec, fetch, now, random, log }) =>
      createCluster({
        self: { ...identity, software: VERSION },
        folder: join(data, "cluster"),
        store,
        clock,
        peers: new PeerClient({ clusterKey: secrets.clusterKey, codec, fetch, now }),
        random,
        now,
        log,
        settings,
      }),
    uploads: ({ limits, writer, now, log }) =>
      createUploads({
        folder: join(data, "uploads"),
        store,
        write: writer.write,
        now,
        log,
        limits: { chunkSize: limits.chunkSize, maxObjectSize: limits.maxObjectSize, minFreeBytes, ...uploads },
      }),
  });
}
