/** The admin API of servers, as the command line uses it. */
import { create } from "@bufbuild/protobuf";
import { CdnError, jsonCodec, wire } from "../proto/mod.ts";
import type { PeerClient } from "../runtime/peer_client.ts";

/** How long a server may take to ask all others what they lack. */
const DURABILITY_TIMEOUT_MS = 60_000;

/** What can be asked. Each throws a `CdnError` with the server's own words. */
export interface ServersApi {
  list(timeoutMs?: number): Promise<wire.Server[]>;
  get(id: string): Promise<wire.Server>;
  /** The server at the URL is asked who it is, and joins. */
  add(url: string): Promise<wire.Server>;
  remove(id: string): Promise<void>;
  setDraining(id: string, draining: boolean): Promise<void>;
  durability(): Promise<wire.Durability>;
}

/** Asks the first of several servers that answers: each can say all, and be told all, for all. */
export function serversApi(client: PeerClient, urls: readonly string[]): ServersApi {
  const of = (server: string, id = "") => `${server}/-/v1/servers${id && `/${encodeURIComponent(id)}`}`;
  const done = async (response: Promise<Response>) => await (await response).body?.cancel();
  return {
    list: (timeoutMs = 15_000) =>
      firstOf(urls, async (server) => (await client.ask(of(server), wire.ServerListSchema, { timeoutMs })).servers),
    get: (id) => firstOf(urls, (server) => client.ask(of(server, id), wire.ServerSchema)),
    add: (url) =>
      firstOf(urls, (server) => {
        const question = create(wire.AddServerSchema, { url });
        return client.ask(of(server), wire.ServerSchema, { question: [wire.AddServerSchema, question] });
      }),
    remove: (id) => firstOf(urls, (server) => done(client.send({ method: "DELETE", url: of(server, id) }))),
    setDraining: (id, draining) =>
      firstOf(urls, (server) =>
        done(client.send({
          method: "PATCH",
          url: of(server, id),
          headers: { "content-type": jsonCodec.mediaType },
          body: jsonCodec.encode(wire.ChangeServerSchema, create(wire.ChangeServerSchema, { draining })),
        }))),
    durability: () =>
      firstOf(
        urls,
        (server) =>
          client.ask(`${server}/-/v1/durability`, wire.DurabilitySchema, { timeoutMs: DURABILITY_TIMEOUT_MS }),
      ),
  };
}

/**
 * The next is asked where one cannot be reached or cannot do it now, and where it is the very one that is meant (409:
 * a server does not take itself off the list).
 */
export async function firstOf<T>(urls: readonly string[], ask: (url: string) => Promise<T>): Promise<T> {
  const failures: CdnError[] = [];
  for (const url of urls) {
    try {
      return await ask(url);
    } catch (error) {
      if (!(error instanceof CdnError) || !(error.retry || error.status === 409)) throw error;
      failures.push(error);
    }
  }
  const [first] = failures;
  if (!first) throw new TypeError("urls must not be empty");
  if (failures.length === 1) throw first;
  const said = failures.map(({ message }) => message).join("; ");
  throw new CdnError(said, { source: first.source, status: first.status, retry: first.retry, cause: first });
}
