/**
 * A server in a data folder:
 *
 *     server.json    its id (identity.ts)
 *     server.key     its Ed25519 key: who has it may speak in its name
 *     store/         objects
 *     uploads/       sessions under way
 *     purges.sqlite  what was purged of caches
 *     cluster/       the list of servers, what is wanted of them, and beginnings of bodies
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
import { createPurges, noCache, openPurgeLog, type Purgeable, type PurgeSettings, purgeSettings } from "./purge/mod.ts";
import { type ContentServer, createServer, type ServerOptions } from "./server.ts";
import { openDiskStore } from "./store/mod.ts";
import { createUploads, type UploadLimits } from "./upload/mod.ts";

/** What {@link openServer} takes: the options of a server, but for the parts that it makes itself. */
export interface OpenServerOptions extends Omit<ServerOptions, "store" | "uploads" | "purges" | "cluster"> {
  /** The data folder; made where it is missing. One process at a time. */
  data: string;
  /** Bytes are refused (507) where they would leave less than this free on the disk. */
  minFreeBytes?: number;
  /** The figures of the cluster's work that are not the default. */
  cluster?: Partial<ClusterSettings>;
  /** What purges mean here; none unless given. */
  cache?: Purgeable;
  /** The figures of purging that are not the default. */
  purges?: Partial<PurgeSettings>;
  /** The limits of upload sessions that are not the default. */
  uploads?: Partial<UploadLimits>;
  /** Bodies are read again and compared with their digests at this rate, in bytes a second; 0: never. */
  scrubBytesPerSecond?: number;
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
  cache = noCache,
  purges: purging = {},
  uploads = {},
  scrubBytesPerSecond,
  egress,
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
  const nonces = openNonces(data, { nowMs: now(), log });
  opened.move(); // from here on they are the server's
  return await createServer({
    ...options,
    ...(tls && { fetch: tls.fetch }),
    now,
    log,
    store,
    guarding: { nonces, ...(verifyCertificate && { verifyCertificate }) },
    purges: async ({ identity, clock, now, random, log }) => {
      const settings = purgeSettings(purging);
      const ledger = await openPurgeLog(join(data, "purges.sqlite"), settings, { now, log });
      return createPurges({ self: identity.id, clock, ledger, cache, now, random, schedule: byTimer, log, settings });
    },
    cluster: async ({ identity, clock, secrets, codec, fetch, now, random, log, purges }) => {
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
      const cluster = createCluster({
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
      tls?.onRenewed(() => cluster.announce());
      return cluster;
    },
    uploads: ({ store, limits, writer, secure, now, log }) =>
      createUploads({
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
