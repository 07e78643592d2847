/** The list of servers, learned from the ones that were given and followed ever after. */
import { wire } from "../proto/mod.ts";
import type { PeerClient } from "../runtime/peer_client.ts";
import { Fallbacks } from "./fallbacks.ts";

/** A server that requests may go to. */
export interface Member {
  id: string;
  /** Its base URL. */
  origin: string;
  provider: string;
  region: string;
  /** Why it is chosen only where no other server is left; empty where it is one like the others. */
  lastResort: string;
}

/** What a {@link Directory} asks by. */
export interface DirectoryOptions {
  /** To the URLs that were given: it may carry the token. */
  given: Pick<PeerClient, "ask">;
  /** To servers that we only know from the list. */
  learned: Pick<PeerClient, "ask">;
  /** How long one that did not answer is asked only after the others. */
  avoidMs: number;
  now: () => number;
}

/** Servers that are asked in one go: each may cost us its whole time, and the others have their turn the next time. */
const MOST_TRIES = 8;
/** How long one of them may take. */
const TIMEOUT_MS = 5000;

/** Asks for the list: the given ones, and where none of them answers, those that they told of. */
export class Directory {
  readonly #urls: readonly string[];
  readonly #options: DirectoryOptions;
  readonly #fallbacks: Fallbacks;
  #members: Member[] = [];
  /** Members of which a server that was not given knows nothing, and since when. */
  readonly #missingMs = new Map<string, number>();

  constructor(urls: readonly string[], options: DirectoryOptions) {
    if (urls.length === 0) throw new RangeError("at least one server must be given");
    this.#urls = urls;
    this.#options = options;
    this.#fallbacks = new Fallbacks(options.avoidMs);
  }

  /**
   * The servers by id, from the first that answers. What a server that was not given does not list stays for a while:
   * it may just have begun, with nobody on its list but itself.
   * @param reachable origins of servers of the list that seem to be up
   * @throws {Error} that says why each of them did not.
   */
  async ask(
    reachable: readonly string[] = [],
    { signal }: { signal?: AbortSignal } = {},
  ): Promise<Member[]> {
    const { given, learned, now } = this.#options;
    const all = [...new Set([...this.#urls, ...reachable])];
    return await this.#fallbacks.first(all, async (url) => {
      const isGiven = this.#urls.includes(url);
      const list = await (isGiven ? given : learned).ask(`${url}/-/v1/servers`, wire.ServerListSchema, {
        timeoutMs: TIMEOUT_MS,
        ...(signal ? { signal } : {}),
      });
      return this.#members = isGiven ? this.#trusted(list) : this.#doubted(list);
    }, { now, signal, most: MOST_TRIES });
  }

  #trusted(list: wire.ServerList): Member[] {
    this.#missingMs.clear();
    return members(list);
  }

  #doubted(list: wire.ServerList): Member[] {
    const { avoidMs, now } = this.#options;
    const told = members(list);
    const missing = this.#members.filter(({ id }) => !told.some((one) => one.id === id));
    for (const id of this.#missingMs.keys()) if (!missing.some((one) => one.id === id)) this.#missingMs.delete(id);
    for (const { id } of missing) if (!this.#missingMs.has(id)) this.#missingMs.set(id, now());
    return byId([...told, ...missing.filter(({ id }) => now() - this.#missingMs.get(id)! < avoidMs)]);
  }
}

/** What of a list is of use: those that are not removed, each id once, by id. */
export function members(list: wire.ServerList): Member[] {
  const each = new Map(
    list.servers.filter((server) => !server.removed).map((server) => {
      const { id, url, provider, region } = server;
      return [id, { id, origin: url.replace(/\/$/, ""), provider, region, lastResort: lastResort(server) }];
    }),
  );
  return byId([...each.values()]);
}

/** Why a server is chosen only where no other one is left, by what the servers say of it; empty where it is not so. */
function lastResort({ draining, health }: wire.Server): string {
  if (draining) return "it is being drained";
  return ["suspect", "dead", "left"].includes(health?.state ?? "") ? `the servers call it ${health!.state}` : "";
}

function byId(list: Member[]): Member[] {
  return list.sort((a, b) => a.id < b.id ? -1 : 1);
}
