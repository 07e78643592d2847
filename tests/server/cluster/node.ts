/** A small server around a real cluster: the peer endpoints over loopback, a store in memory, and faults on demand. */
import { createHash } from "node:crypto";
import { join } from "@std/path";
import {
  CdnError,
  codecOf,
  type Encoding,
  formatEntityTag,
  type Manifest,
  tombstone,
  type Version,
  type wire,
} from "../../../proto/mod.ts";
import { openIdentityKey } from "../../../runtime/identity_key.ts";
import { listen, type Listening } from "../../../runtime/listen.ts";
import { type LogFields, silentLogger } from "../../../runtime/log.ts";
import { messageResponse, readMessage } from "../../../runtime/message.ts";
import { PeerClient } from "../../../runtime/peer_client.ts";
import { HybridClock } from "../../../proto/clock.ts";
import { type CallName, calls } from "../../../server/cluster/calls.ts";
import {
  byTimer,
  type Cluster,
  type ClusterSettings,
  createCluster,
  httpNetwork,
  openLedger,
  openPartials,
  type Purging,
  type Schedule,
} from "../../../server/cluster/mod.ts";
import { keysOf } from "../../../server/open.ts";
import { bodySize } from "../../../server/store/store.ts";
import { memoryStore, type Store } from "../../../server/store/mod.ts";

/** Stands between a request and its answer. */
export type Fault = (request: Request, answer: () => Promise<Response>) => Promise<Response> | Response;

/** Small figures, so that tests need not wait. */
export const quick: Partial<ClusterSettings> = {
  pingMs: 60,
  pingTimeoutMs: 500,
  suspicionMult: 8,
  syncMs: 400,
  deadRetryMs: 150,
  exchangeTimeoutMs: 3000,
  backoff: { leastMs: 10, mostMs: 150 },
  againMs: 20,
  failed: { leastMs: 40, mostMs: 200 },
  scanMs: 400,
  waitMs: 300,
  pullIdleMs: 700,
  repairAfterMs: 150,
};

export interface NodeOptions {
  peers?: string[];
  encoding?: Encoding;
  role?: "origin" | "edge";
  provider?: string;
  region?: string;
  settings?: Partial<ClusterSettings>;
  store?: Store;
  folder?: string;
  fault?: Fault;
  /** Its clock is off by so much. */
  skewMs?: number;
  /** On top of every message that it sends. */
  fetch?: typeof fetch;
  /** Its timers. */
  schedule?: Schedule;
  /** What it hands purges on to. */
  purging?: Purging;
}

/** One running server. */
export class Node {
  fault: Fault;
  readonly warnings: string[] = [];
  /** Requests that came in: "POST /-/v1/peer/offers". */
  readonly requests: string[] = [];
  /** What outlives the process; the cluster's own view of it is `cluster.store`. */
  readonly disk: Store;
  readonly folder: string;
  /** What it set aside because it was away for too long. */
  readonly aside: Manifest[] = [];
  readonly clock: HybridClock;
  #listening!: Listening;
  cluster!: Cluster;
  /** Its clock is off by so much; may be set right. */
  skewMs: number;

  constructor(readonly id: string, readonly options: NodeOptions = {}) {
    this.skewMs = options.skewMs ?? 0;
    this.fault = options.fault ?? ((_, answer) => answer());
    this.disk = options.store ?? memoryStore();
    this.folder = options.folder ?? Deno.makeTempDirSync({ prefix: "metacdn-cluster-" });
    this.clock = new HybridClock(id);
  }

  get store(): Store {
    return this.cluster.store;
  }

  get url(): string {
    return this.#listening.url;
  }

  now = (): number => Date.now() + this.skewMs;

  async start(peers = this.options.peers ?? []): Promise<this> {
    const log = {
      ...silentLogger,
      warn: (message: string, fields?: LogFields) => void this.warnings.push(`${message} ${JSON.stringify(fields)}`),
      error: (message: string, fields?: LogFields) =>
        void this.warnings.push(`ERROR ${message} ${fields?.error instanceof Error ? fields.error.stack : ""}`),
    };
    const key = await openIdentityKey(this.folder);
    const client = new PeerClient({
      codec: codecOf(this.options.encoding ?? "json"),
      ...(this.options.fetch && { fetch: this.options.fetch }),
    });
    this.cluster = createCluster({
      self: {
        id: this.id,
        provider: this.options.provider ?? "aws",
        region: this.options.region ?? "us-east-1",
        role: this.options.role ?? "origin",
        labels: { rack: "1" },
        software: "0.1.0",
      },
      store: this.disk,
      clock: this.clock,
      network: httpNetwork(client),
      ledger: await openLedger(join(this.folder, "cluster.sqlite")),
      partials: await openPartials({ folder: join(this.folder, "partial"), nowMs: this.now() }),
      setAside: (manifests) => Promise.resolve(void this.aside.push(...manifests)),
      keys: keysOf(key),
      ...(this.options.purging && { purging: this.options.purging }),
      random: Math.random,
      schedule: this.options.schedule ?? byTimer,
      now: this.now,
      log,
      settings: { ...quick, ...this.options.settings },
    });
    this.#listening = listen({ hostname: "127.0.0.1", port: 0 }, (request) => {
      this.requests.push(`${request.method} ${new URL(request.url).pathname}`);
      return this.fault(request, () => this.#answer(request));
    }, { log: silentLogger, token: null });
    this.cluster.start(this.url, peers);
    return this;
  }

  /** The process ends; the folder and the store stay. */
  async stop(): Promise<void> {
    await this.cluster.close();
    await this.#listening.close(0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    if (!this.options.folder) await Deno.remove(this.folder, { recursive: true });
  }

  /** Writes an object here, as an upload would. */
  async put(path: string, content: string | Uint8Array, version?: Version): Promise<Manifest> {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    const { sha256, size } = await this.store.stage(pieces(bytes));
    const current = await this.store.get(path);
    const manifest = this.cluster.sign({
      path,
      version: version ?? this.clock.next(this.now(), current?.version),
      deleted: false,
      sha256,
      size,
      mediaType: "text/plain",
      name: "file.txt",
      modifiedMs: 1_700_000_000_000,
      meta: { author: "Zoë" },
    });
    await this.store.put(manifest);
    return manifest;
  }

  async remove(path: string, version?: Version): Promise<Manifest> {
    const current = await this.store.get(path);
    const manifest = this.cluster.sign(tombstone(path, version ?? this.clock.next(this.now(), current?.version)));
    await this.store.put(manifest);
    return manifest;
  }

  /** The text of an object that is here; null where there is none, or where its body is lost. */
  async text(path: string): Promise<string | null> {
    const manifest = await this.store.get(path);
    if (!manifest || manifest.deleted) return null;
    const body = await this.store.open(manifest.sha256);
    return body && await new Response(body.stream).text();
  }

  /** Whether the body of what is at a path is here; a tombstone has none to lack. */
  async has(path: string): Promise<boolean> {
    const manifest = await this.store.get(path);
    return manifest !== null && (manifest.deleted || await bodySize(this.store, manifest.sha256) !== null);
  }

  /** What this one says of another. */
  health(id: string): wire.ServerHealth | undefined {
    return this.cluster.servers().find((server) => server.id === id)?.health;
  }

  /** What an offer of another server is answered with. */
  receiveOffer(offer: wire.Offer): Promise<wire.OfferAnswer> {
    return this.cluster.answer("offers", offer, null);
  }

  /** What a list of another server is answered with. */
  exchangeServers(list: wire.ServerList): Promise<wire.ServerList> {
    return this.cluster.answer("servers", list, null);
  }

  ids(): string[] {
    return this.cluster.servers().map(({ id }) => id).sort();
  }

  async #answer(request: Request): Promise<Response> {
    const name = new URL(request.url).pathname.split("/").at(-1)!;
    if (!Object.hasOwn(calls, name)) return await this.#body(request, name);
    const call = name as CallName;
    const question = await readMessage(request, calls[call].question, { lenient: true, limit: 4 << 20 });
    return messageResponse(
      request,
      calls[call].answer,
      await this.cluster.answer(call, question as never, null) as never,
    );
  }

  async #body(request: Request, sha256: string): Promise<Response> {
    const size = await bodySize(this.store, sha256);
    if (size === null) throw new CdnError("no such body", { source: "client", status: 404 });
    const first = Number(/^bytes=(\d+)-$/.exec(request.headers.get("range") ?? "")?.[1] ?? 0);
    return new Response((await this.store.open(sha256, { start: first, end: size }))?.stream, {
      status: first > 0 ? 206 : 200,
      headers: {
        "etag": formatEntityTag(sha256),
        "content-length": String(size - first),
        ...(first > 0 && { "content-range": `bytes ${first}-${size - 1}/${size}` }),
      },
    });
  }
}

/** Starts a server. */
export function startNode(id: string, options: NodeOptions = {}): Promise<Node> {
  return new Node(id, options).start();
}

/** Starts servers `a` and `b`, and resolves when they know each other. */
export async function startPair(ofA: NodeOptions = {}, ofB: NodeOptions = {}): Promise<
  { a: Node; b: Node } & AsyncDisposable
> {
  await using stack = new AsyncDisposableStack();
  const a = stack.use(await startNode("a", ofA));
  const b = stack.use(await startNode("b", { ...ofB, peers: [a.url] }));
  await untilJoined(a, b);
  const owned = stack.move();
  return { a, b, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Waits until something is so; the deadline is only there so that a broken test ends. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 20_000; !await condition();) {
    if (Date.now() > end) throw new Error(`never came true: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Waits until each of the servers lists all of them as reachable. */
export async function untilJoined(...nodes: Node[]): Promise<void> {
  const ids = nodes.map(({ id }) => id).sort().join();
  await until(`${ids} know each other`, () =>
    nodes.every((node) =>
      node.ids().join() === ids &&
      node.cluster.servers().every(({ health }) => health?.state === "self" || health?.state === "alive")
    ));
}

/** Bytes in pieces, as a source of a body. */
export async function* pieces(bytes: Uint8Array, each = 65536): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += each) yield await Promise.resolve(bytes.subarray(at, at + each));
}

/** Bytes that do not repeat, the same for a seed. */
export function noise(size: number, seed = 1): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  let state = seed >>> 0 || 1;
  const words = new Uint32Array(bytes.buffer, 0, size >> 2);
  for (let at = 0; at < words.length; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[at] = state;
  }
  return bytes;
}

/** The SHA-256 as hexadecimal. */
export function digest(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}
