/** The figures of membership: how often servers ping each other, and when one that does not answer counts as dead. */
import { clusterDefaults, type ClusterSettings } from "./settings.ts";

/** Those of the cluster's figures that membership goes by. */
export type SwimSettings = Pick<
  ClusterSettings,
  | "pingMs"
  | "pingTimeoutMs"
  | "indirect"
  | "suspicionMult"
  | "retransmitMult"
  | "newsPerMessage"
  | "syncMs"
  | "deadRetryMs"
>;

/** What a server uses unless it is told otherwise. */
export const swimDefaults: SwimSettings = clusterDefaults;

/** How long a suspected server has to speak up, of `servers` in all (SWIM §4.2; grown as HashiCorp's memberlist does). */
export function suspicionMs(servers: number, { suspicionMult, pingMs }: SwimSettings): number {
  return suspicionMult * Math.max(1, Math.log10(servers + 1)) * pingMs;
}

/** How often each piece of news is told (SWIM §4.1: λ log n times reach everybody with high probability). */
export function retransmissions(servers: number, { retransmitMult }: SwimSettings): number {
  return retransmitMult * Math.max(1, Math.ceil(Math.log10(servers + 1)));
}

/** Between two exchanges of whole lists: from 32 servers on longer, as the lists are, and as there are more to exchange. */
export function syncWaitMs(servers: number, { syncMs }: SwimSettings): number {
  return servers <= 32 ? syncMs : syncMs * (1 + Math.ceil(Math.log2(servers / 32)));
}
