/**
 * The tier on disk: an index (`index.ts`), and the slices of larger bodies as files (`slice_files.ts`). What is new
 * stays in memory for a moment, and then goes to disk with all else that came meanwhile: files first, then one
 * transaction with their rows. So a row never tells of bytes that were not written, and after a power cut sums tell
 * which of them are not there.
 *
 * A disk that is full, read-only or broken is left alone for a while; till then the cache does without it.
 */
import { setImmediate } from "node:timers/promises";
import { join } from "@std/path";
import { CdnError } from "../../../proto/mod.ts";
import { ignoreMissing, inTurns, syncFile } from "../../../runtime/files.ts";
import type { Logger } from "../../../runtime/log.ts";
import { isDamaged } from "../../store/database.ts";
import { freeBytes, noRoom } from "../../store/room.ts";
import type { ByteRange } from "../../serve/range.ts";
import type { StoredSlice, TieredEntry } from "./entry.ts";
import { type Cursor, type EntryRow, HEAD, Index, type PartRow, printOf } from "./index.ts";
import { addRange, cutRange, heldUntil } from "./ranges.ts";
import { bytesOnDisk, extendRuns, rangesOf, type Run } from "./runs.ts";
import { Ghosts, S3Fifo, use, useFrom } from "./s3_fifo.ts";
import type { Purge } from "./selection.ts";
import { SLICE_BYTES, type SliceBuffer } from "./slice_buffer.ts";
import { type Piece, SliceFiles } from "./slice_files.ts";

/** Bodies of at most this many bytes are rows: below it rows are faster than files, above it slower (measured). */
export const INLINE_BYTES = 16_384;
/** How long what is new may wait for more to come. */
const GATHER_MS = 50;
/** A disk that failed is left alone for so long. */
const REST_MS = 10_000;
/** Buffers that are written together, in bytes. */
const BATCH_BYTES = 16 << 20;
/** Files that are written at a time. */
const WRITES_AT_ONCE = 4;
/** Rows that a purge looks at before others have their turn. */
const PURGE_STEP = 500;
/** Between two folders in search of files that no row names. */
const SWEEP_PAUSE_MS = 200;
/** Rows that wait at most for the next time that something is written. */
const MOST_DIRTY = 512;
/** Slices of an entry that are known without asking: of a film, those where somebody watches. */
const MOST_SLICES = 64;

/** What the tier asks of the cache. */
export interface Host {
  /** An entry that is alive. */
  alive(key: string, id: number): TieredEntry | null;
  /** An entry is not on disk any more, and shall not be found. */
  evicted(entry: TieredEntry): void;
  /** A buffer has left for the disk, or could not. */
  left(buffer: SliceBuffer): void;
  /** Nothing on disk is known any more. */
  reset(): void;
}

/** Settings of the tier. */
export interface DiskOptions {
  folder: string;
  limit: number;
  minFreeBytes: number;
  now: () => number;
  log: Logger;
}

/** A buffer with what was on disk of its slice when it left. */
interface Leaving {
  buffer: SliceBuffer;
  before: StoredSlice | null;
  /** What will be. */
  runs: readonly Run[];
}

/** Keeps entries on disk. */
export class DiskTier {
  /** Ids of rows are never given twice in a process. */
  lastId = 0;
  evictions = 0;
  #index: Index | null = null;
  #policy!: S3Fifo<PartRow>;
  readonly #ghosts = new Ghosts();
  readonly #files: SliceFiles;
  /** Entries whose row is not as they are. */
  readonly #dirty = new Set<TieredEntry>();
  /** Rows that must go; none of them is found. */
  readonly #removed = new Set<number>();
  readonly #buffers = new Set<SliceBuffer>();
  /** Files that no row will name any more. */
  #doomed: [entry: number, number: number][] = [];
  /** Entries that are gone, and still read. */
  readonly #retained = new Set<number>();
  /** Uses of what is not alive any more. */
  #uses: [entry: number, number: number, frequency: number][] = [];
  #writing = new Set<string>();
  #running: Promise<void> | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #restUntil = -Infinity;
  #failing = false;
  #closed = false;
  readonly #stop = new AbortController();
  #sweeping: Promise<void> = Promise.resolve();
  readonly #sync = inTurns(syncFile);

  private constructor(readonly options: DiskOptions, readonly host: Host) {
    this.#files = new SliceFiles(join(options.folder, "slices"));
  }

  /**
   * Opens the tier. A damaged index is set aside; where the disk fails altogether the cache does without it.
   * @throws {CdnError} where another process has it open, or it is of a version that we do not know
   */
  static async open(options: DiskOptions, host: Host): Promise<DiskTier> {
    const tier = new DiskTier(options, host);
    try {
      await Deno.mkdir(options.folder, { recursive: true });
      await tier.#open();
    } catch (error) {
      if (error instanceof CdnError && /another process|it has version/.test(error.message)) throw error;
      options.log.error("cannot open the cache on disk; the cache is in memory alone until the next start", { error });
    }
    return tier;
  }

  get bytes(): number {
    return this.#index ? this.#policy.bytes : 0;
  }

  /** Entries that have a row, or will. */
  get entries(): number {
    let unsaved = 0;
    for (const { saved } of this.#dirty) if (!saved) unsaved++;
    return (this.#index?.entries ?? 0) + unsaved - this.#removed.size;
  }

  /** False while the disk is left alone. */
  get well(): boolean {
    return this.#index !== null && !this.#closed && this.options.now() >= this.#restUntil;
  }

  /** True from when the disk failed until it works again. */
  get failing(): boolean {
    return (this.#index === null || this.#failing) && !this.#closed;
  }

  /** The rows of a key, the newest first. */
  find(key: string): EntryRow[] {
    try {
      return (this.#index?.find(key) ?? []).filter(({ id }) => !this.#removed.has(id));
    } catch (error) {
      this.#failed(error);
      return [];
    }
  }

  /** The row of an entry shall be as the entry is. */
  changed(entry: TieredEntry): void {
    if (entry.gone) return;
    this.#dirty.add(entry);
    if (this.#dirty.size >= MOST_DIRTY) this.#saveNow();
    else this.#soon();
  }

  /** As {@link DiskTier.changed}, of many at a time: whoever calls goes on to {@link DiskTier.purge}. */
  changedMany(entries: readonly TieredEntry[]): void {
    for (const entry of entries) if (!entry.gone) this.#dirty.add(entry);
  }

  /** The rows of an entry that is gone shall go. */
  removed(entry: TieredEntry): void {
    this.#dirty.delete(entry);
    if (!entry.saved) return;
    this.#removed.add(entry.id);
    this.#soon();
  }

  /** An entry is about to go while somebody reads it: its files stay, and what is known of them, until {@link release}. */
  retain(entry: TieredEntry): void {
    if (entry.retained || entry.inline || entry.stored.length === 0) return;
    const retained = new Map<number, StoredSlice>();
    for (const { start, end } of entry.stored) {
      for (let number = Math.floor(start / SLICE_BYTES); number * SLICE_BYTES < end; number++) {
        const slice = this.#slice(entry, number);
        if (slice) retained.set(number, slice);
      }
    }
    entry.retained = retained;
    this.#retained.add(entry.id);
  }

  /** Nobody reads it any more. */
  release(entry: TieredEntry): void {
    entry.retained = null;
    this.#retained.delete(entry.id);
    this.#soon();
  }

  /** A buffer has bytes for the disk. */
  filled(buffer: SliceBuffer): void {
    this.#buffers.add(buffer);
  }

  /** A buffer has no bytes for the disk any more. */
  forgotten(buffer: SliceBuffer): void {
    this.#buffers.delete(buffer);
  }

  /** Nothing that is on disk of an entry's body is of use. */
  emptied(entry: TieredEntry): void {
    entry.slices.clear();
    entry.inline = false;
    try {
      const index = this.#index;
      if (!index || !entry.saved) return;
      index.atOnce(() => {
        index.removeBody(entry.id);
        for (const part of index.parts(entry.id)) {
          if (part.number === HEAD) continue;
          this.#policy.remove(part);
          index.drop(part.entry, part.number);
          this.#doomed.push([part.entry, part.number]);
        }
      });
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Some buffers are complete. */
  ripe(): void {
    this.#soon();
  }

  /** Nobody may hold these entries any more: their uses are kept. */
  left(entries: readonly TieredEntry[]): void {
    for (const entry of entries) {
      if (!entry.saved || entry.gone) continue;
      if (entry.frequency > 0) this.#uses.push([entry.id, HEAD, entry.frequency]);
      for (const [number, { frequency }] of entry.slices) {
        if (frequency > 0) this.#uses.push([entry.id, number, frequency]);
      }
    }
    if (this.#uses.length > MOST_DIRTY) this.#soon();
  }

  /** Reads a part of the body that is on disk; 0 where it is not there (any more). */
  async read(entry: TieredEntry, offset: number, into: Uint8Array<ArrayBuffer>): Promise<number> {
    if (entry.inline) {
      const body = this.whole(entry);
      if (!body) return 0;
      const part = body.subarray(offset, offset + into.length);
      into.set(part);
      return part.length;
    }
    const number = Math.floor(offset / SLICE_BYTES);
    const slice = this.#slice(entry, number);
    if (!slice) {
      this.#lose(entry, number, null);
      return 0;
    }
    const at = offset % SLICE_BYTES;
    const count = await this.#files.read(entry.id, number, slice.runs, at, into);
    if (count) {
      useFrom(slice, at, at + count);
      return count;
    }
    this.#lose(entry, number, slice);
    return 0;
  }

  /** A small body that is a row; null where it is not there (any more). */
  whole(entry: TieredEntry): Uint8Array<ArrayBuffer> | null {
    try {
      const body = this.#index?.body(entry.id) ?? null;
      if (body && body.length === heldUntil(entry.stored, 0)) return body;
    } catch (error) {
      this.#failed(error);
    }
    this.#loseInline(entry);
    return null;
  }

  /** Writes the buffers out that are complete, and rows. */
  async gather(): Promise<void> {
    while (this.#running) await this.#running;
    if (!this.#closed) await this.#run([...this.#buffers].filter(isRipe));
  }

  /** Writes all buffers out; resolves when they have left, or could not. */
  async flush(): Promise<void> {
    while (this.#running) await this.#running;
    await this.#run([...this.#buffers]);
  }

  /** Rows are as they should be, and no restart brings back what was removed. @throws {CdnError} where that fails */
  async settle(): Promise<void> {
    try {
      await this.#saveAll();
    } catch (error) {
      throw error instanceof CdnError ? error : this.#abandon(error);
    }
    await this.#synced();
  }

  /** Does to all rows what a purge means; counts them. */
  async purge(purge: Purge): Promise<void> {
    const { keys, prefixes, tags } = purge.selection;
    const cursors: Cursor[] = [
      ...keys.map((value): Cursor => ({ kind: "key", value, afterKey: value, afterId: -1 })),
      ...prefixes.map((value): Cursor => ({ kind: "prefix", value, afterKey: value, afterId: -1 })),
      ...tags.map((value): Cursor => ({ kind: "tag", value, afterKey: "", afterId: -1 })),
    ];
    try {
      await this.#saveAll();
      while (cursors.length > 0) {
        const index = this.#index;
        if (!index || this.#closed) throw this.#lost();
        // Many keys in one transaction, or one step of a long one.
        index.atOnce(() => {
          for (let left = PURGE_STEP; left > 0 && cursors.length > 0; left--) {
            const rows = index.next(cursors[0]!, purge.number, left);
            for (const row of rows) this.#purgeRow(index, purge, row);
            left -= rows.length;
            if (left > 0) cursors.shift();
          }
        });
        this.#soon();
        await setImmediate();
      }
      // What came alive meanwhile was marked, and has yet to be written.
      await this.#saveAll();
    } catch (error) {
      throw error instanceof CdnError ? error : this.#abandon(error);
    }
    await this.#synced();
  }

  /** Writes what there is, and closes. */
  async close(alive: Iterable<readonly TieredEntry[]>): Promise<void> {
    clearTimeout(this.#timer);
    this.#stop.abort();
    await this.#sweeping;
    await this.flush();
    for (const entries of alive) this.left(entries);
    do this.#saveNow(); while (this.#dirty.size > 0);
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#files.remove(this.#takeDoomed());
    this.#index?.[Symbol.dispose]();
    this.#index = null;
  }

  async #open(): Promise<void> {
    const path = join(this.options.folder, "index.sqlite");
    const uses = {
      get: (part: PartRow) => this.#live(part)?.frequency ?? null,
      set: (part: PartRow, frequency: number) => {
        const live = this.#live(part);
        if (live) live.frequency = frequency;
      },
    };
    try {
      this.#index = await Index.open(path, uses);
    } catch (error) {
      if (!isDamaged(error) && !isDamaged((error as Error).cause)) throw error;
      this.options.log.warn("the cache's index is damaged; it is set aside, and the cache is empty", { error });
      await setAside(path);
      this.#index = await Index.open(path, uses);
    }
    this.#policy = new S3Fifo(this.#index.small, this.#index.main, this.#ghosts);
    this.lastId = Math.max(this.lastId, this.#index.lastId() + 1);
    this.#sweeping = this.#sweep();
  }

  #live({ key, entry, number }: { key: string; entry: number; number: number }): { frequency: number } | null {
    const alive = this.host.alive(key, entry);
    return (number === HEAD ? alive : alive?.slices.get(number)) ?? null;
  }

  #soon(): void {
    if (this.#timer !== undefined || this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.gather();
    }, GATHER_MS);
    Deno.unrefTimer(this.#timer);
  }

  #run(buffers: SliceBuffer[]): Promise<void> {
    const done = this.#writeOut(buffers).finally(() => {
      if (this.#running === done) this.#running = null;
    });
    return this.#running = done;
  }

  async #writeOut(buffers: SliceBuffer[]): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    for (const buffer of buffers) {
      buffer.leaving = promise;
      this.#buffers.delete(buffer);
    }
    try {
      for (let at = 0; at < buffers.length;) {
        const batch: SliceBuffer[] = [];
        const most = Math.min(BATCH_BYTES, this.options.limit / 4);
        for (let bytes = 0; at < buffers.length && (bytes === 0 || bytes + buffers[at]!.size <= most); at++) {
          bytes += buffers[at]!.size;
          batch.push(buffers[at]!);
        }
        await this.#writeBatch(batch.filter(({ entry }) => !entry.gone));
      }
      if (buffers.length === 0) await this.#writeBatch([]);
    } finally {
      for (const buffer of buffers) buffer.leaving = null;
      resolve();
    }
  }

  async #writeBatch(buffers: SliceBuffer[]): Promise<void> {
    const names: string[] = [];
    let begun: Leaving[] = [];
    try {
      if (this.well) {
        await this.#makeRoom(buffers.reduce((sum, { entry, size }) => sum + pages(size) + rowBytes(entry), 0));
        const leaving = buffers.filter(({ entry }) => !entry.gone).map((buffer) => this.#toLeave(buffer));
        const inFiles = leaving.filter(({ buffer }) => !isInline(buffer));
        begun = inFiles.filter(({ before }) => before === null);
        for (const { buffer: { entry, number } } of inFiles) names.push(`${entry.id}-${number}`);
        for (const name of names) this.#writing.add(name);
        for (let at = 0; at < inFiles.length; at += WRITES_AT_ONCE) {
          const writes = inFiles.slice(at, at + WRITES_AT_ONCE).map((each) => this.#writeFile(each));
          await Promise.allSettled(writes);
          await Promise.all(writes);
        }
        if (this.#index) this.#save(this.#index, leaving);
        begun = [];
        await this.#files.remove(this.#takeDoomed());
        if (this.#failing && buffers.length > 0) {
          this.#failing = false;
          this.options.log.info("the cache's disk works again");
        }
      }
    } catch (error) {
      this.#failed(error);
      await this.#files.remove(begun.map(({ buffer: { entry, number } }) => [entry.id, number]));
    }
    for (const name of names) this.#writing.delete(name);
    for (const buffer of buffers) if (!buffer.entry.gone) this.host.left(buffer);
  }

  #toLeave(buffer: SliceBuffer): Leaving {
    const { entry, number } = buffer;
    const before = this.#slice(entry, number);
    let runs = before?.runs ?? [];
    for (const { at, bytes } of piecesOf(buffer)) runs = extendRuns(runs, at, bytes);
    return { buffer, before, runs };
  }

  #writeFile({ buffer, before }: Leaving): Promise<void> {
    return this.#files.write(buffer.entry.id, buffer.number, piecesOf(buffer), { fresh: before === null });
  }

  /** Frees what so many bytes more need, in the cache and on the disk. */
  async #makeRoom(bytes: number): Promise<void> {
    const { folder, minFreeBytes } = this.options;
    this.#evict(bytes, this.options.limit);
    await this.#files.remove(this.#takeDoomed());
    if (minFreeBytes === 0 || bytes === 0) return;
    // Where others have filled the disk, what we have is all that is ours to give. Rows that go give none.
    while (true) {
      const lacking = bytes + minFreeBytes - (freeBytes(folder) ?? Infinity);
      if (lacking <= 0) return;
      if (this.bytes === 0) throw noRoom("keep more in the cache");
      this.#evict(0, Math.max(0, this.bytes - lacking));
      await this.#files.remove(this.#takeDoomed());
    }
  }

  #evict(bytes: number, limit: number): void {
    const index = this.#index;
    if (!index || this.#policy.bytes + bytes <= limit) return;
    index.atOnce(() => {
      while (this.#policy.bytes + bytes > limit) {
        const victim = this.#policy.evict();
        if (victim === null) break;
        this.#evictPart(index, victim);
        this.evictions++;
      }
    });
  }

  #evictPart(index: Index, { entry: id, number, key }: PartRow): void {
    index.drop(id, number);
    const alive = this.host.alive(key, id);
    if (number === HEAD) {
      this.#removeRows(index, id);
      if (!alive) return;
      alive.saved = false;
      this.#dirty.delete(alive);
      this.host.evicted(alive);
      return;
    }
    this.#doomed.push([id, number]);
    const range = rangeOf(number);
    if (alive) {
      alive.slices.delete(number);
      alive.stored = cutRange(alive.stored, range);
      alive.recount();
      if (alive.saved) index.put(rowOf(alive));
    } else {
      const row = index.entry(id);
      if (row) index.put({ ...row, stored: cutRange(row.stored, range) });
    }
  }

  #removeRows(index: Index, id: number): void {
    for (const number of index.remove(id)) this.#doomed.push([id, number]);
  }

  #saveNow(): void {
    if (!this.well) {
      // What cannot be written is found as long as it is alive.
      this.#dirty.clear();
      this.#uses = [];
      return;
    }
    try {
      this.#save(this.#index!);
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Brings rows up to date in one transaction: all where they are no more than {@link MOST_DIRTY}. */
  #save(index: Index, leaving: readonly Leaving[] = []): void {
    const dirty = new Set([...this.#dirty].slice(0, MOST_DIRTY));
    for (const { buffer } of leaving) if (!buffer.entry.gone) dirty.add(buffer.entry);
    if (dirty.size === 0 && this.#removed.size === 0 && this.#uses.length === 0) return;
    const before = new Map([...dirty].map((entry) => [entry, stateOf(entry)]));
    try {
      index.atOnce(() => {
        for (const id of this.#removed) this.#removeRows(index, id);
        for (const [entry, number, frequency] of this.#uses) index.setFrequency(entry, number, frequency);
        for (const each of leaving) {
          if (!each.buffer.entry.gone) this.#saveBuffer(index, each);
        }
        for (const entry of dirty) this.#saveEntry(index, entry);
      });
    } catch (error) {
      // Nothing of it is there.
      for (const [entry, state] of before) Object.assign(entry, state);
      for (const { buffer: { entry, number } } of leaving) entry.slices.delete(number);
      throw error;
    }
    for (const entry of dirty) this.#dirty.delete(entry);
    this.#removed.clear();
    this.#uses = [];
    if (this.#dirty.size > 0) this.#soon();
    this.#evict(0, this.options.limit);
  }

  #saveEntry(index: Index, entry: TieredEntry): void {
    index.put(rowOf(entry));
    entry.saved = true;
    const bytes = rowBytes(entry) + (entry.inline ? pages(entry.response.length ?? 0) : 0);
    this.#savePart(index, entry, HEAD, bytes, []);
  }

  #saveBuffer(index: Index, { buffer, before, runs }: Leaving): void {
    const { entry, number } = buffer;
    if (isInline(buffer)) {
      index.putBody(entry.id, buffer.whole(entry.response.length!)!);
      entry.inline = true;
      entry.stored = [{ start: 0, end: entry.response.length! }];
      return;
    }
    // What was lost meanwhile is not there, whatever the runs say.
    if (before && entry.slices.get(number) !== before && index.part(entry.id, number) === null) return;
    const range = rangeOf(number);
    if (entry.inline) { // it has become longer
      index.removeBody(entry.id);
      entry.inline = false;
      entry.stored = [];
    }
    let stored: readonly ByteRange[] = cutRange(entry.stored, range);
    for (const { start, end } of rangesOf(runs)) {
      stored = addRange(stored, { start: range.start + start, end: range.start + end });
    }
    entry.stored = stored;
    this.#know(entry, number, { runs, frequency: before?.frequency ?? 0, readUntil: before?.readUntil ?? -1 });
    this.#savePart(index, entry, number, bytesOnDisk(runs), runs);
    // An entry that grows outlives its first slices.
    use(entry);
  }

  #savePart(index: Index, entry: TieredEntry, number: number, bytes: number, runs: readonly Run[]): void {
    const part = index.part(entry.id, number);
    if (part && part.bytes === bytes && number === HEAD) return;
    if (part) {
      this.#policy.resize(part, bytes);
      index.change(part, runs);
      return;
    }
    const { id, key } = entry;
    const frequency = number === HEAD ? entry.frequency : 0;
    const row = { entry: id, number, key, bytes, frequency, main: false, print: printOf(key, number) };
    index.begin(row, runs);
    this.#policy.insert(row);
  }

  /** The files that go now: those of entries that are still read go later. */
  #takeDoomed(): [entry: number, number: number][] {
    const doomed = this.#doomed.splice(0);
    if (this.#retained.size === 0) return doomed;
    this.#doomed = doomed.filter(([id]) => this.#retained.has(id));
    return doomed.filter(([id]) => !this.#retained.has(id));
  }

  #slice(entry: TieredEntry, number: number): StoredSlice | null {
    if (entry.retained) return entry.retained.get(number) ?? null;
    const known = entry.slices.get(number);
    if (known) return known;
    try {
      const found = entry.saved ? this.#index?.runs(entry.id, number) : null;
      if (!found) return null;
      return this.#know(entry, number, { runs: found, frequency: 0, readUntil: -1 });
    } catch (error) {
      this.#failed(error);
      return null;
    }
  }

  #know(entry: TieredEntry, number: number, slice: StoredSlice): StoredSlice {
    entry.slices.set(number, slice);
    if (entry.slices.size > MOST_SLICES) {
      const [oldest, { frequency }] = entry.slices.entries().next().value!;
      entry.slices.delete(oldest);
      if (frequency > 0) this.#uses.push([entry.id, oldest, frequency]);
    }
    return slice;
  }

  /** A slice is damaged or missing, as it was known. */
  #lose(entry: TieredEntry, number: number, slice: StoredSlice | null): void {
    if (entry.gone || (entry.slices.get(number) ?? null) !== slice) return;
    this.options.log.warn("a part of the cache is damaged or missing; it is fetched again", { key: entry.key, number });
    entry.slices.delete(number);
    entry.stored = cutRange(entry.stored, rangeOf(number));
    entry.recount();
    this.#doomed.push([entry.id, number]);
    try {
      const index = this.#index;
      if (!index) return;
      index.atOnce(() => {
        const part = index.part(entry.id, number);
        if (part) this.#policy.remove(part);
        index.drop(entry.id, number);
      });
      this.changed(entry);
    } catch (error) {
      this.#failed(error);
    }
  }

  #loseInline(entry: TieredEntry): void {
    if (!entry.inline || entry.gone) return;
    this.options.log.warn("a body in the cache is damaged or missing; it is fetched again", { key: entry.key });
    entry.inline = false;
    entry.stored = [];
    entry.recount();
    try {
      this.#index?.removeBody(entry.id);
      this.changed(entry);
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Brings all rows up to date, in steps. @throws {CdnError} where there is no index (any more) */
  async #saveAll(): Promise<void> {
    while (this.#index && this.#removed.size > PURGE_STEP) {
      const index = this.#index;
      const ids = [...this.#removed].slice(0, PURGE_STEP);
      index.atOnce(() => ids.forEach((id) => this.#removeRows(index, id)));
      for (const id of ids) this.#removed.delete(id);
      await setImmediate();
    }
    while (this.#index && this.#dirty.size > MOST_DIRTY) {
      this.#save(this.#index);
      await setImmediate();
    }
    if (!this.#index) throw this.#lost();
    this.#save(this.#index);
  }

  #purgeRow(index: Index, purge: Purge, { id, key }: { id: number; key: string }): void {
    if (!purge.soft) {
      this.#removeRows(index, id);
      purge.count++;
    } else if (this.host.alive(key, id)?.purge !== purge.number && index.markStale(id, purge.number)) purge.count++;
  }

  /** Waits until the disk has what was committed; meanwhile others go on, as they could not if SQLite waited. */
  async #synced(): Promise<void> {
    try {
      await this.#sync(join(this.options.folder, "index.sqlite-wal"));
    } catch (error) {
      throw this.#abandon(error);
    }
  }

  async #sweep(): Promise<void> {
    let freed = 0;
    try {
      for await (const [entry, number] of this.#files.all(this.#stop.signal, SWEEP_PAUSE_MS)) {
        if (!this.#index || this.#writing.has(`${entry}-${number}`) || this.#retained.has(entry)) continue;
        if (this.#index.part(entry, number) !== null) continue;
        await this.#files.remove([[entry, number]]);
        freed++;
      }
    } catch (error) {
      this.#failed(error);
    }
    if (freed > 0) this.options.log.info("removed files of the cache that no row named", { files: freed });
  }

  #failed(error: unknown): void {
    if (this.#closed) return;
    if (isDamaged(error)) return this.#rebuild(error);
    this.#restUntil = this.options.now() + REST_MS;
    if (this.#failing) return;
    this.#failing = true;
    this.options.log.error("the cache's disk fails; for now the cache does without it", { error });
  }

  /** What must not come back may still be on disk: nothing on it is believed any more. */
  #abandon(error: unknown): CdnError {
    this.options.log.error("cannot purge the cache on disk; it is not used until the next start", { error });
    this.#index?.[Symbol.dispose]();
    this.#index = null;
    this.#forgetAll();
    return this.#lost(error);
  }

  #lost(cause?: unknown): CdnError {
    return new CdnError("Cannot purge the cache: its disk fails, and a restart may bring back what was there", {
      source: "server",
      retry: true,
      cause,
    });
  }

  #rebuild(error: unknown): void {
    if (!this.#index) return;
    this.options.log.error("the cache's index is damaged; it is set aside, and the cache begins anew", { error });
    const { path } = this.#index;
    try {
      this.#index[Symbol.dispose]();
    } catch { /* it is broken */ }
    this.#index = null;
    this.#forgetAll();
    this.#sweeping = this.#sweeping.then(async () => {
      try {
        await setAside(path);
        if (!this.#closed) await this.#open();
      } catch (cause) {
        this.options.log.error("cannot begin the cache's index anew", { error: cause });
      }
    });
  }

  #forgetAll(): void {
    this.#dirty.clear();
    this.#removed.clear();
    this.#buffers.clear();
    this.#uses = [];
    this.host.reset();
  }
}

/** Written out at once: nothing more will come. */
function isRipe({ entry, number, held }: SliceBuffer): boolean {
  const { length } = entry.response;
  const end = length === null ? SLICE_BYTES : Math.min(SLICE_BYTES, length - number * SLICE_BYTES);
  return heldUntil(held, held[0]?.start ?? 0) >= end;
}

/** A whole small body. */
function isInline({ entry, number, held }: SliceBuffer): boolean {
  const { length } = entry.response;
  return number === 0 && length !== null && length <= INLINE_BYTES && heldUntil(held, 0) === length &&
    (entry.stored.length === 0 || entry.inline);
}

function piecesOf(buffer: SliceBuffer): Piece[] {
  return buffer.held.map((range) => ({ at: range.start, bytes: buffer.view(range) }));
}

function rangeOf(number: number): ByteRange {
  return { start: number * SLICE_BYTES, end: (number + 1) * SLICE_BYTES };
}

function rowOf({ id, key, response, purge, stored, inline }: TieredEntry): EntryRow {
  return { id, key, response, stale: response.stale ? purge || 1 : 0, stored, inline };
}

/** What may have to be as it was. */
function stateOf({ saved, inline, stored }: TieredEntry) {
  return { saved, inline, stored };
}

/** About what the rows of an entry take, with the free room in pages that are not full. */
function rowBytes({ key, response: { fields, varied, tags } }: TieredEntry): number {
  let bytes = 300 + 2 * key.length;
  for (const [name, value] of fields) bytes += name.length + value.length + 6;
  for (const [name, value] of varied) bytes += name.length + (value?.length ?? 4) + 6;
  for (const tag of tags) bytes += 2 * tag.length + 20;
  return Math.ceil(1.5 * bytes);
}

function pages(bytes: number): number {
  return Math.ceil(bytes / 4096) * 4096;
}

async function setAside(path: string): Promise<void> {
  for (const end of ["", "-wal"]) {
    await Deno.rename(path + end, `${path}.broken${end}`).catch(ignoreMissing);
  }
}
