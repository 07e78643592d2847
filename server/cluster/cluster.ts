/**
 * What the rest of a server needs of its cluster. `exchange.ts` calls these; it does not know how
 * servers find or feed each other.
 */
import { CdnError, type Manifest, type wire } from "../../proto/mod.ts";

/** The other servers, seen from one of them. */
export interface Cluster {
  /** Begins its background work: joins `peers`, exchanges lists, sends what others lack. `url` is our own. */
  start(url: string, peers: readonly string[]): void;
  /** Ends it; resolves when nothing of it runs any more. */
  close(): Promise<void>;
  /** Says that a manifest was put into the store here, by an upload or a delete: others should have it soon. */
  changed(): void;
  /** Ourselves first, then the others by id, each with its health; removed ones are not among them. */
  servers(): wire.Server[];
  /** True where an authority (`normalAuthority`) is that of another server's URL, and not of our own. */
  isAnother(authority: string): boolean;
  /** Asks the server at `url` who it is, and adds it. Throws a `CdnError` (source "peer") where it does not answer. */
  addServer(url: string): Promise<wire.Server>;
  /** Takes a server off the list, here and soon everywhere; false where there is none of that id, or it is ourselves. */
  removeServer(id: string): Promise<boolean>;
  /** POST /-/v1/peer/servers: learns a peer's list, answers with ours (removed ones among them). */
  exchangeServers(list: wire.ServerList): Promise<wire.ServerList>;
  /** POST /-/v1/peer/offers: takes what is news to us; waits a while for bodies, then says how it stands. */
  receiveOffer(offer: wire.Offer): Promise<wire.OfferAnswer>;
  /** How many servers, ourselves among them, are known to hold this very version (or a newer one) on disk. */
  copies(manifest: Manifest): number;
}

// deno-lint-ignore require-await -- so that what is thrown rejects
async function alone(): Promise<never> {
  // 501 and not 409 (RFC 9110 §15.6.2): nothing that the client could do first would make it work.
  throw new CdnError("Cannot take part in a cluster: this server was started without one", {
    source: "server",
    status: 501,
  });
}

/** A server that is alone: absence is an implementation. What only a cluster can do is a 501. */
export function noCluster(self: () => wire.Server): Cluster {
  return {
    start() {},
    close: () => Promise.resolve(),
    changed() {},
    servers: () => [self()],
    isAnother: () => false,
    addServer: alone,
    removeServer: () => Promise.resolve(false),
    exchangeServers: (list) => Promise.resolve(list),
    receiveOffer: alone,
    copies: () => 1,
  };
}
