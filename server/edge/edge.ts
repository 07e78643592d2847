/**
 * A pull-through cache: {@link Edge}. A GET or HEAD goes
 *
 *     decide (rules/, pure) ─┬─ serve ───────────────────────────── represent
 *                            └─ validate, miss ── one flight ─┬───── represent      what may be stored, is
 *                                                             └───── pass on        what may not
 *
 * and whatever else a viewer sends goes to the origin as it came, and invalidates what it says it changed.
 */
import { CdnError } from "../../proto/mod.ts";
import { type Answered, type Finished, isSource } from "../../runtime/front/mod.ts";
import { fieldOf } from "../../runtime/http1/lines.ts";
import { forwardedNode } from "../../runtime/http1/pass_on.ts";
import { NEVER } from "../../runtime/http1/stop.ts";
import type { HeaderLine, StopSignal } from "../../runtime/http1/transport.ts";
import type { Logger } from "../../runtime/log.ts";
import { applyPolicy, type MatchedRules } from "../serve/policy.ts";
import { contentRange, selectRanges } from "../serve/range.ts";
import { notModified, represent, type Signature, signed } from "./answers.ts";
import type { Asked } from "./asked.ts";
import type { Cache, Entry, Selection } from "./cache/cache.ts";
import { Changed } from "./changed.ts";
import { Completion, isRepeatable } from "./completion.ts";
import { CountedBody } from "./counted_body.ts";
import { CutBody } from "./cut_body.ts";
import { Fill } from "./fill.ts";
import { firstRange } from "./first_range.ts";
import { Flights, Gone, type Landed } from "./flights.ts";
import { openGate, type ServingGate } from "./gate.ts";
import { HotAnswers } from "./hot.ts";
import type { OriginResponse, Origins } from "./origins/origins.ts";
import type { LoopGuard } from "./origins/mod.ts";
import { SIBLING_FIELD } from "./siblings/mod.ts";
import {
  comparedWithHead,
  conditionOf,
  conditions,
  decide,
  type Decision,
  freshen,
  freshenedBy,
  freshUntil,
  type Handling,
  invalidatedBy,
  isOnlyIfCached,
  isUnshared,
  judgeStorage,
  type Lines,
  normalised,
  originConditions,
  parseContentRange,
  type Part,
  type ReceivedHead,
  type RuleSettings,
  sameRepresentation,
  tagFields,
  type Times,
  toStored,
  validationFields,
  variedOf,
  withheldOf,
} from "./rules/mod.ts";
import type { StoredResponse } from "./response.ts";
import { RecentKeys } from "./recent_keys.ts";
import { RecentPurges } from "./recent_purges.ts";

/** What an edge is made from. */
export interface EdgeOptions {
  cache: Cache;
  origins: Origins;
  signature: Signature;
  /** Adds us to the fields of requests to origins. */
  loopGuard: LoopGuard;
  rules: RuleSettings;
  /** What the operator says of how long caches may keep a path, in place of the origin; null where the origin says it. */
  policy?: MatchedRules;
  limits: EdgeLimits;
  now: () => number;
  log: Logger;
}

/** How an edge is bounded. */
export interface EdgeLimits {
  /** The most ranges of one request that are answered apart. */
  ranges: number;
  /** Finished answers, all together, in bytes. */
  hotBytes: number;
  /** How long a key whose answer could not be stored is asked for by each on his own, in milliseconds. */
  uncacheableMs: number;
}

/** Sane for most. */
export const defaultEdgeLimits: EdgeLimits = { ranges: 16, hotBytes: 64 << 20, uncacheableMs: 10_000 };

/** What an edge has done since it was made. */
export interface EdgeFigures {
  /** Answers from what was stored, without an origin. */
  hits: number;
  /** Answers for which an origin was asked, by why (RFC 9211 §2.2). */
  forwarded: Record<string, number>;
  /** Of them, those that another's request answered. */
  collapsed: number;
  /** Of them, those with what was stale, because no origin gave a good answer. */
  staleOnError: number;
  /** Requests that got an error in place of an answer, through no fault of their own. */
  failed: number;
  /** Bytes of bodies that went to viewers (other edges among them). */
  bytesSent: number;
}

/** How a request to the origin ended. */
type Landing =
  | { kind: "stored"; entry: Entry; fill: Fill | null; status: number; withheld: Lines }
  | { kind: "freshened"; entry: Entry }
  /** No origin gave a good answer, and the stale one may stand in. */
  | { kind: "stale"; entry: Entry; status: number | null }
  /** For who asked alone. `range`: what the origin was asked for in place of his own. */
  | { kind: "passing"; response: OriginResponse; range: string | null };

type Asking = Extract<Decision<Entry>, { kind: "miss" | "validate" }>;

/** Longer targets are no keys: anybody can think of them, and they would fill what remembers keys. */
const LONGEST_KEY = 8192;
/** After so many rounds a request goes to the origin on its own: others change what it looks at again and again. */
const ROUNDS_TOGETHER = 4;
/** For so long what was written through us is not asked of siblings; what they have is mostly stale by then. */
const WRITTEN_MS = 3_600_000;
const MOST_ROUNDS = 6;

/** Answers from a cache, and fills it. */
export class Edge {
  readonly #options: EdgeOptions;
  readonly #flights = new Flights<Landing>(giveUp);
  readonly #completion: Completion;
  /** A request that was sent before a purge may bring what the purge meant. */
  readonly #purged = new RecentPurges();
  /**
   * Keys whose answers could not be stored lately ("hit for miss"): who asks for one waits for nobody, since nobody's
   * answer is for him.
   */
  readonly #uncacheable: RecentKeys;
  /** Keys that a write through us has changed: what siblings have of them may be from before. */
  readonly #written = new RecentKeys(WRITTEN_MS);
  readonly #hot: HotAnswers;
  #gate: ServingGate = openGate;
  readonly #figures: EdgeFigures = {
    hits: 0,
    forwarded: {},
    collapsed: 0,
    staleOnError: 0,
    failed: 0,
    bytesSent: 0,
  };
  readonly #onBytes = (count: number) => void (this.#figures.bytesSent += count);

  constructor(options: EdgeOptions) {
    this.#options = options;
    this.#uncacheable = new RecentKeys(options.limits.uncacheableMs);
    this.#hot = new HotAnswers(options.limits.hotBytes, options.signature, options.rules);
    this.#completion = new Completion({
      origins: options.origins,
      mayKeep: (request, response) => {
        const { status, headers } = this.#governed(request, response);
        return judgeStorage(request, { status, fields: headers }, options.rules).store;
      },
      discard: (entry) => this.#discard(entry),
      begun: (fill) => this.#seeTo(fill),
    });
  }

  get figures(): Readonly<EdgeFigures> {
    return this.#figures;
  }

  /** What finished answers take in memory, in bytes. */
  get hotBytes(): number {
    return this.#hot.bytes;
  }

  /** Whether it may serve from its cache now. */
  get gate(): Pick<ServingGate, "waiting" | "staleBeforeMs"> {
    return this.#gate;
  }

  /** From now on serves from its cache only as the gate lets it. */
  guardBy(gate: ServingGate): void {
    this.#gate = gate;
  }

  /**
   * Answers a request.
   * @throws {CdnError} source "origin" where it takes an origin and none answers; 504 for only-if-cached; 508 in a loop
   */
  async answer(asked: Asked): Promise<Answered> {
    try {
      const answered = await this.#answer(asked);
      if (answered.body instanceof CountedBody) answered.body.endWith(asked.signal);
      return answered;
    } catch (error) {
      const isViewers = error instanceof Gone || (error instanceof CdnError && error.source === "client");
      if (!isViewers) this.#figures.failed++;
      throw error;
    }
  }

  async #answer(asked: Asked): Promise<Answered> {
    switch (asked.method) {
      case "GET":
      case "HEAD":
        // What a body of a GET means, only the origin knows (RFC 9110 §9.3.1).
        return asked.body === null && asked.target.length <= LONGEST_KEY
          ? await this.#read(asked)
          : await this.#pass(asked, "bypass");
      case "CONNECT":
      case "TRACE":
        throw new CdnError(`${asked.method} is not passed on`, { source: "client", status: 405 });
      default:
        return await this.#write(asked);
    }
  }

  /** The finished answer to a GET or HEAD that has nothing special about it; null where there is none now. */
  hot(target: string): Finished | null {
    if (this.#gate.waiting !== null || this.#gate.staleBeforeMs > 0) return null;
    return this.#hot.get(target, this.#options.now());
  }

  /** Takes note that an answer of {@link hot} was sent, with so many bytes of body. */
  sent(bytes: number): void {
    this.#figures.hits++;
    this.#figures.bytesSent += bytes;
  }

  /** Removes what a selection means, or marks it stale. @returns how many stored responses it meant */
  async purge(selection: Selection, options: { soft: boolean }): Promise<number> {
    this.#purged.note(selection, options.soft);
    return await this.#options.cache.purge(selection, options);
  }

  // ---- GET and HEAD

  async #read(asked: Asked): Promise<Answered> {
    const { now } = this.#options;
    const key = asked.target;
    const waiting = this.#gate.waitingFor(fieldOf(asked.fields, SIBLING_FIELD));
    if (waiting) await waiting;
    const begun = this.#flights.begun;
    for (let round = 1; round <= MOST_ROUNDS; round++) {
      const nowMs = now();
      const decision = this.#decide(asked, nowMs);
      try {
        if (decision.kind === "refuse") throw notStored();
        if (decision.kind === "serve") {
          if (decision.refresh) this.#refresh(asked, decision.found);
          return await this.#from(asked, decision.found, { hit: true }, null);
        }
        const alone = round > ROUNDS_TOGETHER || !mayShare(asked) || this.#uncacheable.has(key, nowMs);
        // As nothing will be stored, what the viewer has and which part he wants is the origin's to judge.
        if (alone && decision.kind === "miss" && isConditional(asked)) return await this.#pass(asked, decision.because);
        const landed = await this.#land(asked, decision, alone, round);
        const answered = await this.#landed(asked, decision, landed, begun);
        if (answered) return answered;
      } catch (error) {
        if (!(error instanceof Changed)) throw error;
      }
    }
    return await this.#pass(asked, "bypass");
  }

  /** What to do by what is stored. Where purges may be missing, what came before counts as stale. */
  #decide(asked: Asked, nowMs: number): Decision<Entry> {
    const { cache, rules } = this.#options;
    const stored = cache.find(asked.target);
    const { staleBeforeMs } = this.#gate;
    if (staleBeforeMs === 0) return decide(asked, stored, nowMs, rules);
    const doubted = stored.map((entry) => {
      const { response } = entry;
      return { entry, response: response.responseMs < staleBeforeMs ? { ...response, stale: true } : response };
    });
    const decision = decide(asked, doubted, nowMs, rules);
    return "found" in decision ? { ...decision, found: decision.found.entry } : decision;
  }

  async #land(
    asked: Asked,
    decision: Asking,
    alone: boolean,
    round: number,
  ): Promise<Landed<Landing>> {
    // Alone, too, it is a flight of its own: once its head is here, what comes may be others' as well.
    const key = alone ? Symbol() : this.#flightKey(asked);
    return await this.#flights.fly(key, asked.signal, (stop) => this.#ask(asked, decision, stop, { round }));
  }

  /** Who differ in what the stored responses of their key vary with do not wait for each other. */
  #flightKey({ target, fields }: Asked): string {
    // Nor does who comes after a purge wait for who asked before it.
    const { mark } = this.#purged;
    const varied = this.#options.cache.find(target)[0]?.response.varied;
    if (!varied?.length) return `${mark} ${target}`;
    return JSON.stringify([mark, target, variedOf(fields, [["vary", varied.map(([name]) => name).join()]])]);
  }

  /** The answer from what a flight brought; null where we must look again. `begun`: the latest flight when we came. */
  async #landed(
    asked: Asked,
    decision: Asking,
    { landing, led, number }: Landed<Landing>,
    begun: number,
  ): Promise<Answered | null> {
    const fwd = decision.because;
    if (landing.kind === "passing") return led ? await this.#passOn(asked, landing, fwd) : null;
    if (landing.kind === "stale") {
      // What stands in for who led need not for us: it may be another variant than ours.
      if (!led && !this.#mayStandIn(asked, landing.entry)) return null;
      this.#figures.staleOnError++;
      const status = landing.status === null ? {} : { fwdStatus: landing.status };
      return await this.#from(asked, landing.entry, { hit: false, fwd: "stale", ...status, detail: "stale" }, null);
    }
    // A flight that began before we came may bring what was true before we came.
    if (!led) {
      if (isUnshared(landing.entry.response)) return null;
      const again = decide(asked, [landing.entry], this.#options.now(), this.#options.rules);
      if (again.kind !== "serve" && (again.kind !== "validate" || number <= begun)) return null;
    }
    const handling: Handling = {
      hit: false,
      fwd,
      fwdStatus: landing.kind === "stored" ? landing.status : 304,
      ...(landing.kind === "stored" && { stored: true }),
      ...(!led && { collapsed: true }),
    };
    if (landing.kind === "freshened") return await this.#from(asked, landing.entry, handling, null);
    const answered = await this.#from(asked, landing.entry, handling, landing.fill);
    // What private="…" and no-cache="…" name is not for others, but it is for who asked (RFC 9111 §5.2.2.4, §5.2.2.7).
    return led ? { ...answered, headers: [...answered.headers, ...landing.withheld] } : answered;
  }

  /** The answer from an entry. @throws {Changed} where it cannot be completed */
  async #from(asked: Asked, entry: Entry, handling: Handling, fill: Fill | null): Promise<Answered> {
    const { now, rules, limits } = this.#options;
    const nowMs = now();
    const { response } = entry;
    entry.use();
    const condition = conditionOf(asked, response);
    const refuse = () => {
      if (isOnlyIfCached(asked.fields)) throw notStored();
    };
    if (condition === "failed") {
      refuse();
      return await this.#pass(asked, "request", entry);
    }
    const source = this.#completion.source(entry, fill, () => this.#fields(asked, normalised(asked.fields)), refuse);
    const answered = condition === "not-modified"
      ? notModified(response, nowMs)
      : await represent(asked, entry, { source, fill, nowMs, mostRanges: limits.ranges });
    let done = handling;
    if (source.asked && handling.hit) {
      const { status, fields } = response;
      const stored = judgeStorage({ method: "GET", fields: asked.fields }, { status, fields }, rules).store;
      done = { hit: false, fwd: "partial", ...(stored && { stored }) };
    }
    if (done.hit) {
      done.ttlMs = freshUntil(response, nowMs, rules) - nowMs;
      this.#hot.offer(entry, nowMs);
    }
    // A sibling keeps what it gets, and must find it by its tags; nobody else is told of them.
    const tagged = fieldOf(asked.fields, SIBLING_FIELD) === null ? [] : tagFields(response.tags);
    return this.#sign({ ...answered, headers: [...answered.headers, ...tagged] }, done);
  }

  /** Validates in the background (RFC 5861 §3). */
  #refresh(asked: Asked, found: Entry): void {
    const decision: Asking = { kind: "validate", found, because: "stale", onError: true };
    const refreshing = { ...asked, method: "GET", signal: NEVER };
    this.#flights.fly(this.#flightKey(asked), NEVER, (stop) => this.#ask(refreshing, decision, stop, { wanted: true }))
      .then(
        ({ landing, led }) => led && giveUp(landing),
        (error) => this.#options.log.debug("cannot refresh in the background", { target: asked.target, error }),
      );
  }

  // ---- what the origin is asked

  async #ask(
    asked: Asked,
    decision: Asking,
    signal: StopSignal,
    { wanted = false, round = 1 }: { wanted?: boolean; round?: number },
  ): Promise<Landing> {
    const { origins, cache, now, rules } = this.#options;
    const found = decision.kind === "validate" ? decision.found : null;
    const mark = this.#purged.mark;
    const wish = asked.method === "GET" && !found ? fieldOf(asked.fields, "range") : null;
    // The first of several is no use where the others cannot be asked for later.
    const range = wish === null || (round > 1 && wish.includes(",")) ? null : firstRange(wish);
    const request = {
      method: asked.method,
      target: asked.target,
      fields: this.#fields(asked, [
        ...normalised(asked.fields),
        ...(found && asked.method === "GET" ? validationFields(found.response) : []),
        ...(range === null ? [] : [["range", range] satisfies HeaderLine]),
      ]),
      body: null,
      bodyLength: null,
      signal,
    };
    const requestMs = now();
    let response: OriginResponse;
    try {
      response = await origins.send(request);
    } catch (error) {
      const failed = error instanceof CdnError && error.source === "origin";
      if (failed && found) {
        if (this.#mayStandIn(asked, found)) return { kind: "stale", entry: found, status: null };
        if (error.status === 503) throw error; // it says when to ask again
        // RFC 9111 §5.2.2.2: what must be validated and cannot be is a 504.
        throw new CdnError(error.message, { source: "origin", status: 504, retry: true, cause: error });
      }
      throw error;
    }
    response = this.#governed(asked, response);
    const { status } = response;
    const received = { status, fields: response.headers };
    const times = { requestMs, responseMs: now() };
    if (signal.aborted) {
      response.body?.cancel();
      throw new Gone();
    }

    if (status >= 500 && found && this.#mayStandIn(asked, found)) {
      response.body?.cancel();
      return { kind: "stale", entry: found, status };
    }
    if (asked.method === "HEAD") {
      this.#compare(asked, response, times, mark);
      return { kind: "passing", response, range: null };
    }
    if (found && status === 304) {
      const fresh = freshenedBy(received, cache.find(asked.target), found, asked.fields);
      for (const entry of fresh) this.#freshen(entry, received, times, mark);
      if (found.gone) throw new Changed("it was purged meanwhile");
      if (fresh.includes(found)) return { kind: "freshened", entry: found };
      // It says that something else is still good: what we have is of no use.
      this.#discard(found);
      throw new Changed("the origin's 304 is about another version");
    }
    const part = status === 206 ? parseContentRange(received) : null;
    let stored = status !== 206 || part ? toStored(asked, received, times) : null;
    if (stored && part) {
      const fits = isFitting(part, stored) && range !== null && begins(range, part);
      if (!fits) stored = null;
    }
    if (!stored || !judgeStorage(asked, received, rules).store) {
      if (found && tellsOfAll(status)) this.#discard(found);
      // What one viewer alone may cause says nothing of what the others get.
      if (status < 500 && status !== 416 && mayShare(asked)) this.#uncacheable.note(asked.target, times.responseMs);
      return { kind: "passing", response, range };
    }
    this.#uncacheable.forget(asked.target);
    if (!response.body) stored = { ...stored, length: 0 };
    const purged = this.#purged.since(mark, asked.target, stored.tags);
    if (purged === "soft") stored = { ...stored, stale: true };
    const entry = cache.add(asked.target, stored);
    // Who waits for it gets it all the same: they asked before.
    if (purged === "hard") this.#discard(entry);
    const fill = response.body && new Fill({
      entry,
      body: response.body,
      start: part?.start ?? 0,
      end: part?.end ?? response.contentLength,
      // An origin that sends the whole in place of a part does so again.
      repeatable: isRepeatable(stored) && (range === null || status === 206),
      wanted,
    });
    if (fill) this.#completion.add(fill);
    return { kind: "stored", entry, fill, status, withheld: withheldOf(response.headers) };
  }

  /** Whether it may be sent as it is now that the origin failed, which may have taken its time. */
  #mayStandIn(asked: Asked, found: Entry): boolean {
    const decision = this.#decide(asked, this.#options.now());
    return "found" in decision && decision.found === found && (decision.kind === "serve" || decision.onError);
  }

  /** An answer with what the operator says of its path. That of a request with Authorization is one viewer's. */
  #governed({ target, fields }: Pick<Asked, "target" | "fields">, response: OriginResponse): OriginResponse {
    const { policy, now } = this.#options;
    const caching = policy?.(pathOf(target)) ?? null;
    if (caching === null || fieldOf(fields, "authorization") !== null) return response;
    const { fields: headers } = applyPolicy(caching, { status: response.status, fields: response.headers }, now());
    return { ...response, headers: [...headers] };
  }

  /** Freshens a response; where a purge meant it after that was asked for (`mark`), it stays stale, or goes. */
  #freshen(entry: Entry, received: ReceivedHead, times: Times, mark: number): void {
    const fresh = freshen(entry.response, received, times);
    const purged = this.#purged.since(mark, entry.key, [...entry.response.tags, ...fresh.tags]);
    if (purged === "hard") this.#discard(entry);
    else entry.update(purged === "soft" ? { ...fresh, stale: true } : fresh);
  }

  /** What the answer to a HEAD says of what is stored (RFC 9111 §4.3.5). */
  #compare(asked: Asked, response: OriginResponse, times: Times, mark: number): void {
    if (response.status !== 200) return;
    const received = { status: response.status, fields: response.headers };
    const { cache, rules } = this.#options;
    const decision = decide({ ...asked, method: "GET" }, cache.find(asked.target), times.responseMs, rules);
    if (decision.kind !== "serve" && decision.kind !== "validate") return;
    const entry = decision.found;
    if (comparedWithHead(entry.response, received) === "invalidate") this.#discard(entry);
    else this.#freshen(entry, received, times, mark);
  }

  /** When a fill ends early: what came of it may be of no use. */
  #seeTo(fill: Fill): void {
    const { entry } = fill;
    fill.ended.then(() => {
      if (fill.state === "done") return;
      if (fill.failure !== null) {
        this.#options.log.warn("an answer broke off", { target: entry.key, at: fill.at, error: fill.failure });
      }
      if (!isRepeatable(entry.response)) this.#discard(entry);
    });
  }

  #discard(entry: Entry): void {
    this.#options.cache.remove(entry).catch((error) => this.#options.log.warn("cannot remove an entry", { error }));
  }

  // ---- what is passed on

  async #write(asked: Asked): Promise<Answered> {
    const { origins } = this.#options;
    const response = await origins.send(this.#request(asked));
    const { method, target, authority } = asked;
    const keys = invalidatedBy({ method, target, authority }, { status: response.status, fields: response.headers });
    // Before the answer: who has it and then reads must not see what was there before.
    for (const key of keys) this.#written.note(key, this.#options.now());
    if (keys.length) await this.#invalidate(keys);
    return this.#received(response, { hit: false, fwd: "method", fwdStatus: response.status });
  }

  /** Never rejects: the write is done, whatever becomes of what we have. */
  async #invalidate(keys: readonly string[]): Promise<void> {
    try {
      await this.purge({ keys, prefixes: [], tags: [] }, { soft: false });
    } catch (error) {
      this.#options.log.warn("what a write changed may be back after a restart", { keys, error });
      for (const entry of keys.flatMap((key) => this.#options.cache.find(key))) this.#discard(entry);
    }
  }

  /** The origin's own answer to what the viewer asks, conditions and range and all. */
  async #pass(asked: Asked, fwd: NonNullable<Handling["fwd"]>, selected: Entry | null = null): Promise<Answered> {
    const { origins, cache, now } = this.#options;
    const { mark } = this.#purged;
    const requestMs = now();
    const response = this.#governed(asked, await origins.send(this.#request(asked)));
    const received = { status: response.status, fields: response.headers };
    // A 304 to what the viewer has tells of what we have, where that is the same (RFC 9111 §4.3.4).
    if (selected && response.status === 304 && sameRepresentation(selected.response, received)) {
      const times = { requestMs, responseMs: now() };
      for (const entry of freshenedBy(received, cache.find(asked.target), selected, asked.fields)) {
        this.#freshen(entry, received, times, mark);
      }
    }
    return this.#received(response, { hit: false, fwd, fwdStatus: response.status });
  }

  #request(asked: Asked) {
    const { method, target, fields, body, bodyLength, signal } = asked;
    return {
      method,
      target,
      fields: this.#fields(asked, [...normalised(fields), ...conditions(fields)]),
      body,
      bodyLength: body ? bodyLength : null,
      signal,
    };
  }

  /** What could not be stored, for who asked for it; where the origin was asked for more than his range, that is cut. */
  async #passOn(
    asked: Asked,
    { response, range }: Extract<Landing, { kind: "passing" }>,
    fwd: NonNullable<Handling["fwd"]>,
  ): Promise<Answered> {
    const handling: Handling = { hit: false, fwd, fwdStatus: response.status };
    const { status } = response;
    const wish = fieldOf(asked.fields, "range");
    const ifRange = fieldOf(asked.fields, "if-range") !== null;
    const asWished = range === wish && !ifRange;
    if (range === null || asWished || (status !== 206 && status !== 416)) return this.#received(response, handling);
    // Whether his parts are of this version was not asked.
    const part = ifRange ? null : parseContentRange({ status, fields: response.headers });
    const size = part?.length ?? null;
    const selection = size === null ? null : selectRanges(wish!, size, { most: 1 });
    const wanted = selection?.kind === "parts" ? selection.parts[0]! : null;
    if (!part || size === null || !wanted || wanted.start < part.start || wanted.end > part.end || !response.body) {
      response.body?.cancel();
      return await this.#pass(asked, fwd);
    }
    const length = wanted.end - wanted.start;
    const headers = response.headers.filter(([name]) => name !== "content-range" && name !== "content-length");
    headers.push(["content-range", contentRange(wanted, size)], ["content-length", String(length)]);
    const body = new CutBody(response.body, wanted.start - part.start, length);
    return this.#sign({ status: 206, headers, body }, handling);
  }

  #received({ status, headers, body }: OriginResponse, handling: Handling): Answered {
    return this.#sign({ status, headers, body }, handling);
  }

  #sign({ status, headers, body }: Answered, handling: Handling): Answered {
    if (handling.hit) this.#figures.hits++;
    else {
      const { forwarded } = this.#figures;
      const fwd = handling.fwd ?? "miss";
      forwarded[fwd] = (forwarded[fwd] ?? 0) + 1;
      if (handling.collapsed) this.#figures.collapsed++;
    }
    return { status, headers: signed(headers, this.#options.signature, handling), body: this.#counted(body) };
  }

  #counted(body: Answered["body"]): Answered["body"] {
    if (isSource(body)) return new CountedBody(body, this.#onBytes);
    this.#figures.bytesSent += body?.length ?? 0;
    return body;
  }

  /** The fields of a request to an origin, with who asks and by whom. @throws {CdnError} 508 in a loop */
  #fields({ client, target }: Asked, fields: Lines): Lines {
    const lines: HeaderLine[] = [...this.#options.loopGuard(fields), ["forwarded", `for=${forwardedNode(client)}`]];
    if (this.#written.has(target, this.#options.now())) lines.push([SIBLING_FIELD, "none"]); // not by a sibling
    return lines;
  }
}

/**
 * True for a part that can be built on: of a whole whose length is known, and all of it, or with what it takes to put
 * others beside it. Another part would take the place of one without.
 */
function isFitting({ start, end, length }: Part, stored: StoredResponse): boolean {
  return length !== null && ((start === 0 && end === length) || isRepeatable(stored));
}

/** Of what is for one viewer alone, the body is nobody's where he does not take it. */
function giveUp(landing: Landing): void {
  if (landing.kind === "passing") landing.response.body?.cancel();
}

/** Whether others may wait for the answer to this request, and this for theirs. */
function mayShare({ method, fields }: Asked): boolean {
  return method === "GET" &&
    !fields.some(([name]) => name === "authorization" || name === "cache-control" || name === "pragma");
}

/** The path of a target, decoded as rules by glob see it; as it is where it cannot be decoded. */
function pathOf(target: string): string {
  const [path = target] = target.split("?", 1);
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** Whether a part has the first byte of the one range that was asked for: else it would only be asked for again. */
function begins(range: string, { start, end, length }: { start: number; end: number; length: number | null }): boolean {
  if (length === null) return false;
  const selection = selectRanges(range, length, { most: 1 });
  const wanted = selection.kind === "parts" ? selection.parts[0]! : null;
  return wanted !== null && start <= wanted.start && wanted.start < end;
}

/** True for an answer that tells of the target, and not (400, 401, 429, …) of one request for it, or of the server. */
function tellsOfAll(status: number): boolean {
  return status < 400 || status === 404 || status === 410;
}

function isConditional({ fields }: Asked): boolean {
  return originConditions(fields).length > 0;
}

function notStored(): CdnError {
  return new CdnError("Nothing is stored that answers this, and the request wants nothing else (only-if-cached)", {
    source: "client",
    status: 504, // RFC 9111 §5.2.1.7
  });
}
