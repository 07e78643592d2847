/** What purging needs of the cluster. */
import type { Cluster } from "../cluster/cluster.ts";

/** The other servers: all on the list, ourselves first, each with its health; and how they are asked. */
export type PurgeMembers = Pick<Cluster, "servers" | "ask">;
