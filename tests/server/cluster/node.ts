/** A small server around a real cluster: the peer endpoints over loopback, a store in memory, and faults on demand. */
import { createHash } from "node:crypto";
import {
  CdnError,
  codecOf,
  type Encoding,
  formatEntityTag,
  HybridClock,
  type Manifest,
  tombstone,
  type Version,
  wire,
} from "../../../proto/mod.ts";
import { listen, type Listening } from "../../../runtime/listen.ts";
import { type LogFields, silentLogger } from "../../../runtime/log.ts";
import { messageResponse, readMessage } from "../../../runtime/message.ts";
import { PeerClient } from "../../../runtime/peer_client.ts";
import { type Cluster, type ClusterSettings, createCluster } from "../../../server/cluster/mod.ts";
import { memoryStore, type Store } from "../../../server/store/mod.ts";

/** Stands between a request and its answer. */
export type Fault = (request: Request, answer: () => Promise<Response>) => Promise<Response> | Response;

/** Small figures, so that tests need not wait. */
export const quick: Partial<ClusterSettings> = {
  heartbeatMs: 200,
  exchangeTimeoutMs: 3000,
  backoff: { leastMs: 10, mostMs: 150 },
  againMs: 20,
  failed: { leastMs: 40, mostMs: 200 },
  relayMs: 60,
  scanMs: 400,
  waitMs: 300,
  pullIdleMs: 700,
};

export interface NodeOptions {
  peers?: string[];
  encoding?: Encoding;
  role?: "origin" | "edge";
  settings?: Partial<ClusterSettings>;
  store?: Store;
  folder?: string;
  fault?: Fault;
  /** Its clock is off by so much. */
  skewMs?: number;
  /** On top of every message that it sends. */
  fetch?: typeof fetch;
}

/** One running server. */
export class Node {
  fault: Fault;
  readonly warnings: string[] = [];
  /** Requests that came in: "POST /-/v1/peer/offers". */
  readonly requests: string[] = [];
  readonly store: Store;
  readonly folder: string;
  #clock: HybridClock;
  #listening!: Listening;
  cluster!: Cluster;
  /** Its clock is off by so much; may be set right. */
  skewMs: number;

  constructor(readonly id: string, readonly options: NodeOptions = {}) {
    this.skewMs = options.skewMs ?? 0;
    this.fault = options.fault ?? ((_, answer) => answer());
    this.store = options.store ?? memoryStore();
    this.folder = options.folder ?? Deno.makeTempDirSync({ prefix: "metacdn-cluster-" });
    this.#clock = new HybridClock(id);
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
    this.cluster = await createCluster({
      self: {
        id: this.id,
        provider: "aws",
        region: "us-east-1",
        role: this.options.role ?? "origin",
        labels: { rack: "1" },
        software: "0.1.0",
      },
      folder: this.folder,
      store: this.store,
      clock: this.#clock,
      peers: new PeerClient({
        codec: codecOf(this.options.encoding ?? "json"),
        ...(this.options.fetch && { fetch: this.options.fetch }),
      }),
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
    const manifest: Manifest = {
      path,
      version: version ?? this.#clock.next(this.now(), current?.version),
      deleted: false,
      sha256,
      size,
      mediaType: "text/plain",
      name: "file.txt",
      modifiedMs: 1_700_000_000_000,
      meta: { author: "Zoë" },
    };
    await this.store.put(manifest);
    this.cluster.changed();
    return manifest;
  }

  async remove(path: string, version?: Version): Promise<Manifest> {
    const current = await this.store.get(path);
    const manifest = tombstone(path, version ?? this.#clock.next(this.now(), current?.version));
    await this.store.put(manifest);
    this.cluster.changed();
    return manifest;
  }

  /** The text of an object that is here; null where there is none. */
  async text(path: string): Promise<string | null> {
    const manifest = await this.store.get(path);
    if (!manifest || manifest.deleted) return null;
    return await new Response((await this.store.open(manifest.sha256))?.stream).text();
  }

  /** What this one says of another. */
  health(id: string): wire.ServerHealth | undefined {
    return this.cluster.servers().find((server) => server.id === id)?.health;
  }

  ids(): string[] {
    return this.cluster.servers().map(({ id }) => id).sort();
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname === "/-/v1/peer/servers") {
      const list = await readMessage(request, wire.ServerListSchema, { lenient: true });
      return messageResponse(request, wire.ServerListSchema, await this.cluster.exchangeServers(list));
    }
    if (pathname === "/-/v1/peer/offers") {
      const offer = await readMessage(request, wire.OfferSchema, { lenient: true });
      return messageResponse(request, wire.OfferAnswerSchema, await this.cluster.receiveOffer(offer));
    }
    return await this.#body(request, pathname.split("/").at(-1)!);
  }

  async #body(request: Request, sha256: string): Promise<Response> {
    const { entries } = await this.store.list({ by: "path", limit: 1000 });
    const size = entries.find(({ manifest }) => manifest.sha256 === sha256)?.manifest.size;
    if (size === undefined) throw new CdnError("no such body", { source: "client", status: 404 });
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
      node.cluster.servers().every(({ health }) => health?.state === "self" || health?.state === "reachable")
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
