/** A stored response and its body: parts of it in memory, on disk, or both. */
import type { ByteRange } from "../../serve/range.ts";
import type { StoredResponse } from "../response.ts";
import type { Entry } from "./cache.ts";
import type { Family } from "./families.ts";
import { addRange } from "./ranges.ts";
import type { Run } from "./runs.ts";
import { use } from "./s3_fifo.ts";
import type { SliceBuffer } from "./slice_buffer.ts";

/** What an entry asks of the cache that it is in. */
export interface Keeper {
  /** It was used. */
  used(entry: TieredEntry): void;
  /** Its response was replaced. */
  changed(entry: TieredEntry): void;
  keep(entry: TieredEntry, offset: number, bytes: Uint8Array): Promise<boolean>;
  read(entry: TieredEntry, offset: number, into: Uint8Array<ArrayBuffer>): Promise<number>;
  /** It is gone, and nobody reads it any more. */
  unread(entry: TieredEntry): void;
}

/** What is known of a slice on disk. */
export interface StoredSlice {
  runs: readonly Run[];
  frequency: number;
  /** Where the last read of it ended; -1 before any. */
  readUntil: number;
}

/** See {@link Entry}. What is public beyond that is the tiers' own. */
export class TieredEntry implements Entry {
  held: readonly ByteRange[] = [];
  body: Uint8Array<ArrayBuffer> | null = null;
  gone = false;

  /** What is in memory, by number of slice. */
  readonly buffers = new Map<number, SliceBuffer>();
  /** The parts of the body that are on disk. */
  stored: readonly ByteRange[] = [];
  /** It has a row. */
  saved = false;
  /** On disk it is one row with its whole body. */
  inline = false;
  /** The soft purge that made it stale; 0 where none did. */
  purge = 0;
  /** Uses, as eviction from the disk counts them. */
  frequency = 0;
  /** Slices on disk that were used lately. */
  readonly slices = new Map<number, StoredSlice>();
  /** What the entry itself takes in memory, where it is nowhere else. */
  head: SliceBuffer | null = null;
  /** Its body is on its way from disk to memory. */
  loading = false;
  /** How many hold it. */
  holders = 0;
  /** Of one that is gone and held: what is known of its slices on disk, whose rows are gone too; null of any other. */
  retained: Map<number, StoredSlice> | null = null;

  constructor(
    readonly id: number,
    readonly family: Family,
    public response: StoredResponse,
    readonly keeper: Keeper,
  ) {}

  get key(): string {
    return this.family.key;
  }

  use(): void {
    use(this);
    this.keeper.used(this);
  }

  update(response: StoredResponse): void {
    this.response = response;
    if (!this.gone) this.keeper.changed(this);
  }

  write(offset: number, bytes: Uint8Array): Promise<boolean> {
    return this.keeper.keep(this, offset, bytes);
  }

  read(offset: number, into: Uint8Array<ArrayBuffer>): Promise<number> {
    return this.keeper.read(this, offset, into);
  }

  hold(): Disposable {
    this.holders++;
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        if (--this.holders === 0 && this.gone) this.keeper.unread(this);
      },
    };
  }

  /** Reckons anew what is held, after some of it went. */
  recount(): void {
    let held: readonly ByteRange[] = this.stored;
    for (const { offset, held: ranges } of this.buffers.values()) {
      for (const { start, end } of ranges) held = addRange(held, { start: offset + start, end: offset + end });
    }
    this.held = held;
  }
}
