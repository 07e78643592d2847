/** Puts the parts of one server together. */
import { create } from "@bufbuild/protobuf";
import { type Codec, jsonCodec, type Manifest, wire } from "../proto/mod.ts";
import { Guard, type GuardOptions, noSecrets, type Secrets } from "../runtime/guard.ts";
import type { Handler } from "../runtime/listen.ts";
import { type Logger, silentLogger } from "../runtime/log.ts";
import { problemResponse } from "../runtime/problem.ts";
import { VERSION } from "../runtime/version.ts";
import { HybridClock } from "../proto/clock.ts";
import { type Cluster, noCluster } from "./cluster/cluster.ts";
import { answer } from "./exchange.ts";
import { byTimer } from "./cluster/wake.ts";
import { createPurges, memoryPurgeLog, purgeDefaults, type Purges } from "./purge/mod.ts";
import { defaultLimits, type Identity, type Limits, type Parts } from "./parts.ts";
import { Refusals } from "./refusals.ts";
import { HotBodies } from "./serve/hot.ts";
import { type CacheRules, defaultRules } from "./serve/policy.ts";
import type { Store } from "./store/store.ts";
import type { Uploads } from "./upload/uploads.ts";
import { createWriter, type Writer } from "./write.ts";

/** What every part of a server works with. */
export interface Needs {
  /** Who it is. */
  identity: Identity;
  /** Where its objects are. */
  store: Store;
  /** What its writes are stamped by. */
  clock: HybridClock;
  /** How much is taken at once. */
  limits: Limits;
  /** The token and the cluster key. */
  secrets: Secrets;
  /** What messages to other servers are sent in. */
  codec: Codec;
  /** How other servers are called. */
  fetch: typeof globalThis.fetch;
  /** Milliseconds since 1970. */
  now: () => number;
  /** From 0 up to 1. */
  random: () => number;
  /** Where events go. */
  log: Logger;
}

/** What a server is made from. */
export interface ServerOptions {
  /** Who it is. */
  identity: Identity;
  /** Where its objects are. */
  store: Store;
  /** Makes the upload sessions. */
  uploads: (needs: Needs & { writer: Writer; secure: (manifest: Manifest) => Promise<number> }) =>
    | Uploads
    | Promise<Uploads>;
  /** Makes what purges are taken by; with a log in memory and no cache unless given. */
  purges?: (needs: Needs) => Purges | Promise<Purges>;
  /** Makes the cluster, which hands on purges; alone unless given. */
  cluster?: (needs: Needs & { purges: Purges }) => Cluster | Promise<Cluster>;
  /** None unless given: for loopback only. */
  secrets?: Secrets;
  /** How other servers prove who they are, beyond the secrets: by certificates, with nonces that outlive a restart. */
  guarding?: Pick<GuardOptions, "verifyCertificate" | "nonces">;
  /** What we send to other servers in. */
  codec?: Codec;
  /** How long caches may keep what; four weeks unless given. */
  policy?: CacheRules;
  /** Those that are not the default. */
  limits?: Partial<Limits>;
  /** Milliseconds since 1970. */
  now?: () => number;
  /** From 0 up to 1. */
  random?: () => number;
  /** How other servers are called. */
  fetch?: typeof globalThis.fetch;
  /** Says nothing unless given. */
  log?: Logger;
}

/** A server, ready to be given to `listen`. */
export interface ContentServer extends AsyncDisposable {
  /** Who it is. */
  readonly identity: Identity;
  /** Answers one request; never throws. */
  readonly handler: Handler;
  /** Begins background work once it is known where others reach us (with port 0, only after listening). */
  start(url: string, peers?: readonly string[]): void;
  /** Ends background work, and with it the answers that wait for something; the rest still answers. */
  retire(): Promise<void>;
  /** Retires, and closes what it was made from, the store among them: stop listening first. */
  close(): Promise<void>;
}

/** Puts a server together. It owns what it is given: {@link ContentServer.close} closes it. */
export async function createServer({
  identity,
  store: given,
  uploads: makeUploads,
  purges: makePurges = forgetful,
  cluster: makeCluster = alone,
  secrets = noSecrets,
  guarding = {},
  codec = jsonCodec,
  policy = defaultRules,
  limits: givenLimits = {},
  now = Date.now,
  fetch = globalThis.fetch,
  random = Math.random,
  log = silentLogger,
}: ServerOptions): Promise<ContentServer> {
  // What fails on the way closes what was made before it.
  await using made = new AsyncDisposableStack();
  made.use(given);
  if (guarding.nonces) made.use(guarding.nonces);
  const limits = { ...defaultLimits, ...givenLimits };
  const clock = new HybridClock(identity.id, random(), limits.maxAheadMs);
  const needs: Needs = { identity, store: given, clock, limits, secrets, codec, fetch, now, random, log };
  let ready = false;

  const purges = made.use(await makePurges(needs));
  const cluster = made.adopt(await makeCluster({ ...needs, purges }), (one) => one.close());
  // What the rest writes passes the cluster's view of the store, so that it knows of it.
  const { store } = cluster;
  const guard = new Guard(secrets, {
    now,
    isOthers: (authority) => cluster.isAnother(authority),
    keyring: cluster,
    ...guarding,
  });
  const writer = createWriter({ store, cluster, clock, now });
  const uploads = made.use(
    await makeUploads({ ...needs, store, writer, secure: (manifest) => cluster.secure(manifest) }),
  );
  const hot = new HotBodies(limits.hotBytes);
  const isReady = () => ready;
  const parts: Parts = {
    identity,
    store,
    hot,
    uploads,
    cluster,
    purges,
    writer,
    guard,
    policy,
    limits,
    log,
    now,
    ready: isReady,
  };
  const refusals = new Refusals(log);
  const owned = made.move();

  let retiring: Promise<void> | undefined;
  const retire = () => {
    ready = false;
    // Purges ask by the cluster.
    return retiring ??= purges.close().then(() => cluster.close());
  };
  let closing: Promise<void> | undefined;
  const close = () => closing ??= retire().then(() => owned.disposeAsync());

  return {
    identity,
    async handler(request, info) {
      try {
        return await answer(request, parts);
      } catch (error) {
        refusals.note(request, error, { from: info?.remoteAddr?.hostname ?? "", nowMs: now() });
        return problemResponse(error, log);
      }
    },
    start(url, peers = []) {
      cluster.start(url, peers);
      purges.start(cluster, { expectsOthers: peers.some((peer) => peer !== url) });
      ready = true;
    },
    retire,
    close,
    [Symbol.asyncDispose]: close,
  };
}

function alone({ identity, store }: Needs): Cluster {
  let url = "";
  const self = () => create(wire.ServerSchema, { ...identity, url, software: VERSION, health: { state: "self" } });
  return { ...noCluster(self, store), start: (ours) => void (url = ours) };
}

async function forgetful({ identity, clock, now, random, log }: Needs): Promise<Purges> {
  const ledger = await memoryPurgeLog(purgeDefaults);
  return createPurges({ self: identity.id, clock, ledger, now, random, schedule: byTimer, log });
}
