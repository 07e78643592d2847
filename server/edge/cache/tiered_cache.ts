/**
 * The cache: what is alive (`families.ts`), a tier in memory (`memory_tier.ts`), and a tier on disk (`disk_tier.ts`)
 * where there is one. With a disk, memory has small whole bodies that are used, and whatever is on its way to the disk;
 * without one it has everything.
 */
import type { StoredResponse, Varied } from "../response.ts";
import type { Cache, CacheFigures, Entry, Selection } from "./cache.ts";
import { type DiskOptions, DiskTier, type Host } from "./disk_tier.ts";
import { type Keeper, TieredEntry } from "./entry.ts";
import { Families, type Family } from "./families.ts";
import { type EntryRow, HEAD, printOf } from "./index.ts";
import { MemoryTier } from "./memory_tier.ts";
import { addRange, gapsIn, heldUntil, isWhole } from "./ranges.ts";
import { type Purge, purgeOf } from "./selection.ts";
import { SLICE_BYTES, SliceBuffer } from "./slice_buffer.ts";

/** Entries of one key: an origin that varies with everything shall not fill the cache with one page. */
const MOST_VARIANTS = 32;
/** Ranges of one body: who asks for single bytes here and there shall not fill our memory. */
const MOST_RANGES = 512;
/** Families that stay alive though nobody holds them. */
const MOST_FAMILIES = 16_384;
/** Bodies that come from disk into memory at a time. */
const MOST_LOADS = 8;

const NOTHING = new Uint8Array(0);

/** Settings of a cache. */
export interface TieredOptions {
  memoryBytes: number;
  largestInMemory: number;
  disk: DiskOptions | null;
}

/** See {@link Cache}. */
export class TieredCache implements Cache, Keeper, Host {
  readonly #families: Families;
  readonly #memory: MemoryTier;
  readonly #purges = new Set<Purge>();
  #disk: DiskTier | null = null;
  #lastId = 1;
  #entries = 0;
  #evictions = 0;
  #loads = 0;
  #closed = false;

  constructor(readonly options: TieredOptions) {
    const bySize = options.disk !== null;
    this.#memory = new MemoryTier(options.memoryBytes, { bySize }, (buffer) => this.#evictBuffer(buffer));
    // Without a disk nothing else knows them.
    const most = options.disk ? MOST_FAMILIES : Infinity;
    this.#families = new Families(most, ({ entries }) => this.#disk?.left(entries));
  }

  static async open(options: TieredOptions): Promise<TieredCache> {
    const cache = new TieredCache(options);
    if (options.disk) {
      cache.#disk = await DiskTier.open(options.disk, cache);
      cache.#lastId = cache.#disk.lastId;
    }
    return cache;
  }

  find(key: string): readonly Entry[] {
    return this.#family(key)?.entries ?? [];
  }

  add(key: string, response: StoredResponse): Entry {
    const family = this.#family(key) ?? this.#families.begin(key, []);
    const replaced = family.entries.filter((entry) => isSame(entry.response.varied, response.varied));
    const others = family.entries.filter((entry) => !replaced.includes(entry));
    const tooMany = others.slice(MOST_VARIANTS - 1); // the newest come first
    const entry = new TieredEntry(++this.#lastId, family, response, this);
    if (response.length === 0) entry.body = NOTHING;
    if (this.#closed) {
      entry.gone = true;
      return entry;
    }
    family.entries = [entry, ...family.entries];
    this.#entries++;
    for (const other of [...replaced, ...tooMany]) this.#remove(other);
    this.#evictions += tooMany.length;
    if (this.#disk) this.#disk.changed(entry);
    else this.#insert(entry.head = new SliceBuffer(entry, HEAD, printOf(key, HEAD)));
    return entry;
  }

  async remove(entry: Entry): Promise<void> {
    const mine = entry as TieredEntry;
    if (!mine.gone) this.#remove(mine);
    await this.#disk?.settle();
  }

  async purge(selection: Selection, { soft }: { soft: boolean }): Promise<number> {
    const purge = purgeOf(selection, ++this.#lastId, soft);
    // From here on no row that it means is found as it was; and what is alive knows at once.
    this.#purges.add(purge);
    try {
      for (const family of this.#meant(purge)) {
        for (const entry of family.entries) {
          if (!purge.means(entry.key, entry.response)) continue;
          purge.count++;
          if (soft) this.#soften(entry, purge);
          else this.#remove(entry);
        }
      }
      await this.#disk?.purge(purge);
    } finally {
      this.#purges.delete(purge);
    }
    return purge.count;
  }

  figures(): CacheFigures {
    return {
      entries: this.#disk ? this.#disk.entries : this.#entries,
      diskBytes: this.#disk?.bytes ?? 0,
      memoryBytes: this.#memory.bytes,
      diskLimit: this.options.disk?.limit ?? 0,
      memoryLimit: this.options.memoryBytes,
      diskFails: this.#disk?.failing ?? false,
      evictions: this.#evictions + (this.#disk?.evictions ?? 0),
    };
  }

  /** Resolves when all that is complete by now is on disk, in so far as that works. */
  async written(): Promise<void> {
    await this.#disk?.gather();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const alive = Array.from(this.#families.all(), ({ entries }) => entries);
    await this.#disk?.close(alive);
    for (const entries of alive) for (const entry of entries) this.#drop(entry);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // What an entry asks.

  used(entry: TieredEntry): void {
    if (entry.gone) return;
    if (entry.head) this.#memory.use(entry.head);
    if (entry.body !== null) {
      const buffer = entry.buffers.get(0);
      if (buffer) this.#memory.use(buffer);
      return;
    }
    const { length } = entry.response;
    if (length === null || length > this.options.largestInMemory || !isWhole(entry.stored, length)) return;
    const wanted = this.#memory.wants(printOf(entry.key, 0), length);
    if (wanted && !entry.loading && this.#loads < MOST_LOADS) void this.#load(entry, length);
  }

  changed(entry: TieredEntry): void {
    const { length } = entry.response;
    const last = entry.held.at(-1)?.end ?? 0;
    if (length !== null && last > length) this.#empty(entry);
    this.#settle(entry);
    this.#disk?.changed(entry);
  }

  async keep(entry: TieredEntry, offset: number, bytes: Uint8Array): Promise<boolean> {
    const { length } = entry.response;
    const end = offset + bytes.length;
    if (entry.gone || this.#closed || (length !== null && end > length)) return false;
    if (bytes.length === 0) return true;
    if (addRange(entry.held, { start: offset, end }).length > MOST_RANGES) return false;
    let mine = bytes;
    for (const gap of gapsIn(entry.held, { start: offset, end })) {
      for (let at = gap.start; at < gap.end;) {
        const number = Math.floor(at / SLICE_BYTES);
        const until = Math.min(gap.end, (number + 1) * SLICE_BYTES);
        while (!this.#put(entry, number, at, mine.subarray(at - offset, until - offset))) {
          // Whose bytes these are may use their memory again.
          if (mine === bytes) mine = bytes.slice();
          const leaving = entry.buffers.get(number)?.leaving;
          if (leaving) await leaving;
          else if (this.#disk && this.#mayLeave(entry)) await this.#disk.flush();
          else return false;
          if (entry.gone || this.#closed) return false;
        }
        at = until;
      }
    }
    this.#settle(entry);
    return !entry.gone && heldUntil(entry.held, offset) >= end;
  }

  async read(entry: TieredEntry, offset: number, into: Uint8Array<ArrayBuffer>): Promise<number> {
    let done = 0;
    while (done < into.length && !this.#closed) {
      const at = offset + done;
      const until = heldUntil(entry.held, at);
      if (until === at) break;
      const rest = into.subarray(done, done + Math.min(until - at, into.length - done));
      const buffer = entry.buffers.get(Math.floor(at / SLICE_BYTES));
      const count = buffer?.read(at % SLICE_BYTES, rest) ?? 0;
      if (count > 0) this.#readFrom(buffer!, at, at + count);
      else {
        // The disk gives whole runs where it can: what stands behind them, the next read begins with.
        if (done === 0 && heldUntil(entry.stored, at) > at) done = await this.#disk!.read(entry, at, rest);
        break;
      }
      done += count;
    }
    return done;
  }

  unread(entry: TieredEntry): void {
    if (!entry.retained) return;
    entry.stored = [];
    entry.recount();
    this.#disk?.release(entry);
  }

  // What the disk tells.

  alive(key: string, id: number): TieredEntry | null {
    return this.#families.peek(key)?.entries.find((entry) => entry.id === id) ?? null;
  }

  evicted(entry: TieredEntry): void {
    this.#leave(entry);
  }

  left(buffer: SliceBuffer): void {
    const { entry, number } = buffer;
    if (!buffer.dirty || entry.buffers.get(number) !== buffer) return;
    this.#memory.reserve(-buffer.size);
    buffer.dirty = false;
    // Also where the disk failed: memory is the only place for it.
    if (entry.body !== null) this.#insert(buffer);
    else {
      this.#forget(buffer);
      buffer.release();
    }
  }

  reset(): void {
    for (const family of [...this.#families.all()]) for (const entry of family.entries) this.#leave(entry);
  }

  // The rest.

  #family(key: string): Family | null {
    const family = this.#families.get(key);
    if (family || !this.#disk || this.#closed) return family;
    const rows = this.#disk.find(key).filter((row) => !this.#isPurged(row));
    if (rows.length === 0) return null;
    const found = this.#families.begin(key, []);
    found.entries = rows.map((row) => this.#revive(found, row));
    return found;
  }

  #revive(family: Family, { id, response, stored, inline, stale }: EntryRow): TieredEntry {
    const entry = new TieredEntry(id, family, response, this);
    Object.assign(entry, { stored, inline, purge: stale, held: stored, saved: true });
    if (response.length === 0) entry.body = NOTHING;
    for (const purge of this.#purges) {
      if (!purge.soft || id > purge.number || purge.number === stale || !purge.means(family.key, response)) continue;
      purge.count++;
      this.#soften(entry, purge);
    }
    return entry;
  }

  #isPurged({ id, key, response }: EntryRow): boolean {
    for (const purge of this.#purges) {
      if (!purge.soft && id < purge.number && purge.means(key, response)) return true;
    }
    return false;
  }

  #soften(entry: TieredEntry, { number }: Purge): void {
    entry.purge = number;
    entry.response = { ...entry.response, stale: true };
    this.#disk?.changedMany([entry]);
  }

  /** Families that are alive and may be meant. */
  #meant({ selection: { keys, prefixes, tags } }: Purge): Family[] {
    if (prefixes.length > 0 || tags.length > 0) return [...this.#families.all()];
    return keys.map((key) => this.#families.peek(key)).filter((family) => family !== null);
  }

  /** Copies bytes into a buffer that has or gets the room; false where there is none, or that one is leaving. */
  #put(entry: TieredEntry, number: number, offset: number, bytes: Uint8Array): boolean {
    let buffer = entry.buffers.get(number);
    if (buffer?.leaving) return false;
    // What is on disk already comes back from there.
    if (buffer && this.#disk && !buffer.dirty) {
      this.#memory.remove(buffer);
      this.#forget(buffer);
      buffer = undefined;
    }
    const begun = !buffer;
    buffer ??= new SliceBuffer(entry, number, printOf(entry.key, number));
    const at = offset - buffer.offset;
    const { length } = entry.response;
    const most = length === null ? SLICE_BYTES : Math.min(SLICE_BYTES, length - buffer.offset);
    const size = buffer.sizeWith(at, at + bytes.length, most);
    if (this.#disk) {
      if (!this.#mayLeave(entry) || !this.#memory.reserve(size - (begun ? 0 : buffer.size))) return false;
      buffer.dirty = true;
      this.#disk.filled(buffer);
    } else if (size > this.options.memoryBytes) return false;
    else if (!begun) {
      this.#memory.resize(buffer, size);
      if (entry.buffers.get(number) !== buffer) return false; // it had to go itself
    }
    buffer.write(at, bytes, most);
    if (begun) {
      entry.buffers.set(number, buffer);
      if (!this.#disk) this.#insert(buffer);
    }
    if (entry.buffers.get(number) === buffer) {
      entry.held = addRange(entry.held, { start: offset, end: offset + bytes.length });
    }
    return !entry.gone;
  }

  /** Whether what is written will find a place: on disk, or where that fails as a small body in memory. */
  #mayLeave({ response: { length } }: TieredEntry): boolean {
    return this.#disk!.well || (length !== null && length <= this.options.largestInMemory);
  }

  /** A body may be whole now. */
  #settle(entry: TieredEntry): void {
    if (entry.gone) return;
    const { length } = entry.response;
    const buffer = entry.buffers.get(0);
    if (length === 0) entry.body = NOTHING;
    else if (length === null || length > this.options.largestInMemory || !buffer) entry.body = null;
    else {
      const before = buffer.size;
      entry.body = buffer.whole(length);
      if (buffer.size !== before) {
        if (buffer.dirty) this.#memory.reserve(buffer.size - before);
        else this.#memory.resize(buffer, buffer.size);
      }
    }
    if (this.#disk && entry.buffers.size > 0) this.#disk.ripe();
  }

  async #load(entry: TieredEntry, length: number): Promise<void> {
    entry.loading = true;
    this.#loads++;
    try {
      const bytes = new Uint8Array(length);
      if (await this.read(entry, 0, bytes) < length) return;
      // Meanwhile it may have been written to, replaced or emptied.
      if (entry.gone || entry.buffers.size > 0 || entry.response.length !== length || this.#closed) return;
      if (!isWhole(entry.stored, length)) return;
      const buffer = new SliceBuffer(entry, 0, printOf(entry.key, 0));
      buffer.adopt(bytes);
      entry.buffers.set(0, buffer);
      entry.body = bytes;
      this.#insert(buffer);
    } finally {
      entry.loading = false;
      this.#loads--;
    }
  }

  #insert(buffer: SliceBuffer): void {
    this.#memory.insert(buffer);
  }

  /** One reader is one use, however many reads that takes; of a whole body in one piece its owner tells. */
  #readFrom(buffer: SliceBuffer, start: number, end: number): void {
    if (start !== buffer.readUntil && !buffer.entry.body) this.#memory.use(buffer);
    buffer.readUntil = end;
  }

  #evictBuffer(buffer: SliceBuffer): void {
    const { entry } = buffer;
    if (buffer === entry.head) {
      this.#evictions++;
      this.#leave(entry);
      return;
    }
    this.#forget(buffer);
    if (this.#disk) return;
    this.#evictions++;
    if (entry.buffers.size === 0) this.#leave(entry);
  }

  /** A buffer is out of memory. */
  #forget(buffer: SliceBuffer): void {
    const { entry, number } = buffer;
    entry.buffers.delete(number);
    if (number === 0 && entry.response.length !== 0) entry.body = null;
    entry.recount();
  }

  /** An entry goes, and its rows with it. */
  #remove(entry: TieredEntry): void {
    if (entry.holders > 0) this.#disk?.retain(entry);
    this.#disk?.removed(entry);
    this.#leave(entry);
  }

  /** An entry is not found any more. */
  #leave(entry: TieredEntry): void {
    if (entry.gone) return;
    this.#drop(entry);
    this.#entries--;
    const { family } = entry;
    family.entries = family.entries.filter((other) => other !== entry);
    if (family.entries.length === 0) this.#families.forget(family);
  }

  #drop(entry: TieredEntry): void {
    entry.gone = true;
    if (!entry.retained) entry.stored = [];
    this.#clear(entry);
    if (entry.head?.list) this.#memory.remove(entry.head);
  }

  /** Nothing of its body is held any more. */
  #empty(entry: TieredEntry): void {
    this.#clear(entry);
    this.#disk?.emptied(entry);
    entry.stored = [];
    entry.recount();
  }

  #clear(entry: TieredEntry): void {
    for (const buffer of entry.buffers.values()) {
      if (buffer.dirty) this.#memory.reserve(-buffer.size);
      else if (buffer.list) this.#memory.remove(buffer);
      buffer.dirty = false;
      this.#disk?.forgotten(buffer);
    }
    entry.buffers.clear();
    entry.body = null;
    entry.recount();
  }
}

function isSame(one: readonly Varied[], other: readonly Varied[]): boolean {
  return one.length === other.length && one.every(([name, value], at) => {
    const [otherName, otherValue] = other[at]!;
    return name === otherName && value === otherValue;
  });
}
