/**
 * A server in a data folder:
 *
 *     server.json        its id (identity.ts)
 *     server.key         its Ed25519 key: who has it may speak in its name
 *     store/             objects
 *     uploads/           sessions under way
 *     published.sqlite   what a published folder was last seen to hold (publish/)
 *     purges.sqlite      what was purged of caches
 *     cache/             what an edge pulled from its origins
 *     cluster/           the list of servers, what is wanted of them, and beginnings of bodies
 */
import { join } from "@std/path";
import { writeAll } from "../runtime/files.ts";
import { type IdentityKey, openIdentityKey, verifyEd25519 } from "../runtime/identity_key.ts";
import { silentLogger } from "../runtime/log.ts";
import { openNonces } from "../runtime/nonces.ts";
import { PeerClient } from "../runtime/peer_client.ts";
import type { VerifyCertificate } from "../runtime/signature.ts";
import { VERSION } from "../runtime/version.ts";
import {
  byTimer,
  type ClusterSettings,
  createCluster,
  type Egress,
  httpNetwork,
  type Keys,
  openLedger,
  openPartials,
} from "./cluster/mod.ts";
import type { Live } from "../runtime/live.ts";
import type { Cluster } from "./cluster/cluster.ts";
import { type EdgeSettings, openEdge } from "./edge/open.ts";
import { liveEdges } from "./edge/siblings/mod.ts";
import {
  createPurges,
  openPurgeLog,
  type Purgeable,
  type Purges,
  type PurgeSettings,
  purgeSettings,
} from "./purge/mod.ts";
import { type ContentServer, createServer, type ServerOptions } from "./server.ts";
import { openPublisher, type PublisherNeeds, type PublishSettings } from "./publish/mod.ts";
import { openDiskStore } from "./store/mod.ts";
import { createUploads, type UploadLimits } from "./upload/mod.ts";
import { noUploads } from "./upload/none.ts";

/** What {@link openServer} takes: the options of a server, but for the parts that it makes itself. */
export interface OpenServerOptions
  extends Omit<ServerOptions, "store" | "uploads" | "purges" | "cluster" | "edge" | "publisher"> {
  /** The data folder; made where it is missing. One process at a time. */
  data: string;
  /** Bytes are refused (507) where they would leave less than this free on the disk. */
  minFreeBytes?: number;
  /** The figures of the cluster's work that are not the default. */
  cluster?: Partial<ClusterSettings>;
  /** What purges mean here, in place of an edge's cache; none unless either is given. */
  cache?: Purgeable;
  /** The figures of purging that are not the default. */
  purges?: Partial<PurgeSettings>;
  /** The limits of upload sessions that are not the default. */
  uploads?: Partial<UploadLimits>;
  /** A folder whose files are objects too. */
  publish?: PublishSettings;
  /** Bodies are read again and compared with their digests at this rate, in bytes a second; 0: never. */
  scrubBytesPerSecond?: number;
  /** With it, content is pulled from origins, and uploads are not taken. */
  edge?: EdgeSettings;
  /** What a byte costs that leaves a place; the usual prices unless given. */
  egress?: Egress;
  /** With TLS: our certificate, how those of others are checked, and a `fetch` that trusts our CA. */
  tls?: ServerTls;
}

/** How a server proves by certificates who it is. */
export interface ServerTls {
  /** Our key, which the certificate binds to our id. */
  key: IdentityKey;
  /** Ours now, as DER. */
  certificate: () => Uint8Array<ArrayBuffer>;
  /** Calls when there is a new one. */
  onRenewed: (listener: () => void) => void;
  /** What another server's certificate proves. */
  verifyCertificate: VerifyCertificate;
  /** Our CA (PEM): what connections are believed by that are made in other ways than by `fetch`. */
  ca?: Live<readonly string[]>;
  /** Trusts our CA, and refuses plain text. */
  fetch: typeof globalThis.fetch;
}

/**
 * Opens the server of a data folder, with all that it held when it was last closed or killed.
 * @throws {CdnError} where another process has the folder open, or it cannot be used.
 */
export async function openServer({
  data,
  minFreeBytes = 64 << 20,
  cluster: settings = {},
  cache,
  purges: purging = {},
  uploads = {},
  publish,
  scrubBytesPerSecond,
  egress,
  edge,
  tls,
  now = Date.now,
  log = silentLogger,
  ...options
}: OpenServerOptions): Promise<ContentServer> {
  // What fails on the way closes what was opened before it.
  await using opened = new AsyncDisposableStack();
  const store = opened.use(
    await openDiskStore({
      folder: join(data, "store"),
      minFreeBytes,
      now,
      log,
      ...(scrubBytesPerSecond !== undefined && { scrubBytesPerSecond }),
    }),
  );
  const key = tls?.key ?? await openIdentityKey(data);
  const keys = keysOf(key, tls?.certificate);
  const verifyCertificate = tls?.verifyCertificate;
  const nonces = opened.use(openNonces(data, { nowMs: now(), log }));
  // The edge stands before the cluster and what purges come by, and asks them once they are there.
  let cluster: Cluster | null = null;
  let purges: Purges | null = null;
  const pulling = edge && opened.use(
    await openEdge(edge, {
      id: options.identity.id,
      siblings: edge.siblings ?? true
        ? {
          edges: liveEdges(() => cluster?.servers() ?? [], { now }),
          stamp: () => purges?.stamp() ?? "",
          ca: tls?.ca ?? null,
        }
        : null,
      now,
      random: options.random ?? Math.random,
      log,
    }),
  );
  const purged = cache ?? pulling?.edge;
  opened.move(); // from here on they are the server's
  return await createServer({
    ...options,
    ...(tls && { fetch: tls.fetch }),
    now,
    log,
    store,
    ...(pulling && { edge: pulling }),
    guarding: { nonces, ...(verifyCertificate && { verifyCertificate }) },
    purges: async ({ identity, clock, now, random, log }) => {
      const settings = purgeSettings(purging);
      const ledger = await openPurgeLog(join(data, "purges.sqlite"), settings, { now, log });
      purges = createPurges({
        self: identity.id,
        clock,
        ledger,
        ...(purged && { cache: purged }),
        now,
        random,
        schedule: byTimer,
        log,
        settings,
      });
      pulling?.edge.guardBy(purges);
      return purges;
    },
    cluster: async ({ identity, store, clock, secrets, codec, fetch, now, random, log, purges }) => {
      const identified = {
        id: identity.id,
        key,
        get certificate() {
          return tls ? keys.certificate : null;
        },
      };
      const folder = join(data, "cluster");
      await Deno.mkdir(folder, { recursive: true });
      using opening = new DisposableStack();
      const ledger = opening.adopt(await openLedger(join(folder, "cluster.sqlite")), (one) => one.close());
      const partials = await openPartials({ folder: join(folder, "partial"), nowMs: now(), minFreeBytes });
      opening.move(); // from here on it is the cluster's
      const made = createCluster({
        self: { ...identity, software: VERSION },
        store,
        clock,
        network: httpNetwork(
          new PeerClient({ clusterKey: secrets.clusterKey, codec, fetch, now, identity: identified }),
        ),
        ledger,
        partials,
        setAside: (manifests) => appendLines(join(folder, "set-aside.ndjson"), manifests),
        keys,
        purging: purges,
        ...(verifyCertificate && { verifyCertificate }),
        ...(egress && { egress }),
        random,
        now,
        schedule: byTimer,
        log,
        settings,
      });
      tls?.onRenewed(() => made.announce());
      return cluster = made;
    },
    ...(publish && { publisher: (needs: PublisherNeeds) => openPublisher(data, publish, needs) }),
    uploads: ({ store, limits, writer, secure, now, log }) =>
      edge ? noUploads : createUploads({
        folder: join(data, "uploads"),
        store,
        write: writer.write,
        secure,
        now,
        log,
        limits: { chunkSize: limits.chunkSize, maxObjectSize: limits.maxObjectSize, minFreeBytes, ...uploads },
      }),
  });
}

/** A server's own key as its cluster uses it. @param certificate the one that counts now; none without TLS */
export function keysOf(key: IdentityKey, certificate = () => new Uint8Array()): Keys {
  return {
    publicKey: key.publicKey,
    get certificate() {
      return certificate();
    },
    sign: (bytes) => key.sign(bytes),
    verify: verifyEd25519,
  };
}

/** One JSON text a line, on disk when it resolves. */
async function appendLines(file: string, values: readonly unknown[]): Promise<void> {
  using out = await Deno.open(file, { append: true, create: true });
  await writeAll(out, new TextEncoder().encode(values.map((value) => JSON.stringify(value) + "\n").join("")));
  await out.sync();
}
