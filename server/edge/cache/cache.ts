/**
 * Where stored responses and their bodies are: the contract between the edge, which decides, and the tiers, which keep.
 * A key is what the edge says it is (a path with its query). A body may be held in part; what is held may go at any
 * time, because others need its room, and then a read says so.
 */
import type { ByteRange } from "../../serve/range.ts";
import type { StoredResponse } from "../response.ts";

/** One stored response and what is held of its body. */
export interface Entry {
  readonly key: string;
  /** The response; replaced by {@link Entry.update}. */
  readonly response: StoredResponse;
  /** The parts of the body that are held: in order, apart from each other, and never touching. */
  readonly held: readonly ByteRange[];
  /** The whole body where it stands in memory; null where it must be read. Nobody may change it. */
  readonly body: Uint8Array<ArrayBuffer> | null;
  /** True once it was removed, evicted as a whole, or replaced: nothing that is written to it is found again. */
  readonly gone: boolean;
  /** It was asked for: what eviction goes by. */
  use(): void;
  /** Replaces the response (a 304, a HEAD, a soft purge, a length that is known now); what is held stays. */
  update(response: StoredResponse): void;
  /**
   * Somebody reads it from now on, until he disposes of what he gets: what is on disk of it stays readable for him,
   * though the entry is removed or replaced meanwhile.
   */
  hold(): Disposable;
  /**
   * Keeps bytes of the body, which start at `offset`; copies them. Resolves when they are held: only then the next
   * may be written. False where they cannot be kept (no room, a full or broken disk, the entry is gone): the bytes
   * are as good as ever, they are just not in the cache.
   */
  write(offset: number, bytes: Uint8Array): Promise<boolean>;
  /**
   * Reads from `offset` into `into`, at least a part of what is held there and fits.
   * @returns how many bytes; 0 where none are held (any more)
   */
  read(offset: number, into: Uint8Array<ArrayBuffer>): Promise<number>;
}

/** Which stored responses a purge means: any that one of these names. */
export interface Selection {
  /** Keys. */
  readonly keys: readonly string[];
  /** Beginnings of keys. */
  readonly prefixes: readonly string[];
  /** Tags. */
  readonly tags: readonly string[];
}

/** What a cache holds, and what it has done. */
export interface CacheFigures {
  entries: number;
  /** Bytes of bodies on disk, and in memory. */
  diskBytes: number;
  memoryBytes: number;
  /** What they may be at most; `diskLimit` is 0 without a disk. */
  diskLimit: number;
  memoryLimit: number;
  /** The disk could not be written or read when that was last tried: for now the cache does without it. */
  diskFails: boolean;
  /** Entries, or parts of them, that went because others needed the room. */
  evictions: number;
}

/** The tiers, behind one door. */
export interface Cache extends AsyncDisposable {
  /** The stored responses of a key (one for each set of varied values), the newest first. Never waits. */
  find(key: string): readonly Entry[];
  /**
   * Begins an entry, which is found at once. One of the same key and equal `varied` is replaced; the oldest go where a
   * key has too many.
   */
  add(key: string, response: StoredResponse): Entry;
  /** Removes an entry; resolves when no restart brings it back. */
  remove(entry: Entry): Promise<void>;
  /**
   * Removes what a selection means or, softly, marks it stale. When it resolves no restart brings it back.
   * @returns how many stored responses it meant
   */
  purge(selection: Selection, options: { soft: boolean }): Promise<number>;
  figures(): CacheFigures;
  /** Keeps what can be kept for the next start. */
  close(): Promise<void>;
}
