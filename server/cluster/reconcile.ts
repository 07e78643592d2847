/**
 * One comparison with one peer, both ways: walks down the digest trees where they differ, asks for what is newer there
 * and offers what is newer here. The cost grows with the difference, and with the logarithm of what is known.
 *
 * Nodes that differ wait on a stack, and up to 256 are asked for at once: so a small difference takes one message a
 * level, and a large one never waits with more than a few thousand names. What the peer answers is not believed: it may
 * only bring what was asked for, in order; and who keeps us busy without bringing or lacking anything is left.
 */
import { create } from "@bufbuild/protobuf";
import { CdnError, compareVersions, type Manifest, manifestFromWire, wire } from "../../proto/mod.ts";
import type { Logger } from "../../runtime/log.ts";
import { pathKey } from "../store/path_key.ts";
import type { Answer, CallName, Question } from "./calls.ts";
import { type Catalog, comparePlaces, type KeyPlace, type Known } from "./catalog.ts";
import {
  digestBytes,
  digestFromBytes,
  type EntryDigest,
  entryDigest,
  KEPT_LEVELS,
  KEY_DIGITS,
  NodeSum,
  rangeOf,
  sameDigest,
} from "./digest_tree.ts";
import {
  entriesFromBytes,
  ENTRY_BYTES,
  everything,
  keysToBytes,
  limits,
  placeFromText,
  requireReady,
  wireBytes,
} from "./tree_answers.ts";
import { malformed } from "./trust.ts";

/** What a comparison works with. */
export interface ReconcileOptions {
  catalog: Catalog;
  /** Our id. */
  self: string;
  /** For the log. */
  peer: string;
  ask<Name extends CallName>(name: Name, question: Question<Name>): Promise<Answer<Name>>;
  /** Null where a manifest may be believed, else why not. */
  check: (manifest: Manifest) => string | null | Promise<string | null>;
  /** Tells the peer of manifests that are news to it. */
  offer: (manifests: Manifest[]) => Promise<void>;
  /** What to do with what the peer does not know, or knows in an older version (`knownThere`). */
  verdict: (manifest: Manifest, knownThere: boolean) => "offer" | "keep" | "set aside";
  /** Takes what the verdict set aside out of the catalog. */
  setAside: (manifests: Manifest[]) => Promise<void>;
  log: Logger;
  signal: AbortSignal;
}

/** What a comparison came to. */
export interface Tally {
  /** Questions and offers. */
  messages: number;
  /** Manifests that were news to us. */
  learned: number;
  /** Manifests that were news to the peer. */
  offered: number;
  /** Manifests of the peer that were not believed. */
  refused: number;
  /** Manifests that were set aside (`stale.ts`). */
  aside: number;
}

/** Messages beyond one for each result, after which the peer is left. An honest one needs a few dozen. */
const MOST_IDLE = 1000;
/** Where we have nothing and the peer has about so many, they are taken page by page; fewer are asked for with others. */
const WORTH_A_PAGE = 100;
/** Manifests that are checked in one go: a signature takes about 0.1 ms. */
const CHECKS_A_TURN = 50;
const NOTHING: EntryDigest = { high: 0, low: 0 };

/**
 * Compares everything.
 * @throws {CdnError} source "peer" where it cannot be asked or answers what it must not; 503 while our catalog is read;
 * 507 where there is no room here. What was learned until then stays.
 */
export async function reconcile(options: ReconcileOptions): Promise<Tally> {
  requireReady(options.catalog);
  const comparison = new Comparison(options);
  await comparison.run();
  return comparison.tally;
}

class Comparison {
  readonly tally: Tally = { messages: 0, learned: 0, offered: 0, refused: 0, aside: 0 };
  readonly #options: ReconcileOptions;
  readonly #catalog: Catalog;
  /** Nodes that differ, and how much the peer has there, as far as its parent tells. */
  readonly #stack: { name: string; guess: number }[] = [{ name: "", guess: Infinity }];
  /** Keys that are asked for with the next message. */
  #keys: number[] = [];
  #offers: Manifest[] = [];
  #offerBytes = 0;
  #aside: Manifest[] = [];
  /** Manifests that one of both lacked. */
  #results = 0;

  constructor(options: ReconcileOptions) {
    this.#options = options;
    this.#catalog = options.catalog;
  }

  async run(): Promise<void> {
    while (this.#stack.length > 0) {
      const names: string[] = [];
      for (const { name, guess } of this.#stack.splice(-limits.nodes)) {
        if (guess >= WORTH_A_PAGE && await this.#isEmpty(name)) await this.#takeAll(name);
        else names.push(name);
      }
      if (names.length > 0) await this.#compare(names);
    }
    await this.#askForKeys();
    await this.#flushOffers();
    await this.#flushAside();
  }

  async #compare(names: string[]): Promise<void> {
    const { nodes } = await this.#ask("tree", create(wire.TreeQuestionSchema, { nodes: names }));
    if (nodes.length !== names.length) throw this.#fault(`answered ${nodes.length} nodes instead of ${names.length}`);
    for (const [at, name] of names.entries()) {
      const node = nodes[at]!;
      this.#checkNode(name, node);
      if (node.children.length > 0) await this.#compareChildren(name, node);
      else await this.#compareEntries(name, entriesFromBytes(node.entries));
    }
  }

  #checkNode(name: string, { count, children, entries }: wire.TreeAnswer_Node): void {
    const isSplit = children.length > 0;
    const right = isSplit
      ? children.length === 128 && entries.length === 0 && name.length < KEY_DIGITS && count > 0n
      : entries.length % ENTRY_BYTES === 0 && BigInt(entries.length / ENTRY_BYTES) === count &&
        entries.length / ENTRY_BYTES <= limits.manifests;
    if (!right) throw this.#fault(`answered a malformed node "${name}"`);
    const [from, to] = rangeOf(name);
    let last = from;
    for (const { key } of entriesFromBytes(entries)) {
      if (key < last || key >= to) {
        throw this.#fault(`answered an entry that is not below node "${name}", or not in order`);
      }
      last = key;
    }
  }

  async #compareChildren(name: string, { count, children }: wire.TreeAnswer_Node): Promise<void> {
    const mine = await this.#childrenOf(name);
    for (const [digit, digest] of mine.entries()) {
      const theirs = digestFromBytes(children, digit * 8);
      if (sameDigest(digest, theirs)) continue;
      const child = name + digit.toString(16);
      if (sameDigest(theirs, NOTHING)) await this.#give(child);
      else this.#stack.push({ name: child, guess: Number(count) / 16 });
    }
  }

  /** Both are in order by key. */
  async #compareEntries(name: string, theirs: { key: number; digest: string }[]): Promise<void> {
    let at = 0;
    let group: Known[] = [];
    const settle = async () => {
      const [first] = group;
      if (!first) return;
      for (; at < theirs.length && theirs[at]!.key < first.key; at++) await this.#want(theirs[at]!.key);
      const there: string[] = [];
      for (; at < theirs.length && theirs[at]!.key === first.key; at++) there.push(theirs[at]!.digest);
      if (there.length === 0) { for (const { manifest } of group) await this.#lacks(manifest, false); }
      else if (group.map(digestOf).sort().join() !== there.sort().join()) await this.#want(first.key);
      group = [];
    };
    for await (const entry of everything(this.#catalog, rangeOf(name))) {
      if (group.length > 0 && group[0]!.key !== entry.key) await settle();
      group.push(entry);
    }
    await settle();
    for (; at < theirs.length; at++) await this.#want(theirs[at]!.key);
  }

  /** The peer has nothing there. */
  async #give(name: string): Promise<void> {
    for await (const { manifest } of everything(this.#catalog, rangeOf(name))) await this.#lacks(manifest, false);
  }

  /** We have nothing there: all that the peer knows, page by page. Each is durable before the next is asked for. */
  async #takeAll(node: string): Promise<void> {
    const [from, to] = rangeOf(node);
    let last: KeyPlace = { key: from, path: "" };
    for (let after = "";;) {
      const question = create(wire.ManifestsQuestionSchema, { node, after, limit: limits.manifests });
      const page = await this.#ask("manifests", question);
      last = await this.#takePage(page, last, (key) => key < to);
      if (page.next === "") return;
      after = page.next;
    }
  }

  async #want(key: number): Promise<void> {
    if (this.#keys.at(-1) === key) return;
    this.#keys.push(key);
    if (this.#keys.length >= limits.manifests) await this.#askForKeys();
  }

  async #askForKeys(): Promise<void> {
    const keys = [...new Set(this.#keys)].sort((a, b) => a - b);
    this.#keys = [];
    if (keys.length === 0) return;
    const asked = new Set(keys);
    /** Versions that the peer has, by path. */
    const theirs = new Map<string, Manifest["version"]>();
    let last: KeyPlace = { key: 0, path: "" };
    for (let after = "";;) {
      const question = create(wire.ManifestsQuestionSchema, {
        keys: keysToBytes(keys),
        after,
        limit: limits.manifests,
      });
      const page = await this.#ask("manifests", question);
      for (const { path, version } of page.manifests.map(manifestFromWire)) theirs.set(path, version);
      // A key that has too many paths for us to be honest.
      if (theirs.size > keys.length * limits.sameKey) throw this.#fault("sent more manifests than were asked for");
      last = await this.#takePage(page, last, (key) => asked.has(key));
      if (page.next === "") break;
      after = page.next;
    }
    for (const { manifest } of await this.#catalog.manifestsByKey(keys)) {
      const there = theirs.get(manifest.path);
      if (!there || compareVersions(there, manifest.version) < 0) await this.#lacks(manifest, there !== undefined);
    }
  }

  /** Learns what is news and may be believed. Resolves with the place of the last. */
  async #takePage(page: wire.ManifestPage, last: KeyPlace, isMeant: (key: number) => boolean): Promise<KeyPlace> {
    if (page.manifests.length > limits.manifests) throw this.#fault("sent more manifests than were asked for");
    const before = last;
    const news: Manifest[] = [];
    let checks = 0;
    for (const message of page.manifests) {
      const manifest = manifestFromWire(message);
      const place = { key: pathKey(manifest.path), path: manifest.path };
      if (!isMeant(place.key)) throw this.#fault("sent a manifest that was not asked for");
      if (comparePlaces(place, last) <= 0) throw this.#fault("sent manifests out of order");
      last = place;
      const known = await this.#catalog.get(manifest.path);
      if (known && compareVersions(known.version, manifest.version) >= 0) continue;
      if (++checks % CHECKS_A_TURN === 0) await this.#catalog.pause();
      const reason = malformed(message) ?? await this.#options.check(manifest);
      if (reason === null) news.push(manifest);
      else this.#refuse(manifest, reason);
    }
    if (page.next !== "") {
      const next = placeFromText(page.next);
      if (!next || comparePlaces(next, last) < 0 || comparePlaces(next, before) <= 0) {
        throw this.#fault("does not get on with its pages");
      }
      last = next;
    }
    await this.#learn(news);
    return last;
  }

  async #learn(news: Manifest[]): Promise<void> {
    const outcomes = await Promise.allSettled(news.map((manifest) => this.#catalog.learn(manifest)));
    let learned = 0;
    for (const [at, outcome] of outcomes.entries()) {
      if (outcome.status === "fulfilled") learned += Number(outcome.value !== "old");
      else if (outcome.reason instanceof CdnError && outcome.reason.status === 400) {
        this.#refuse(news[at]!, outcome.reason.message);
      } else throw outcome.reason;
    }
    this.tally.learned += learned;
    this.#results += learned;
  }

  /** The peer lacks a manifest of ours, or has an older one. */
  async #lacks(manifest: Manifest, knownThere: boolean): Promise<void> {
    const verdict = this.#options.verdict(manifest, knownThere);
    if (verdict === "keep") return;
    this.#results++;
    if (verdict === "set aside") {
      if (this.#aside.push(manifest) === limits.manifests) await this.#flushAside();
      return;
    }
    const bytes = wireBytes(manifest);
    if (this.#offerBytes + bytes > limits.bytes || this.#offers.length === limits.manifests) await this.#flushOffers();
    this.#offers.push(manifest);
    this.#offerBytes += bytes;
  }

  async #flushOffers(): Promise<void> {
    const offers = this.#offers;
    this.#offers = [];
    this.#offerBytes = 0;
    if (offers.length === 0) return;
    this.#options.signal.throwIfAborted();
    this.tally.messages++;
    await this.#options.offer(offers);
    this.tally.offered += offers.length;
  }

  async #flushAside(): Promise<void> {
    const aside = this.#aside;
    this.#aside = [];
    if (aside.length === 0) return;
    await this.#options.setAside(aside);
    this.tally.aside += aside.length;
  }

  async #ask<Name extends "tree" | "manifests">(name: Name, question: Question<Name>): Promise<Answer<Name>> {
    this.#options.signal.throwIfAborted();
    if (this.tally.messages++ > MOST_IDLE + this.#results) {
      throw this.#fault(`brought ${this.#results} results in ${this.tally.messages} messages`);
    }
    question.from = this.#options.self;
    return await this.#options.ask(name, question);
  }

  async #isEmpty(name: string): Promise<boolean> {
    if (name.length <= KEPT_LEVELS) return this.#catalog.tree.node(name).count === 0;
    return (await this.#catalog.knows(...rangeOf(name), 1)).entries.length === 0;
  }

  async #childrenOf(name: string): Promise<EntryDigest[]> {
    if (name.length < KEPT_LEVELS) return this.#catalog.tree.children(name).map(({ digest }) => digest);
    const sum = new NodeSum(name);
    for await (const { key, manifest: { path, version } } of everything(this.#catalog, rangeOf(name))) {
      sum.add(key, entryDigest(path, version));
    }
    return sum.children;
  }

  #refuse({ path }: Manifest, reason: string): void {
    if (this.tally.refused++ === 0) {
      this.#options.log.warn("does not believe a manifest", { from: this.#options.peer, path, reason });
    }
  }

  #fault(what: string): CdnError {
    return new CdnError(`Cannot compare with ${this.#options.peer}: it ${what}`, { source: "peer" });
  }
}

function digestOf({ manifest: { path, version } }: Known): string {
  return digestBytes(entryDigest(path, version)).toHex();
}
