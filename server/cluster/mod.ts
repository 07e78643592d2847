/**
 * How servers find and feed each other.
 * @module
 */
export { type Cluster, noCluster } from "./cluster.ts";
export { type ClusterDeps, createCluster } from "./create_cluster.ts";
export type { Self } from "./members.ts";
export { type Backoff, clusterDefaults, type ClusterSettings, clusterSettings } from "./settings.ts";
export { byTimer, type Schedule } from "./wake.ts";
