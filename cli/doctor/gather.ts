/** Asks everything that can be asked, side by side. */
import { CdnError, type wire } from "../../proto/mod.ts";
import { PeerClient } from "../../runtime/peer_client.ts";
import { askEdge } from "../edge_status.ts";
import { serversApi } from "../servers_api.ts";
import { type Probe, probe } from "./probe.ts";

/** One server's list of all servers, or why it could not be had. */
export interface View {
  url: string;
  /** The id of the server whose view it is; its URL where it does not say. */
  by: string;
  servers: wire.Server[];
  /** How it fares as an edge; null where it is none, or does not tell. */
  edge: wire.EdgeStatus | null;
  /** Empty where all went well. */
  error: string;
}

/** All that is known. */
export interface Facts {
  /** Of each server that was named. */
  views: View[];
  /** By URL: of each server that was named. */
  named: Map<string, Probe>;
  /** By id: of each server on a list; of one that was named, the same as in `named`. */
  listed: Map<string, Probe>;
  /** Or why it could not be had. */
  durability: wire.Durability | string;
  proxies: { ready: Probe; health: Probe }[];
  pricing: Probe[];
}

/** What to ask, and how. */
export interface GatherOptions {
  servers: readonly string[];
  proxies: readonly string[];
  pricing: readonly string[];
  token: string | null;
  timeoutMs: number;
  /** That trusts those whose certificates are from our own CA. */
  fetch: typeof globalThis.fetch;
  now: () => number;
  /** Told of what is still waited for after `slowMs`. */
  note: (line: string) => void;
  slowMs: number;
}

/** Never throws for what others do or fail to do: that is what is reported. */
export async function gather(options: GatherOptions): Promise<Facts> {
  const { token, timeoutMs, now, note, slowMs, fetch } = options;
  const client = new PeerClient({ token, fetch, source: "server" });
  const slowly = async <T>(what: string, work: Promise<T>): Promise<T> => {
    const timer = setTimeout(() => note(`waiting for ${what}`), slowMs);
    try {
      return await work;
    } finally {
      clearTimeout(timer);
    }
  };
  const ask = (url: string, path: string) => slowly(`${url}${path}`, probe(`${url}${path}`, { timeoutMs, now, fetch }));
  // One that pulls from no origin has nothing to tell (404).
  const edgeAt = (url: string) =>
    slowly(`${url}/-/v1/edge`, askEdge(client, url, timeoutMs)).catch((error) => {
      if (!(error instanceof CdnError)) throw error;
      return null;
    });
  const view = async (url: string): Promise<View> => {
    try {
      const servers = await slowly(`${url}/-/v1/servers`, serversApi(client, [url]).list(timeoutMs));
      const own = servers.find(({ health }) => health?.state === "self");
      const edge = own?.role === "edge" ? await edgeAt(url) : null;
      return { url, by: own?.id ?? url, servers: servers.filter(({ removed }) => !removed), edge, error: "" };
    } catch (error) {
      if (!(error instanceof CdnError)) throw error;
      return { url, by: url, servers: [], edge: null, error: error.message };
    }
  };
  const durability = async (): Promise<wire.Durability | string> => {
    try {
      return await slowly(
        "what would be lost: a server asks all others",
        serversApi(client, options.servers).durability(),
      );
    } catch (error) {
      if (!(error instanceof CdnError)) throw error;
      return error.message;
    }
  };
  const cluster = async () => {
    const [probes, views] = await Promise.all([
      Promise.all(options.servers.map((url) => ask(url, "/-/readyz"))),
      Promise.all(options.servers.map(view)),
    ]);
    const named = new Map(options.servers.map((url, at) => [url, probes[at]!]));
    // The token goes to those only that the operator named: whoever writes a record writes its URL.
    const urls = new Map(views.flatMap(({ servers }) => servers.map(({ id, url }) => [id, url])));
    for (const { by, url } of views) if (urls.has(by)) urls.set(by, url);
    const listed = await Promise.all(
      [...urls].map(async ([id, url]) => [id, named.get(url) ?? await ask(url, "/-/readyz")] as const),
    );
    return { views, named, listed: new Map(listed) };
  };
  const [known, risks, proxies, pricing] = await Promise.all([
    cluster(),
    durability(),
    Promise.all(options.proxies.map(async (url) => {
      const [ready, health] = await Promise.all([ask(url, "/-/readyz"), ask(url, "/-/healthz")]);
      return { ready, health };
    })),
    Promise.all(options.pricing.map((url) => ask(url, "/-/readyz"))),
  ]);
  return { ...known, durability: risks, proxies, pricing };
}
