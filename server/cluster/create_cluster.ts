/** Puts the pieces together: members and gossip, what is known and what is wanted, the hot path, and repair. */
import { Buffer } from "node:buffer";
import { clone, create } from "@bufbuild/protobuf";
import {
  CdnError,
  type Manifest,
  manifestToWire,
  normalAuthority,
  splitTarget,
  type Version,
  versionFromWire,
  versionToWire,
  wire,
} from "../../proto/mod.ts";
import { signManifest } from "../../proto/manifest_signature.ts";
import type { Logger } from "../../runtime/log.ts";
import type { HybridClock } from "../../proto/clock.ts";
import type { Store } from "../store/store.ts";
import type { Answer, CallName, Question } from "./calls.ts";
import { Abandon } from "./abandon.ts";
import { type Answers, answersOf } from "./answers.ts";
import { Catalog } from "./catalog.ts";
import type { Cluster, Progress } from "./cluster.ts";
import { Copies } from "./copies.ts";
import { gatherDurability } from "./gather_durability.ts";
import { Filler } from "./fill.ts";
import { Gossip } from "./gossip.ts";
import { Health } from "./health.ts";
import { Holders } from "./holders.ts";
import { Links } from "./links.ts";
import { Members, type Self } from "./members.ts";
import { type Egress, rankSources, usualEgress } from "./paths.ts";
import { type Keys, type Ledger, type Network, noPurging, type Partials, type Peer, type Purging } from "./ports.ts";
import { Puller } from "./pull.ts";
import { ReadThrough } from "./read_through.ts";
import { Receiver } from "./receive.ts";
import type { VerifyCertificate } from "./referee.ts";
import { Repair } from "./repair.ts";
import { type ClusterSettings, clusterSettings } from "./settings.ts";
import { Spreading } from "./spreading.ts";
import { Staleness } from "./stale.ts";
import { SteadyClock } from "./steady_clock.ts";
import type { State } from "./swim.ts";
import { Tasks } from "./tasks.ts";
import { Trust } from "./trust.ts";
import type { Schedule } from "./wake.ts";

/** What a cluster is made from. Time, chance, timers, disk and network come from outside. */
export interface ClusterDeps {
  self: Self;
  store: Store;
  clock: HybridClock;
  network: Network;
  /** It owns it: closing the cluster closes it. */
  ledger: Ledger;
  partials: Partials;
  /** Keeps what a server that was away for too long takes out of its content; durable when it resolves. */
  setAside: (manifests: readonly Manifest[]) => Promise<void>;
  keys: Keys;
  /** What it hands purges on to; it takes none unless given. */
  purging?: Purging;
  /** With TLS: what a certificate proves. Throws a `CdnError` with the reason where it proves nothing. */
  verifyCertificate?: VerifyCertificate;
  /** What a byte costs that leaves a place. */
  egress?: Egress;
  random: () => number;
  now: () => number;
  schedule: Schedule;
  log: Logger;
  settings?: Partial<ClusterSettings>;
}

/**
 * One server's view of its cluster.
 * @throws {RangeError} for wrong settings.
 */
export function createCluster(deps: ClusterDeps): Cluster {
  try {
    return new RunningCluster({ ...deps, settings: clusterSettings(deps.settings) });
  } catch (error) {
    deps.ledger.close();
    throw error;
  }
}

type Parts = ClusterDeps & { settings: ClusterSettings };

/** In the ledger, once the list has ever held another server. */
const OTHERS = "others";
/** How long a server that knows others waits to hear from one before it answers for itself. */
const HEAR_MS = 10_000;

class RunningCluster implements Cluster {
  readonly #parts: Parts;
  /** The same with a clock that never goes back. */
  readonly #waiting: Parts;
  readonly #stop = new AbortController();
  readonly #members: Members;
  readonly #health: Health;
  readonly #holders = new Holders();
  readonly #links = new Links();
  readonly #copies: Copies;
  readonly #catalog: Catalog;
  readonly #gossip: Gossip;
  readonly #puller: Puller;
  readonly #filler: Filler;
  readonly #readThrough: ReadThrough;
  readonly #trust: Trust;
  readonly #receiver: Receiver;
  readonly #repair: Repair;
  readonly #abandon: Abandon;
  readonly #spreading: Spreading;
  readonly #purging: Purging;
  readonly #answers: Answers;
  /** What was begun in the background, and requests of others that are being answered. */
  readonly #tasks = new Tasks();
  /** The catalog is being read. */
  #reading: Promise<void> = Promise.resolve();
  #started = false;
  #startedMs = 0;
  /** There are others, or the config says so: without them we do not know what there is. */
  #expectsOthers = false;
  /** The list has held another origin, in this run or an earlier one. */
  #hadOthers: boolean;

  constructor(parts: Parts) {
    this.#parts = parts;
    const { signal } = this.#stop;
    const { ledger, keys, now, settings, schedule } = parts;
    this.#hadOthers = ledger.fact(OTHERS) !== null;
    this.#purging = parts.purging ?? noPurging;
    // For waits: a wall clock that is put right must not make one of an hour of them.
    const steady = new SteadyClock(now, Infinity);
    this.#waiting = { ...parts, now: () => steady.read() };
    this.#health = new Health(now);
    const onMark = (id: string, reason: string) => this.#mark(id, reason);
    this.#members = new Members(parts);
    const hasMembers = this.#members.others().length > 0;
    const staleness = new Staleness(parts, hasMembers);
    this.#copies = new Copies({
      holders: this.#holders,
      counted: () => this.#origins().filter(({ draining }) => !draining).map(({ id }) => id),
      own: () => parts.self.role === "origin" || !this.#hadOthers ? 1 : 0,
      least: () => this.#leastCopies(),
      waitMs: settings.copiesWaitMs,
      schedule,
      signal,
    });
    this.#catalog = new Catalog({ ...parts, signal, stale: () => staleness.told });
    this.#trust = new Trust({ keys, keysOf: (id) => this.#members.keysOf(id), holders: this.#holders });
    this.#gossip = new Gossip({
      ...parts,
      members: this.#members,
      signal,
      content: () => this.#catalog.summary(),
      onContent: (id, content) => this.#heardContent(id, content),
      onState: (id, state) => this.#stateChanged(id, state),
      onRtt: (id, ms) => this.#links.roundTrip(id, ms),
      onBack: () => this.#purging.back(),
    });
    this.#puller = new Puller({
      ...this.#waiting,
      signal,
      sources: (size, hints) => this.#sources(size, hints),
      isWanted: (sha256) => ledger.wanted.byBody(sha256).length > 0,
      use: (id) => this.#links.use(id),
      onTransfer: (id, bytes, ms) => this.#links.transfer(id, bytes, ms),
      onFault: (id, sha256, reason) => {
        if (reason === null) return this.#health.faultless(id, sha256);
        this.#health.faulty(id, sha256, reason);
        this.#mark(id, `sent a wrong body: ${reason}`);
      },
    });
    this.#spreading = new Spreading({
      ...parts,
      self: parts.self.id,
      sending: {
        ...this.#waiting,
        self: () => this.#members.self,
        urlOf: (id) => this.#urlOf(id),
        read: (sha256) => this.#bytesOf(sha256),
        onHeld: (id, manifest, newer) => this.#held(id, manifest, newer),
        onRefused: (id, reason) => this.#health.refused(id, reason),
      },
      everybody: () => [this.#members.self, ...this.#members.others()],
      isAlive: (id) => this.#isAlive(id),
      holds: (id, manifest) => this.#holders.has(id, manifest),
    });
    this.#readThrough = new ReadThrough({
      ...parts,
      signal,
      puller: this.#puller,
      sources: (size) => this.#sources(size, new Set()),
      onWrong: (id, reason) => this.#mark(id, reason),
    });
    this.#filler = new Filler({
      ...this.#waiting,
      signal,
      wanted: ledger.wanted,
      puller: this.#puller,
      settle: (sha256) => this.#catalog.settle(sha256),
      onMissing: (manifest) => this.#track(this.#abandon.consider(manifest)),
    });
    this.#abandon = new Abandon({
      ...parts,
      catalog: this.#catalog,
      origins: () => this.#origins(),
      ask: (url, { path, version }) => this.#askStanding(url, path, version),
      leastCopies: () => this.#leastCopies(),
      stamp: (after) => parts.clock.next(now(), after),
      write: (manifest) => this.#catalog.store.put(this.sign(manifest)),
      onFound: (manifest, id) => this.#track(this.#filler.bring(manifest, id)),
    });
    const isListed = (id: string) => this.#members.get(id) !== null;
    this.#receiver = new Receiver({
      ...parts,
      signal,
      catalog: this.#catalog,
      isListed,
      holders: this.#holders,
      filler: this.#filler,
      trust: this.#trust,
      onMark,
      onHolder: () => this.#copies.changed(),
    });
    this.#repair = new Repair({
      ...this.#waiting,
      wall: now,
      signal,
      self: parts.self.id,
      catalog: this.#catalog,
      wanted: ledger.wanted,
      staleness,
      trust: { check: (manifest, from) => this.#distrust(manifest, from) },
      onOlder: (id) => {
        const { asOf } = this.#holders;
        return (ours, knownThere) => {
          const rollback = this.#trust.rollback(id, ours, knownThere, asOf);
          if (rollback) this.#mark(id, rollback);
          this.#holders.drop(id, ours, asOf);
        };
      },
      offer: (id, manifests) => this.#push(id, manifests),
      reach: (id) => this.#reach(id),
      prefer: (peers) => this.#rank(peers.map(({ id }) => id), 0).flatMap((id) => this.#reach(id) ?? []),
      reason: ({ path }) => this.#filler.reason(path),
    });
    this.#answers = answersOf({
      gossip: this.#gossip,
      receiver: this.#receiver,
      repair: this.#repair,
      catalog: this.#catalog,
      store: parts.store,
      purging: this.#purging,
      isListed,
    });
    this.#catalog.onWanted(() => this.#filler.changed());
    this.#catalog.onHeld((manifest) => {
      this.#copies.replaced(manifest);
      this.#spread(manifest);
    });
    this.#members.onMark = onMark;
    this.#members.onChange = () => this.#follow();
    this.#members.onAdmin = (id) => this.#holders.forget(id);
  }

  get store(): Store {
    return this.#catalog.store;
  }

  start(url: string, peers: readonly string[]): void {
    if (this.#started || this.#stop.signal.aborted) throw new TypeError("a cluster is started once");
    this.#started = true;
    this.#startedMs = this.#parts.now();
    this.#members.announce(url);
    this.#reading = this.#read();
    this.#gossip.start();
    this.#filler.start();
    // An edge holds what is uploaded to it, and hands that on; it has no need to know all.
    if (this.#parts.self.role === "origin") this.#repair.start();
    this.#follow();
    const others = [...new Set(peers)].filter((peer) => peer !== url);
    this.#expectsOthers = others.length > 0 || this.#hadOthers;
    for (const peer of others) this.#gossip.join(peer);
  }

  announce(): void {
    if (!this.#started || this.#stop.signal.aborted) return;
    this.#members.announce(this.#members.self.url);
    this.#follow();
  }

  async close(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    if (this.#started) await this.#gossip.leave();
    this.#stop.abort(new CdnError("The server is closing", { source: "server", status: 503, retry: true }));
    await Promise.all([
      this.#gossip.ended(),
      this.#receiver.ended(),
      this.#filler.ended(),
      this.#puller.ended(),
      this.#repair.ended(),
      this.#spreading.close(),
    ]);
    await this.#tasks.ended();
    await this.#reading;
    await this.#catalog.ended();
    this.#parts.ledger.close();
  }

  progress(): Progress {
    const { objects, wantedObjects, wantedBytes } = this.#catalog.summary();
    return {
      knowsAll: this.#knowsAll(),
      objects: Number(objects),
      wantedObjects: Number(wantedObjects),
      wantedBytes: Number(wantedBytes),
    };
  }

  servers(): wire.Server[] {
    const { now } = this.#parts;
    const self = clone(wire.ServerSchema, this.#members.self);
    const content = this.#catalog.summary();
    self.health = create(wire.ServerHealthSchema, {
      state: "self",
      lastHeardMs: BigInt(now()),
      incarnation: BigInt(this.#gossip.state(self.id).incarnation),
      error: this.#gossip.state(self.id).error,
      lagObjects: content.wantedObjects,
      lagBytes: content.wantedBytes,
      content,
    });
    self.draining = this.draining();
    return [self, ...this.#members.others().map((server) => this.#withHealth(server))];
  }

  isAnother(authority: string): boolean {
    const has = ({ url }: wire.Server) => normalAuthority(splitTarget(url)) === authority;
    return !has(this.#members.self) && this.#members.others().some(has);
  }

  async addServer(url: string): Promise<wire.Server> {
    this.#requireOpen();
    const record = await this.#gossip.exchange(url);
    this.#requireOpen();
    if (record.id === this.#members.self.id) {
      throw new CdnError(`Cannot add ${url}: it is this server itself`, { source: "peer", status: 409 });
    }
    const fault = this.#members.add(record, url);
    const listed = this.#members.get(record.id);
    if (!listed) throw new CdnError(`Cannot add ${url}: its record ${fault ?? "was not taken"}`, { source: "peer" });
    // It may have been told that it was removed: now it hears otherwise.
    await this.#gossip.exchange(url).catch(() => {});
    return this.#withHealth(listed);
  }

  // deno-lint-ignore require-await -- so that what it throws is a rejection
  async removeServer(id: string): Promise<boolean> {
    this.#requireOpen();
    return this.#members.remove(id);
  }

  // deno-lint-ignore require-await -- so that what it throws is a rejection
  async drainServer(id: string, draining: boolean): Promise<wire.Server | null> {
    this.#requireOpen();
    if (!this.#members.drain(id, draining)) return null;
    return this.servers().find((server) => server.id === id) ?? null;
  }

  draining(): boolean {
    return this.#members.isDraining(this.#parts.self.id);
  }

  async answer<Name extends CallName>(
    name: Name,
    question: Question<Name>,
    from: string | null,
  ): Promise<Answer<Name>> {
    this.#requireOpen();
    const answer = Promise.resolve(this.#answers[name](question as never, from) as Answer<Name>);
    this.#tasks.run(answer, () => {}); // who asks hears of it
    return await answer;
  }

  async ask<Name extends CallName>(
    url: string,
    name: Name,
    question: Question<Name>,
    { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal },
  ): Promise<Answer<Name>> {
    this.#requireOpen();
    const signals = AbortSignal.any([this.#stop.signal, signal]);
    return await this.#parts.network.ask(url, name, question, { timeoutMs, signal: signals });
  }

  keyOf(id: string): Uint8Array | null {
    return this.#members.keyOf(id);
  }

  introduce(id: string, publicKey: Uint8Array, certificate: Uint8Array | null): boolean {
    return this.#members.introduce(id, publicKey, certificate ?? new Uint8Array());
  }

  sign(manifest: Manifest): Manifest {
    const { keys } = this.#parts;
    return { ...manifest, signature: signManifest(manifest, (bytes) => keys.sign(bytes)) };
  }

  copies(manifest: Manifest): number {
    return this.#copies.count(manifest);
  }

  async secure(manifest: Manifest): Promise<number> {
    const { settings, schedule } = this.#parts;
    // After a restart nobody has been offered it yet, or we have forgotten who has it.
    this.#spread(manifest);
    // Where its children in the tree do not answer, everybody is asked.
    const cancel = schedule(() => {
      this.#spreading.offerToAll(manifest);
    }, settings.copiesWaitMs / 4);
    try {
      return await this.#copies.secure(manifest);
    } finally {
      cancel();
    }
  }

  wanted(path: string): Manifest | null {
    return this.#catalog.isWanted(path);
  }

  // deno-lint-ignore require-await -- so that what it throws is a rejection
  async fetchBody(manifest: Manifest, range: { start: number; end: number }) {
    this.#requireOpen();
    return this.#readThrough.body(manifest, range);
  }

  async durability(): Promise<wire.Durability> {
    this.#requireOpen();
    const { store, ledger, network, settings, now, log, self } = this.#parts;
    const { signal } = this.#stop;
    const timeoutMs = settings.exchangeTimeoutMs;
    return await gatherDurability({
      servers: this.servers(),
      store,
      wanted: ledger.wanted,
      equalise: async ({ id, url }) => {
        if (this.#isEqual(id)) return true;
        await this.#repair.reconcile({ id, url }, signal);
        await this.#gossip.exchange(url);
        return this.#isEqual(id);
      },
      askLacks: (url, after) =>
        network.ask(url, "lacks", create(wire.LacksQuestionSchema, { from: self.id, after, limit: 1000 }), {
          timeoutMs,
          signal,
        }),
      minCopies: this.#leastCopies(),
      nowMs: now(),
      log,
    });
  }

  /** A small body that is held here; null where it is not, or is lost just now. */
  async #bytesOf(sha256: string): Promise<Uint8Array | null> {
    try {
      const body = await this.#catalog.store.open(sha256);
      return body && Buffer.concat(await Array.fromAsync(body.stream));
    } catch (error) {
      if (error instanceof CdnError) return null;
      throw error;
    }
  }

  /** Offers what is new here to those that get it from us. */
  #spread(manifest: Manifest): void {
    this.#copies.changed();
    if (this.#started && !this.#stop.signal.aborted) this.#spreading.offer(manifest);
  }

  /**
   * Pushes what another server lacks, at once. What is only wanted here it learns by asking us: an offer says that we
   * hold what is in it.
   */
  async #push(id: string, known: Manifest[]): Promise<void> {
    const { network, settings } = this.#parts;
    const url = this.#urlOf(id);
    const manifests = known.filter(({ path }) => !this.#catalog.isWanted(path));
    if (url === null || manifests.length === 0) return;
    const { self } = this.#members;
    const offer = create(wire.OfferSchema, {
      from: self.id,
      url: self.url,
      manifests: manifests.map((manifest) => manifestToWire(manifest)),
      background: true,
    });
    const { results } = await network.ask(url, "offers", offer, {
      timeoutMs: settings.offerTimeoutMs + settings.waitMs,
      signal: this.#stop.signal,
    });
    const ahead: Manifest[] = [];
    for (const [at, manifest] of manifests.entries()) {
      const { outcome, newer } = results[at] ?? {};
      if (outcome === wire.OfferAnswer_Outcome.HELD) this.#held(id, manifest, newer);
      if (outcome === wire.OfferAnswer_Outcome.AHEAD && this.#isAhead(manifest.version)) ahead.push(manifest);
    }
    if (ahead.length > 0) await this.#forgetFuture(ahead);
  }

  /**
   * What was stamped while our clock was wrong, and which by now two clocks say is from the future: nobody took it, so
   * it was never acknowledged, and it hides what was.
   */
  async #forgetFuture(manifests: Manifest[]): Promise<void> {
    const { setAside, log } = this.#parts;
    await setAside(manifests);
    for (const manifest of manifests) {
      this.#copies.withdraw(manifest);
      await this.#catalog.forget(manifest.path, manifest.version);
    }
    log.warn("set aside what was written while the clock here was wrong", { objects: manifests.length });
  }

  #isAhead(version: Version): boolean {
    return this.#parts.clock.isAhead(version, this.#parts.now());
  }

  async #askStanding(url: string, path: string, version: Version): Promise<wire.Standing> {
    const { network, settings, self } = this.#parts;
    const question = create(wire.StandingQuestionSchema, { from: self.id, path, version: versionToWire(version) });
    return await network.ask(url, "standing", question, {
      timeoutMs: settings.exchangeTimeoutMs,
      signal: this.#stop.signal,
    });
  }

  /** Another server said that it holds what we offered, or something newer in its place. */
  #held(id: string, { path, version }: Manifest, newer: wire.Version | undefined): void {
    const held = newer ? versionFromWire(newer) : version;
    // Newer by a clock that is wrong is no copy of anything.
    if (newer && this.#isAhead(held)) return this.#health.refused(id, `its clock is ahead: ${path} is from the future`);
    this.#holders.note(id, { path, version: held });
    this.#copies.changed();
  }

  /** Origins that may hold a body, best first; those that said so before the others. */
  #sources(size: number, hints: ReadonlySet<string>): Peer[] {
    const alive = this.#origins().map(({ id }) => id).filter((id) => this.#isAlive(id));
    const said = [...hints].filter((id) => this.#members.get(id));
    const ranked = this.#rank([...new Set([...alive, ...said])], size);
    // A server that offered a body has it; another one may not have it yet.
    const sure = ranked.filter((id) => hints.has(id));
    const best = [...sure, ...ranked.filter((id) => !hints.has(id))];
    return best.flatMap((id) => this.#members.get(id) ?? []);
  }

  #rank(ids: readonly string[], size: number): string[] {
    const { self, random, egress = usualEgress } = this.#parts;
    const sources = ids.flatMap((id) => {
      const server = this.#members.get(id);
      if (!server) return [];
      return [{ id, place: { provider: server.provider, region: server.region }, ...this.#links.get(id) }];
    });
    return rankSources(sources, { to: self, size, egress, random });
  }

  #heardContent(id: string, content: wire.ContentSummary): void {
    this.#health.told(id, content);
    this.#repair.peerContent(id, content);
    if (content.wantedObjects > 0n || !this.#isEqual(id)) return;
    // It holds all that we know: whatever it once could not take, it has taken since.
    this.#health.refused(id, "");
    this.#copies.confirm(id);
  }

  #stateChanged(id: string, state: State): void {
    this.#spreading.stateChanged(id, state);
    if (state === "alive") {
      this.#filler.changed(true);
      this.#purging.met(id);
    }
    this.#copies.changed();
  }

  /** The list changed. */
  #follow(): void {
    if (!this.#started || this.#stop.signal.aborted) return;
    const { ledger } = this.#parts;
    this.#gossip.follow();
    if (this.#origins().length > 0 && !this.#hadOthers) {
      ledger.saveFact(OTHERS, "1");
      this.#hadOthers = true;
    }
    this.#spreading.follow();
    this.#copies.changed();
  }

  #withHealth(server: wire.Server): wire.Server {
    const copy = clone(wire.ServerSchema, server);
    const { rttMs, bytesPerMs } = this.#links.get(server.id);
    const content = this.#health.content(server.id);
    const ours = this.#catalog.summary();
    const behind = content === null ? Number(ours.objects) : Number(ours.objects) - Number(content.objects);
    const differs = server.role !== "origin" || this.#isEqual(server.id) ? 0 : Math.max(1, behind);
    copy.health = this.#health.report(server.id, this.#gossip.state(server.id), {
      rttMs: rttMs ?? 0,
      bytesPerSecond: (bytesPerMs ?? 0) * 1000,
      lag: Math.max(differs + Number(content?.wantedObjects ?? 0), this.#spreading.waiting(server.id)),
    });
    return copy;
  }

  #mark(id: string, reason: string): void {
    if (this.#health.mark(id, reason)) this.#parts.log.warn("a server was caught at something", { id, reason });
  }

  #origins(): wire.Server[] {
    return this.#members.others().filter(({ role }) => role === "origin");
  }

  #urlOf(id: string): string | null {
    return this.#members.get(id)?.url ?? null;
  }

  #isAlive(id: string): boolean {
    return this.#gossip.state(id).state === "alive";
  }

  #leastCopies(): number {
    return this.#parts.settings.minCopies || (this.#expectsOthers || this.#hadOthers ? 2 : 1);
  }

  /** True where another server knew just what we know when it last spoke. */
  #isEqual(id: string): boolean {
    const content = this.#health.content(id);
    return content !== null && this.#catalog.isSame(content);
  }

  /** False while nothing was heard of others that there are, or what they know was not read yet. */
  #knowsAll(): boolean {
    if (!this.#started || !this.#catalog.ready) return false;
    if (this.#parts.self.role !== "origin") return true;
    if (this.#repair.settled || !this.#expectsOthers) return true;
    // Told of others, and taken by none yet: it has never known anything to answer by.
    if (!this.#hadOthers) return false;
    const alive = this.#origins().some(({ id }) => this.#isAlive(id));
    return !alive && this.#parts.now() - this.#startedMs > HEAR_MS;
  }

  /** Reads what is known; others may ask and put meanwhile. */
  async #read(): Promise<void> {
    const { clock, now, log } = this.#parts;
    try {
      await this.#catalog.open();
      if (this.#catalog.latest) clock.observe(this.#catalog.latest, now());
    } catch (error) {
      if (!this.#stop.signal.aborted) log.error("cannot read what is here", { error });
    }
  }

  #track(work: Promise<unknown>): void {
    this.#tasks.run(work, (error) => {
      if (this.#stop.signal.aborted || error instanceof CdnError) return;
      this.#parts.log.error("something failed in the background", { error });
    });
  }

  #reach(id: string): Peer | null {
    const server = this.#members.get(id);
    return server?.role === "origin" && this.#isAlive(id) ? { id, url: server.url } : null;
  }

  /** Why a manifest that a peer gave us in a comparison is not believed. */
  #distrust(manifest: Manifest, from: string): string | null {
    const { clock, now } = this.#parts;
    const fault = this.#trust.fault(manifest);
    if (fault) this.#mark(from, fault);
    return fault ?? (clock.observe(manifest.version, now()) ? null : "is from a clock that is too far ahead");
  }

  #requireOpen(): void {
    if (this.#started && !this.#stop.signal.aborted) return;
    throw new CdnError("This server is not ready, or is closing", {
      source: "server",
      status: 503,
      retry: true,
      retryAfterSeconds: 2,
    });
  }
}
