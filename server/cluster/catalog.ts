/**
 * What this server knows: what its store holds, and what is wanted (the manifest is known, the body is not here). The
 * index comes first, and bodies follow: so a server knows soon what there is, also where bodies take hours.
 *
 * Of a path the newest version counts. A wanted one is newer than what the store has, or the very version whose body
 * the store lost. Every change goes through {@link Catalog.store} or a method here, one at a time a path, so that the
 * digest tree is always that of what is known.
 */
import { create } from "@bufbuild/protobuf";
import { CdnError, compareVersions, type Manifest, type Version, wire } from "../../proto/mod.ts";
import { sameBytes } from "../../runtime/keyring.ts";
import { words } from "../../runtime/words.ts";
import { KeyedLock } from "../keyed_lock.ts";
import { KEYS, pathKey } from "../store/path_key.ts";
import { comparePaths } from "../store/path_order.ts";
import { bodySize, type Store } from "../store/store.ts";
import { digestBytes, DigestTree, entryDigest } from "./digest_tree.ts";
import { Gate } from "./gate.ts";
import type { Ledger, WantedTable } from "./ports.ts";
import { horizonMs, HOUR_MS } from "./stale.ts";
import type { Surroundings } from "./surroundings.ts";
import { Tasks } from "./tasks.ts";

/** What a catalog works with. */
export interface CatalogOptions extends Omit<Surroundings, "random"> {
  store: Store;
  ledger: Pick<Ledger, "wanted">;
  settings: { tombstoneMs: number };
  /** What others are told (`stale.ts`). */
  stale?: () => boolean;
}

/** What is known of one path. */
export interface Known {
  key: number;
  manifest: Manifest;
  /** Its body is not here. */
  wanted: boolean;
}

/** A place in the order by key, then path. */
export type KeyPlace = Pick<Known, "key"> & { path: string };

/** How it stands with a manifest that was learned. */
export type Learned = "held" | "wanted" | "old";

type Listener = (manifest: Manifest) => void;
type Row = KeyPlace & { held: Manifest | null; wanted: Manifest | null };

/** Rows read in one go; in between others have their turn. */
const PAGE = 1000;
/** Paths of one key that are looked at: several are as rare as a collision of 48 bits. */
export const SAME_KEY = 64;

/** What this server knows. */
export class Catalog {
  /** The store for the rest of the server: what is put there is known here. `onLost` hears of a loss after us. */
  readonly store: Store;
  /** Of everything known. */
  readonly tree: DigestTree = new DigestTree();
  readonly #options: CatalogOptions;
  readonly #wanted: WantedTable;
  readonly #lock = new KeyedLock();
  readonly #gate = new Gate();
  readonly #onWanted: Listener[] = [];
  readonly #onHeld: Listener[] = [];
  /** Tombstones that are known, by the hour of their version. */
  readonly #tombstones = new Map<number, number>();
  readonly #tasks = new Tasks();
  #batch: { manifest: Manifest; resolve: () => void; reject: (error: unknown) => void }[] = [];
  /** Up to here the tree counts what is known; null: everything. */
  #counted: KeyPlace | null = { key: -1, path: "" };
  #expired = 0;
  #latest: Version | null = null;

  constructor(options: CatalogOptions) {
    this.#options = options;
    this.#wanted = options.ledger.wanted;
    const { store } = options;
    this.store = {
      get: (path) => store.get(path),
      stage: (source, expected) => store.stage(source, expected),
      put: (manifest) => this.#put(manifest),
      open: (sha256, range) => store.open(sha256, range),
      list: (query) => store.list(query),
      forget: (path, version) => this.forget(path, version),
      onLost: () => {},
      [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
    };
    store.onLost = (lost) => {
      this.#track(this.lost(lost.sha256, lost.reason).then(() => this.store.onLost(lost)));
    };
  }

  /** The tree counts everything. */
  get ready(): boolean {
    return this.#counted === null;
  }

  /** The newest version known since the start; our clock must not be behind it. */
  get latest(): Version | null {
    return this.#latest;
  }

  /**
   * Reads everything that is known, a page at a time; others may put and learn meanwhile. Live manifests without a
   * body become wanted; wanted ones whose body is here are put.
   * @throws the signal's reason where it aborts.
   */
  async open(): Promise<void> {
    const { signal, log, now } = this.#options;
    const startedMs = now();
    for (let more = true; more;) {
      signal.throwIfAborted();
      more = await this.#gate.alone(async () => {
        const page = await this.#rows(0, KEYS, PAGE, this.#counted!);
        for (const row of page.rows) await this.#admit(row);
        this.#counted = page.more ? page.rows.at(-1)! : null;
        return page.more;
      });
      await this.pause();
    }
    const { count } = this.tree.node("");
    log.info("read the catalog", { objects: count, wanted: this.#wanted.total().objects, ms: now() - startedMs });
  }

  /** Lets others have their turn, amid long work. */
  async pause(): Promise<void> {
    await new Promise<void>((turn) => this.#options.schedule(turn, 0));
  }

  /** Resolves when nothing of it runs any more; the signal must have been aborted. */
  async ended(): Promise<void> {
    await this.#tasks.ended();
  }

  /** Hears of every manifest that becomes wanted. */
  onWanted(listener: Listener): void {
    this.#onWanted.push(listener);
  }

  /** Hears of every manifest that becomes visible in the store. */
  onHeld(listener: Listener): void {
    this.#onHeld.push(listener);
  }

  /** The newest that is known of a path, held or wanted; a tombstone too. */
  async get(path: string): Promise<Manifest | null> {
    // This first: it leaves the table only when it is in the store.
    const wanted = this.#wanted.get(path);
    return newest(await this.#options.store.get(path), wanted);
  }

  /** What is wanted of a path. */
  isWanted(path: string): Manifest | null {
    return this.#wanted.get(path);
  }

  /**
   * Takes in a verified manifest that another server told of; durable when it resolves. "old" where something newer is
   * known, or where it is a tombstone past its time for a path that we know nothing of.
   * @throws {CdnError} 400 where the body that is held has another size, 507 where there is no room.
   */
  learn(manifest: Manifest): Promise<Learned> {
    return this.#change(manifest.path, async (known) => {
      const order = known ? compareVersions(manifest.version, known.version) : 1;
      if (order < 0 || (!known && this.#isExpired(manifest))) return "old";
      if (order > 0) {
        if (await this.#putHeld(manifest)) return "held";
        await this.#want(manifest);
        return "wanted";
      }
      const wanted = this.#wanted.get(manifest.path);
      return !wanted || await this.#settle(wanted) ? "held" : "wanted";
    });
  }

  /** The body was staged: puts every wanted manifest that names it, and resolves with those. */
  async settle(sha256: string): Promise<Manifest[]> {
    const settled: Manifest[] = [];
    for (const { path } of this.#wanted.byBody(sha256)) {
      try {
        await this.#change(path, async () => {
          const wanted = this.#wanted.get(path);
          if (wanted?.sha256 === sha256 && await this.#settle(wanted)) settled.push(wanted);
        });
      } catch (error) {
        this.#options.log.warn("could not put an object whose body came", { path, error: words(error) });
      }
    }
    return settled;
  }

  /** The store has lost a body: the manifests that name it become wanted again, in the same version. */
  async lost(sha256: string, reason: string): Promise<void> {
    const { store, log } = this.#options;
    try {
      let limit = PAGE;
      let found = await store.list({ by: "body", sha256, limit });
      while (found.more) found = await store.list({ by: "body", sha256, limit: limit *= 4 });
      for (const { manifest: { path } } of found.entries) {
        await this.#change(path, async (known) => {
          const held = await store.get(path);
          if (!held || held.deleted || held.sha256 !== sha256 || !same(known, held)) return;
          if (await bodySize(store, sha256) === null) await this.#want(held);
        });
      }
      log.warn("lost a body; it is wanted again", { sha256, reason, objects: found.entries.length });
    } catch (error) {
      log.error("could not take note of a lost body", { sha256, reason, error: words(error) });
    }
  }

  /** Forgets a version of a path, as if it had never been heard of. False where it is not (any more) what is known. */
  forget(path: string, version: Version): Promise<boolean> {
    return this.#change(path, async () => {
      const forgotten = await this.#options.store.forget(path, version);
      return this.#wanted.remove(path, version) || forgotten;
    });
  }

  /**
   * Forgets tombstones past their time; looks at one page of the store.
   * @returns how many, and whether to call it again soon.
   */
  async expire(nowMs: number): Promise<{ forgotten: number; more: boolean }> {
    const horizon = horizonMs(nowMs, this.#options.settings.tombstoneMs);
    const due = () => this.ready && this.#tombstones.keys().some((hour) => hour * HOUR_MS < horizon);
    let forgotten = 0;
    if (!due()) return { forgotten, more: false };
    const { entries, more } = await this.#options.store.list({ by: "change", after: this.#expired, limit: PAGE });
    for (const { manifest: { deleted, path, version } } of entries) {
      if (deleted && version.wallMs < horizon && await this.forget(path, version)) forgotten++;
    }
    this.#expired = more ? entries.at(-1)!.change : 0;
    return { forgotten, more: due() };
  }

  /** What is known of keys in [from, to), by key, then path (`comparePaths`), behind `after`: at most `limit`. */
  async knows(from: number, to: number, limit: number, after?: KeyPlace): Promise<{ entries: Known[]; more: boolean }> {
    const { rows, more } = await this.#rows(from, to, limit, after);
    const entries = rows.map(({ key, held, wanted }) => {
      const manifest = newest(held, wanted)!;
      return { key, manifest, wanted: wanted !== null && same(manifest, wanted) };
    });
    return { entries, more };
  }

  /** What is known of these keys, in their order. */
  async manifestsByKey(keys: readonly number[]): Promise<Known[]> {
    const found: Known[] = [];
    for (const key of keys) found.push(...(await this.knows(key, key + 1, SAME_KEY)).entries);
    return found;
  }

  /** In short; the digest is empty until the catalog is ready. */
  summary(): wire.ContentSummary {
    const { count, digest } = this.tree.node("");
    const { objects, bytes } = this.#wanted.total();
    return create(wire.ContentSummarySchema, {
      digest: this.ready ? digestBytes(digest) : new Uint8Array(),
      objects: BigInt(count),
      wantedObjects: BigInt(objects),
      wantedBytes: BigInt(bytes),
      stale: this.#options.stale?.() ?? false,
    });
  }

  /** True where another server knows just what we know; false while one of both has yet to read that. */
  isSame({ digest }: wire.ContentSummary): boolean {
    return this.ready && sameBytes(digest, digestBytes(this.tree.node("").digest));
  }

  async #put(manifest: Manifest): Promise<boolean> {
    const put = await this.#change(manifest.path, async (known) => {
      if (!await this.#options.store.put(manifest)) return false;
      const wanted = this.#wanted.get(manifest.path);
      if (wanted && compareVersions(wanted.version, manifest.version) < 0) {
        this.#wanted.remove(wanted.path, wanted.version, { soon: true });
      }
      if (!same(known, manifest)) this.#tell(this.#onHeld, manifest);
      return true;
    });
    // The same bytes may be wanted under another path.
    if (put && this.#wanted.byBody(manifest.sha256).length > 0) this.#track(this.settle(manifest.sha256));
    return put;
  }

  /** Puts what is newer than all that is known, where its body is here. */
  async #putHeld(manifest: Manifest): Promise<boolean> {
    const { store } = this.#options;
    if (!manifest.deleted && await bodySize(store, manifest.sha256) === null) return false;
    try {
      if (!await store.put(manifest)) return false;
    } catch (error) {
      if (error instanceof CdnError && error.status === 409) return false; // it was lost just now
      throw error;
    }
    const wanted = this.#wanted.get(manifest.path);
    if (wanted) this.#wanted.remove(wanted.path, wanted.version, { soon: true });
    this.#tell(this.#onHeld, manifest);
    return true;
  }

  /** Puts what is wanted, where its body is here. The store would put a version that it has without looking. */
  async #settle(wanted: Manifest): Promise<boolean> {
    const { store } = this.#options;
    if (await bodySize(store, wanted.sha256) === null) return false;
    await store.put(wanted);
    this.#wanted.remove(wanted.path, wanted.version, { soon: true });
    this.#tell(this.#onHeld, wanted);
    return true;
  }

  /** Those that come in one turn are saved together: one wait for the disk. */
  async #want(manifest: Manifest): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#batch.push({ manifest, resolve, reject });
      if (this.#batch.length === 1) this.#options.schedule(() => this.#save(), 0);
    });
    this.#tell(this.#onWanted, manifest);
  }

  #save(): void {
    const batch = this.#batch;
    this.#batch = [];
    try {
      this.#wanted.setAll(batch.map(({ manifest }) => manifest));
      for (const { resolve } of batch) resolve();
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }

  /** Runs `work`, one at a time a path; the tree then counts what is known after it, whether it failed or not. */
  #change<T>(path: string, work: (known: Manifest | null) => Promise<T>): Promise<T> {
    return this.#gate.pass(() =>
      this.#lock.run(path, async () => {
        const before = await this.get(path);
        try {
          return await work(before);
        } finally {
          this.#recount(pathKey(path), before, await this.get(path));
        }
      })
    );
  }

  #recount(key: number, before: Manifest | null, after: Manifest | null): void {
    if (same(before, after)) return;
    const place = { key, path: (before ?? after)!.path };
    if (this.#counted && comparePlaces(place, this.#counted) > 0) return;
    if (before) this.#count(key, before, -1);
    if (after) this.#count(key, after, 1);
  }

  #count(key: number, { path, version, deleted }: Manifest, count: 1 | -1): void {
    const digest = entryDigest(path, version);
    if (count > 0) this.tree.add(key, digest);
    else this.tree.remove(key, digest);
    if (!this.#latest || compareVersions(version, this.#latest) > 0) this.#latest = version;
    if (!deleted) return;
    const hour = Math.floor(version.wallMs / HOUR_MS);
    const left = (this.#tombstones.get(hour) ?? 0) + count;
    if (left > 0) this.#tombstones.set(hour, left);
    else this.#tombstones.delete(hour);
  }

  /** One row at the start. */
  async #admit({ key, held, wanted }: Row): Promise<void> {
    const { store } = this.#options;
    if (wanted && held && compareVersions(wanted.version, held.version) < 0) {
      this.#wanted.remove(wanted.path, wanted.version, { soon: true }); // we ended between the put and this
    } else if (wanted) {
      await this.#settle(wanted).catch((error) =>
        this.#options.log.warn("could not put an object", { path: wanted.path, error: words(error) })
      );
    } else if (!held!.deleted && await bodySize(store, held!.sha256) === null) {
      this.#wanted.set(held!);
      this.#tell(this.#onWanted, held!);
    }
    this.#count(key, newest(held, wanted)!, 1);
  }

  /** The store's rows and the wanted ones side by side. */
  async #rows(from: number, to: number, limit: number, after?: KeyPlace): Promise<{ rows: Row[]; more: boolean }> {
    const behind = after ? { after } : {};
    const wanted = this.#wanted.byKey(from, to, limit + 1, after);
    const held = await this.#options.store.list({ by: "key", from, to, limit: limit + 1, ...behind });
    const rows: Row[] = [];
    const left = wanted.map((manifest) => place(manifest));
    const right = held.entries.map(({ manifest }) => place(manifest));
    for (let l = 0, r = 0; rows.length <= limit && (l < left.length || r < right.length);) {
      const least = l === left.length ? 1 : r === right.length ? -1 : comparePlaces(left[l]!, right[r]!);
      const { key, path } = least <= 0 ? left[l]! : right[r]!;
      rows.push({
        key,
        path,
        wanted: least <= 0 ? left[l++]!.manifest : null,
        held: least >= 0 ? right[r++]!.manifest : null,
      });
    }
    return { rows: rows.slice(0, limit), more: rows.length > limit };
  }

  #isExpired({ deleted, version }: Manifest): boolean {
    return deleted && version.wallMs < horizonMs(this.#options.now(), this.#options.settings.tombstoneMs);
  }

  #tell(listeners: Listener[], manifest: Manifest): void {
    for (const listener of listeners) listener(manifest);
  }

  #track(work: Promise<unknown>): void {
    this.#tasks.run(work, (error) => this.#options.log.error("the catalog failed", { error: words(error) }));
  }
}

function place(manifest: Manifest): KeyPlace & { manifest: Manifest } {
  return { key: pathKey(manifest.path), path: manifest.path, manifest };
}

/** Negative where `a` comes before `b` in the order by key, then path. */
export function comparePlaces(a: KeyPlace, b: KeyPlace): number {
  return a.key - b.key || comparePaths(a.path, b.path);
}

/** Where both are the same version, what the store has. */
function newest(held: Manifest | null, wanted: Manifest | null): Manifest | null {
  return !wanted || held && compareVersions(held.version, wanted.version) >= 0 ? held : wanted;
}

function same(a: Manifest | null, b: Manifest | null): boolean {
  return a === b || a !== null && b !== null && compareVersions(a.version, b.version) === 0;
}
