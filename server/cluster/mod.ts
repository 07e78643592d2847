/**
 * The servers of one cluster, seen from one of them: who is there, what they have, and what keeps them equal.
 * @module
 */
export { type Cluster, noCluster, type Progress } from "./cluster.ts";
export { type ClusterDeps, createCluster } from "./create_cluster.ts";
export { httpNetwork } from "./http_network.ts";
export { openLedger } from "./ledger.ts";
export { openPartials } from "./partials.ts";
export { type Egress, usualEgress } from "./paths.ts";
export type { Keys, Ledger, Network, Partials, Purging } from "./ports.ts";
export { type Backoff, clusterDefaults, type ClusterSettings } from "./settings.ts";
export { byTimer, type Schedule } from "./wake.ts";
