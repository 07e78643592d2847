/** The list of servers, learned from the ones that were given and followed ever after. */
import { wire } from "../proto/mod.ts";
import { type PeerClient, words } from "../runtime/peer_client.ts";

/** A server that requests may go to. */
export interface Member {
  id: string;
  /** Its base URL. */
  origin: string;
  provider: string;
  region: string;
}

/** Asks for the list. */
export class Directory {
  readonly #urls: readonly string[];
  readonly #peers: Pick<PeerClient, "ask">;
  /** The one that answered last is asked first. */
  #at = 0;

  constructor(urls: readonly string[], peers: Pick<PeerClient, "ask">) {
    if (urls.length === 0) throw new RangeError("at least one server must be given");
    this.#urls = urls;
    this.#peers = peers;
  }

  /**
   * The servers by id, from the first of the given ones that answers.
   * @throws {Error} that says why each of them did not.
   */
  async ask({ timeoutMs = 5000, signal }: { timeoutMs?: number; signal?: AbortSignal } = {}): Promise<Member[]> {
    const failures: string[] = [];
    for (let tried = 0; tried < this.#urls.length; tried++) {
      const url = this.#urls[this.#at]!;
      try {
        const list = await this.#peers.ask(`${url}/-/v1/servers`, wire.ServerListSchema, {
          timeoutMs,
          ...(signal ? { signal } : {}),
        });
        return members(list);
      } catch (error) {
        failures.push(words(error));
        this.#at = (this.#at + 1) % this.#urls.length;
      }
    }
    throw new Error(failures.join("; "));
  }
}

/** What of a list is of use: those that are not removed, each id once, by id. */
export function members(list: wire.ServerList): Member[] {
  const byId = new Map(
    list.servers.filter((server) => !server.removed).map(({ id, url, provider, region }) => [
      id,
      { id, origin: url.replace(/\/$/, ""), provider, region },
    ]),
  );
  return [...byId.values()].sort((a, b) => a.id < b.id ? -1 : 1);
}
