/** A `Store` on a simulated disk: each step takes virtual time, and a crash may come between any two. */
import { CdnError, compareVersions, type Manifest, type Version } from "../../proto/mod.ts";
import { sha256 } from "../../runtime/signature.ts";
import { comparePaths } from "../../server/store/path_order.ts";
import { noRoom } from "../../server/store/room.ts";
import type { BodySource, Entry, Listing, ListQuery, OpenBody, StagedBody, Store } from "../../server/store/store.ts";
import { requireBody, requireExpected, requireInside } from "../../server/store/stream.ts";
import type { Life } from "./life.ts";
import { partialFile } from "./partials.ts";
import { type Body, copyManifest, keyOf, type Platter } from "./platter.ts";
import { chance, exponential, type Random } from "./prng.ts";

/** How long a body stays that nothing names. */
const GRACE_MS = 600_000;
/** Bytes under one checksum. */
const BLOCK = 1024;

type Query =
  | ListQuery
  | { by: "key"; from: number; to: number; limit: number; after?: { key: number; path: string } }
  | { by: "body"; sha256: string; limit: number };

/** A process's door to its machine's disk. */
export class DiskStore implements Store {
  /** Hears, once, of each body that was held and is found not to be any more. */
  onLost: (lost: { sha256: string; reason: string }) => void = () => {};
  readonly #platter: Platter;
  readonly #life: Life;
  readonly #random: Random;

  constructor(platter: Platter, life: Life, random: Random) {
    this.#platter = platter;
    this.#life = life;
    this.#random = random;
  }

  get(path: string): Promise<Manifest | null> {
    const row = this.#platter.rows.get(path);
    return Promise.resolve(row ? copyManifest(row.manifest) : null);
  }

  async stage(source: BodySource, expected: { sha256?: string; size?: number } = {}): Promise<StagedBody> {
    const platter = this.#platter;
    this.#sweep();
    await this.#step(); // a temporary file, which nobody finds after a crash
    const bytes = "file" in source ? this.#partial(source.file) : await this.#read(source);
    const hashed = "file" in source ? source.hashed : undefined;
    let staged = hashed ?? { sha256: sha256(bytes), size: bytes.length };
    if (platter.faults.credulous) staged = { ...staged, ...expected };
    requireExpected(staged, expected);
    await this.#step(); // written and synced under its name
    const body = platter.bodies.get(staged.sha256);
    if (body) body.sinceMs = platter.trueNow();
    else platter.change(platter.bodies, staged.sha256, { bytes, sinceMs: platter.trueNow(), rottenAt: null });
    if ("file" in source) platter.partials.delete(source.file.slice(partialFile("").length));
    await this.#step();
    return staged;
  }

  async put(manifest: Manifest): Promise<boolean> {
    await this.#step();
    const platter = this.#platter;
    const old = platter.rows.get(manifest.path)?.manifest;
    const order = old ? compareVersions(manifest.version, old.version) : 1;
    if (order <= 0) return order === 0;
    if (!manifest.deleted) requireBody(manifest, platter.bodies.get(manifest.sha256)?.bytes.length ?? null);
    platter.setRow(copyManifest(manifest));
    await this.#step();
    return true;
  }

  async open(sha256: string, range?: { start: number; end: number }): Promise<OpenBody | null> {
    const body = this.#platter.bodies.get(sha256);
    if (!body) return null;
    const size = body.bytes.length;
    const { start, end } = range ?? { start: 0, end: size };
    requireInside(size, { start, end });
    if (start < end) await this.#step();
    return { size, stream: this.#stream(sha256, body, start, end) };
  }

  list(query: Query): Promise<Listing> {
    const found = [...this.#platter.rows.values()].filter(matcher(query as Query)).sort(sorter(query.by));
    const entries = found.slice(0, query.limit).map(({ manifest, change }) => ({
      manifest: copyManifest(manifest),
      change,
    }));
    return Promise.resolve({ entries, more: found.length > entries.length });
  }

  /** Removes the row of exactly this version. */
  async forget(path: string, version: Version): Promise<boolean> {
    await this.#step();
    const row = this.#platter.rows.get(path);
    if (!row || compareVersions(row.manifest.version, version) !== 0) return false;
    this.#platter.dropRow(path);
    return true;
  }

  /** Reads everything over, as the real one does in the background: what has rotten is found. */
  scrub(): void {
    if (this.#platter.faults.unguarded) return;
    for (const [sha256, { rottenAt }] of this.#platter.bodies) if (rottenAt !== null) this.#lose(sha256);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  /** Takes a while; here a crash may come. */
  async #step(): Promise<void> {
    const platter = this.#platter;
    await this.#life.wait(exponential(this.#random, chance(this.#random, 0.01) ? 300 : 1));
    if (platter.crashIn === null || --platter.crashIn > 0) return;
    platter.onCrash();
    await this.#life.stop();
  }

  async #read(source: AsyncIterable<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
    const parts: Uint8Array[] = [];
    for await (const chunk of source) {
      if (this.#platter.full) throw noRoom("take in the body");
      parts.push(chunk.slice());
    }
    return join(parts);
  }

  #partial(file: string): Uint8Array<ArrayBuffer> {
    const bytes = this.#platter.partials.get(file.slice(partialFile("").length));
    if (!bytes) throw new TypeError(`There is no file ${file}`);
    return bytes;
  }

  #stream(sha256: string, body: Body, start: number, end: number): ReadableStream<Uint8Array<ArrayBuffer>> {
    let at = start;
    return new ReadableStream({
      pull: (controller) => {
        const next = Math.min(end, at - at % BLOCK + 16 * BLOCK);
        const { rottenAt } = body;
        const piece = body.bytes.slice(at, next);
        if (rottenAt !== null && rottenAt >= at - at % BLOCK && rottenAt < next) {
          if (!this.#platter.faults.unguarded) {
            this.#lose(sha256);
            throw new CdnError(`Cannot read ${sha256}: its bytes are not what was written`, {
              source: "server",
              retry: true,
            });
          }
          if (rottenAt >= at) piece[rottenAt - at]! ^= 1;
        }
        if (piece.length > 0) controller.enqueue(piece);
        at = next;
        if (at >= end) controller.close();
      },
    }, { highWaterMark: 0 });
  }

  #lose(sha256: string): void {
    if (this.#platter.bodies.delete(sha256)) this.onLost({ sha256, reason: "its checksum is wrong" });
  }

  #sweep(): void {
    const platter = this.#platter;
    for (const [sha256, { sinceMs }] of platter.bodies) {
      if (platter.trueNow() - sinceMs >= GRACE_MS && !platter.isNamed(sha256)) platter.bodies.delete(sha256);
    }
  }
}

/** The parts as one. */
export function join(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function matcher(query: Query): (entry: Entry) => boolean {
  if (query.by === "change") return ({ change }) => change > query.after;
  if (query.by === "body") return ({ manifest: { sha256, deleted } }) => sha256 === query.sha256 && !deleted;
  if (query.by === "key") {
    const { from, to, after } = query;
    return ({ manifest: { path } }) => {
      const key = keyOf(path);
      return key >= from && key < to && (!after || (key - after.key || comparePaths(path, after.path)) > 0);
    };
  }
  const { prefix = "", after, tombstones = false } = query;
  return ({ manifest: { path, deleted } }) =>
    path.startsWith(prefix) && (tombstones || !deleted) && (after === undefined || comparePaths(path, after) > 0);
}

function sorter(by: Query["by"]): (a: Entry, b: Entry) => number {
  if (by === "change") return (a, b) => a.change - b.change;
  const byPath = (a: Entry, b: Entry) => comparePaths(a.manifest.path, b.manifest.path);
  return by === "key" ? (a, b) => keyOf(a.manifest.path) - keyOf(b.manifest.path) || byPath(a, b) : byPath;
}
