/**
 * What the rest of a server needs of its cluster. `exchange.ts` calls these; it does not know how
 * servers find, feed and mend each other.
 */
import { CdnError, type Manifest, type wire } from "../../proto/mod.ts";
import type { Store } from "../store/store.ts";
import type { Answer, Ask, CallName, Question } from "./calls.ts";

/** The other servers, seen from one of them. */
export interface Cluster {
  /** The store to read from and to write to: what goes through it is known to the cluster. */
  readonly store: Store;
  /** Begins its background work: joins `peers`, hears who is alive, fills and mends. `url` is our own. */
  start(url: string, peers: readonly string[]): void;
  /** Tells the others anew who we are: our certificate is another one. */
  announce(): void;
  /** Tells the others that we go, and ends all work; resolves when nothing of it runs any more. */
  close(): Promise<void>;
  /** How far we are with what others have and we lack. */
  progress(): Progress;

  /** Ourselves first, then the others by id, each with its health; removed ones are not among them. */
  servers(): wire.Server[];
  /** True where an authority (`normalAuthority`) is that of another server's URL, and not of our own. */
  isAnother(authority: string): boolean;
  /** Asks the server at `url` who it is, and adds it. Throws a `CdnError` (source "peer") where it does not answer. */
  addServer(url: string): Promise<wire.Server>;
  /** Takes a server off the list, here and soon everywhere; false where there is none of that id, or it is ourselves. */
  removeServer(id: string): Promise<boolean>;
  /** Drains a server (it takes no writes and is sent no viewers), or lets it go on; null where there is none. */
  drainServer(id: string, draining: boolean): Promise<wire.Server | null>;
  /** True where we are being drained. */
  draining(): boolean;

  /**
   * Answers what another server asks.
   * @param from its proven id; null where servers have no keys (on loopback)
   */
  answer<Name extends CallName>(name: Name, question: Question<Name>, from: string | null): Promise<Answer<Name>>;
  /** In our name. @throws {CdnError} source "peer" where it does not answer. */
  ask: Ask;
  /** The key of a server, by which its requests are checked; null where it is not known. */
  keyOf(id: string): Uint8Array | null;
  /** A server brought its key along, with proof that it may: false where another one is known. */
  introduce(id: string, publicKey: Uint8Array, certificate: Uint8Array | null): boolean;

  /** A manifest that we accept, with our signature. */
  sign(manifest: Manifest): Manifest;
  /** How many servers, ourselves among them, are known to hold this very version (or a newer one) on disk. */
  copies(manifest: Manifest): number;
  /**
   * Resolves with that number once a write may be acknowledged.
   * @throws {CdnError} 503 where too few servers hold it in time.
   */
  secure(manifest: Manifest): Promise<number>;

  /** The newest version of a path that is known here where its body is not; null where what the store has counts. */
  wanted(path: string): Manifest | null;
  /**
   * The bytes from `start` up to `end` of a body that is not held, through a server that has it.
   * @throws {CdnError} 503 where nobody can give it.
   */
  fetchBody(
    manifest: Manifest,
    range: { start: number; end: number },
  ): Promise<ReadableStream<Uint8Array<ArrayBuffer>>>;
  /** What would be lost, and what out of reach, if one machine, provider, … vanished now. */
  durability(): Promise<wire.Durability>;
}

/** How far a server is that fills itself. */
export interface Progress {
  /** False where it does not know yet what there is: a 404 of it would mean nothing. */
  knowsAll: boolean;
  /** Objects that it knows, tombstones too. */
  objects: number;
  /** Of them: those whose bodies are still to come, and their bytes. */
  wantedObjects: number;
  wantedBytes: number;
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
export function noCluster(self: () => wire.Server, store: Store): Cluster {
  return {
    store,
    start() {},
    announce() {},
    close: () => Promise.resolve(),
    progress: () => ({ knowsAll: true, objects: 0, wantedObjects: 0, wantedBytes: 0 }),
    servers: () => [self()],
    isAnother: () => false,
    addServer: alone,
    removeServer: () => Promise.resolve(false),
    drainServer: () => Promise.resolve(null),
    draining: () => false,
    answer: alone,
    ask: alone,
    keyOf: () => null,
    introduce: () => false,
    sign: (manifest) => manifest,
    copies: () => 1,
    secure: () => Promise.resolve(1),
    wanted: () => null,
    // deno-lint-ignore require-await -- so that what is thrown rejects
    async fetchBody({ path }) {
      throw new CdnError(`Cannot read the body of ${path}`, { source: "server", status: 503, retry: true });
    },
    durability: alone,
  };
}
