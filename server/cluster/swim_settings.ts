/** The figures of membership: how often servers ping each other, and when one that does not answer counts as dead. */

/** Times in milliseconds. */
export interface SwimSettings {
  /** Between two pings that this server sends (to another one each time); each wait is jittered by a quarter. */
  pingMs: number;
  /** For a pong, before others are asked to try; it grows with the round trip that was measured. */
  pingTimeoutMs: number;
  /** How many others are asked to ping a server that does not answer. */
  indirect: number;
  /** A suspicion becomes a death after this many periods, times log10 of the number of servers. */
  suspicionMult: number;
  /** News is told this many times, times log10 of the number of servers, rounded up. */
  retransmitMult: number;
  /** Pieces of news in a message, beside what the sender says of itself and of the receiver. */
  newsPerMessage: number;
  /** Between two exchanges of whole lists with a random server; more where there are many servers. */
  syncMs: number;
  /** Until a dead server is tried again: doubled twice, then the same. */
  deadRetryMs: number;
}

/** What a server uses unless it is told otherwise. */
export const swimDefaults: SwimSettings = {
  pingMs: 1_000,
  pingTimeoutMs: 500,
  indirect: 3,
  suspicionMult: 4,
  retransmitMult: 4,
  newsPerMessage: 30,
  syncMs: 30_000,
  deadRetryMs: 30_000,
};

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
