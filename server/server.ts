/** Puts the parts of one server together. */
import { create } from "@bufbuild/protobuf";
import { type Codec, jsonCodec, type Manifest, wire } from "../proto/mod.ts";
import { Guard, type GuardOptions, noSecrets, type Secrets } from "../runtime/guard.ts";
import type { Application } from "../runtime/front/mod.ts";
import type { Handler } from "../runtime/listen.ts";
import { type Logger, silentLogger } from "../runtime/log.ts";
import { problemResponse } from "../runtime/problem.ts";
import { VERSION } from "../runtime/version.ts";
import { HybridClock } from "../proto/clock.ts";
import { type Cluster, noCluster } from "./cluster/cluster.ts";
import { edgeFront } from "./edge/front.ts";
import type { OpenedEdge } from "./edge/open.ts";
import { answer } from "./exchange.ts";
import { contentFront } from "./front/content.ts";
import { defaultLimits, type Identity, type Limits, newestOf, type Parts } from "./parts.ts";
import { noPublisher, type Publisher, type PublisherNeeds } from "./publish/mod.ts";
import { byTimer } from "./cluster/wake.ts";
import { createPurges, memoryPurgeLog, purgeDefaults, type Purges } from "./purge/mod.ts";
import { Refusals } from "./refusals.ts";
import { HotAnswers } from "./serve/hot_answers.ts";
import { HotBodies } from "./serve/hot.ts";
import { type CacheRules, defaultRules } from "./serve/policy.ts";
import type { Store } from "./store/store.ts";
import { watchStore } from "./store/watched_store.ts";
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
  /** Content is what it pulls from its origins; then uploads are not for us. What the store has unless given. */
  edge?: OpenedEdge;
  /** Makes what publishes a folder beside what is uploaded; nothing does unless given. */
  publisher?: (needs: PublisherNeeds) => Publisher | Promise<Publisher>;
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
  /** Answers what a front asks: content, as the handler does. */
  readonly application: Application;
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
  edge: pulling,
  publisher: makePublisher = () => noPublisher,
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
  if (pulling) made.use(pulling);
  if (guarding.nonces) made.use(guarding.nonces);
  const limits = { ...defaultLimits, ...givenLimits };
  const clock = new HybridClock(identity.id, random(), limits.maxAheadMs);
  const answers = new HotAnswers(limits.hotBytes);
  made.defer(() => answers.close());
  const watched = watchStore(given, (path) => answers.changed(path));
  const needs: Needs = { identity, store: watched, clock, limits, secrets, codec, fetch, now, random, log };
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
  const publisher = made.adopt(
    await makePublisher({
      store,
      writer,
      current: (path) => newestOf(path, { cluster, store }),
      isReady: () => cluster.progress().knowsAll,
      server: identity.id,
      maxObjectSize: limits.maxObjectSize,
      now,
      log,
    }),
    (one) => one.close(),
  );
  const hot = new HotBodies(limits.hotBytes, answers);
  answers.onGrown = () => hot.trim();
  const isReady = () => ready;
  const parts: Parts = {
    identity,
    store,
    hot,
    answers,
    uploads,
    cluster,
    purges,
    writer,
    edge: pulling ?? null,
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
    return retiring ??= Promise.all([publisher.close(), purges.close()]).then(() => cluster.close());
  };
  let closing: Promise<void> | undefined;
  const close = () => closing ??= retire().then(() => owned.disposeAsync());

  return {
    identity,
    application: pulling ? edgeFront(pulling.edge) : contentFront(parts),
    async handler(request, info) {
      try {
        return await answer(request, parts, info?.remoteAddr?.hostname);
      } catch (error) {
        refusals.note(request, error, { from: info?.remoteAddr?.hostname ?? "", nowMs: now() });
        return problemResponse(error, log);
      }
    },
    start(url, peers = []) {
      cluster.start(url, peers);
      publisher.start();
      purges.start(cluster, { expectsOthers: peers.some((peer) => peer !== url) });
      // An edge that starts is sent viewers once it knows what it should not serve any more.
      const learning = pulling ? purges.waiting : null;
      if (learning) void learning.then(() => ready = retiring === undefined);
      else ready = true;
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
