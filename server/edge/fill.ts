/**
 * One answer's body on its way into an entry: {@link Fill}. It comes as fast as its origin sends and the cache keeps,
 * and whoever reads it takes it from the tip, or from the cache behind: a slow reader holds nobody up.
 *
 * Where the cache cannot keep it, the tip is all there is. Then it waits for its readers: for the fastest where the
 * others can ask the origin for what they miss (a strong validator), else for the slowest.
 */
import type { BodySource } from "../../runtime/http1/body_source.ts";
import type { Entry } from "./cache/cache.ts";

/** One piece of the tip. */
const PIECE_BYTES = 65_536;
/** Pieces of the tip. */
const PIECES = 4;
/** What is left of a body that nobody reads is fetched all the same where it is at most so long. */
const WORTH_FINISHING_BYTES = 1 << 20;

/** Somebody who reads from a fill. */
export interface FillReader {
  /** Where it is: the place of its next byte in the representation. */
  readonly at: number;
}

/** What a fill needs to know. */
export interface FillOptions {
  entry: Entry;
  body: BodySource;
  /** The place of its first byte in the representation. */
  start: number;
  /** Where what was asked for begins: an origin that knows no ranges sends what stands before it too. `start` unless given. */
  since?: number;
  /** Behind its last byte; null where only its end will tell. */
  end: number | null;
  /** True where who falls behind can ask for what it missed. */
  repeatable: boolean;
  /** False where it must not be kept, but for whom it was asked; true unless given. */
  keeps?: boolean;
  /** It is wanted whether anybody reads it or not: a refresh in the background. */
  wanted?: boolean;
}

interface Piece {
  /** Its place in the representation. */
  offset: number;
  bytes: Uint8Array<ArrayBuffer>;
  /** The memory that it stands in: of the oldest piece it is used for the next. */
  buffer: Uint8Array<ArrayBuffer>;
}

/** A body under way. */
export class Fill {
  readonly entry: Entry;
  readonly start: number;
  readonly end: number | null;
  /** Resolves when it has ended, well or not; never rejects. */
  readonly ended: Promise<void>;
  /** False where nobody else may have it. */
  readonly keeps: boolean;
  readonly #since: number;
  readonly #body: BodySource;
  readonly #repeatable: boolean;
  readonly #wanted: boolean;
  readonly #readers = new Set<FillReader>();
  readonly #tip: Piece[] = [];
  #at: number;
  #kept: boolean;
  #state: "running" | "done" | "failed" = "running";
  #failure: unknown = null;
  #news: PromiseWithResolvers<void> | null = null;
  #moved: PromiseWithResolvers<void> | null = null;

  constructor({ entry, body, start, since = start, end, repeatable, keeps = true, wanted = false }: FillOptions) {
    this.entry = entry;
    this.start = start;
    this.end = end;
    this.keeps = this.#kept = keeps;
    this.#since = since;
    this.#body = body;
    this.#at = start;
    this.#repeatable = repeatable;
    this.#wanted = wanted;
    this.#takeHere();
    this.ended = this.#run();
  }

  /** How far it has come: behind its newest byte. */
  get at(): number {
    return this.#at;
  }

  /** `failed`: it broke off, and {@link failure} says why (null where nobody wanted it). */
  get state(): "running" | "done" | "failed" {
    return this.#state;
  }

  get failure(): unknown {
    return this.#failure;
  }

  /** True where its next bytes come soon for somebody who wants those from `offset` on. */
  covers(offset: number): boolean {
    if (this.#state !== "running" || offset < this.start) return false;
    if (this.end !== null && offset >= this.end) return false;
    if (offset < this.#at) return this.heldFrom(offset) > 0;
    return !this.#repeatable || offset - Math.max(this.#at, this.#since) <= WORTH_FINISHING_BYTES;
  }

  /** Behind the last byte that it brings of what stands from `offset` on; `offset` where it brings none of that. */
  reach(offset: number): number {
    if (this.#state !== "running" || (offset < this.#at && this.heldFrom(offset) === 0)) return offset;
    return Math.max(offset, this.end ?? offset);
  }

  /** Counts a reader in, until it leaves. */
  join(reader: FillReader): void {
    this.#readers.add(reader);
  }

  leave(reader: FillReader): void {
    this.#readers.delete(reader);
    this.#moved?.resolve();
  }

  /** A reader went on: what waits for it may come. */
  moved(): void {
    this.#moved?.resolve();
  }

  /** How many bytes of the tip there are from `offset` on. */
  heldFrom(offset: number): number {
    const first = this.#tip[0];
    return first && offset >= first.offset && offset < this.#at ? this.#at - offset : 0;
  }

  /** Copies from the tip; 0 where it does not have what stands at `offset`. */
  take(offset: number, into: Uint8Array<ArrayBuffer>): number {
    let count = 0;
    for (const { offset: from, bytes } of this.#tip) {
      const at = offset + count - from;
      if (at < 0) return 0;
      if (at >= bytes.length) continue;
      const part = bytes.subarray(at, at + into.length - count);
      into.set(part, count);
      count += part.length;
      if (count === into.length) break;
    }
    return count;
  }

  /** Resolves with the next bytes, or its end. */
  progress(): Promise<void> {
    if (this.#state !== "running") return Promise.resolve();
    return (this.#news ??= Promise.withResolvers()).promise;
  }

  /** What came together with the head is there before anybody waits. */
  #takeHere(): void {
    const { held } = this.#body;
    if (held === 0) return;
    const buffer = new Uint8Array(Math.min(held, PIECE_BYTES));
    this.#keep(buffer, this.#body.take(buffer));
  }

  async #run(): Promise<void> {
    try {
      let written = this.#tip[0] ? this.#write(this.#tip[0]) : Promise.resolve();
      while (!this.#body.done) {
        await written;
        if (this.#next() !== "go") return this.#stop();
        await this.#room();
        if (this.#isIdle()) return this.#stop();
        const buffer = this.#buffer();
        const count = await this.#body.read(buffer);
        if (count === null) break;
        written = this.#write(this.#keep(buffer, count));
      }
      await written;
      this.#state = "done";
    } catch (error) {
      this.#state = "failed";
      this.#failure = error;
    } finally {
      this.#tell();
    }
  }

  /** What follows is held already: those who want it read it there. */
  #next(): "go" | "held" {
    if (!this.#repeatable || this.#at < this.#since) return "go";
    return this.entry.held.some(({ start, end }) => start <= this.#at && this.#at < end) ? "held" : "go";
  }

  /** Nobody reads it. Those for whom it was asked may need a moment: as long as the tip has all of it. */
  #isIdle(): boolean {
    if (this.#readers.size > 0 || this.#wanted || this.#tip.length < PIECES) return false;
    if (!this.#kept) return true;
    return this.end === null || this.end - this.#at > WORTH_FINISHING_BYTES;
  }

  #stop(): void {
    this.#body.cancel();
    this.#state = "failed";
    this.#failure = null;
  }

  /** Where nothing is kept, waits until the oldest piece is of no more use. */
  async #room(): Promise<void> {
    while (!this.#kept && this.#tip.length === PIECES && this.#readers.size > 0) {
      const oldest = this.#tip[0]!;
      const passed = oldest.offset + oldest.bytes.length;
      const places = [...this.#readers].map(({ at }) => at);
      const decides = this.#repeatable ? Math.max(...places) : Math.min(...places);
      if (decides >= passed) return;
      await (this.#moved = Promise.withResolvers()).promise;
    }
  }

  #buffer(): Uint8Array<ArrayBuffer> {
    const used = this.#tip.length < PIECES ? null : this.#tip.shift()!.buffer;
    if (used?.length === PIECE_BYTES) return used;
    return new Uint8Array(this.end === null ? PIECE_BYTES : Math.min(PIECE_BYTES, this.end - this.#at));
  }

  #keep(buffer: Uint8Array<ArrayBuffer>, count: number): Piece {
    const piece = { offset: this.#at, bytes: buffer.subarray(0, count), buffer };
    this.#tip.push(piece);
    this.#at += count;
    this.#tell();
    return piece;
  }

  async #write({ offset, bytes }: Piece): Promise<void> {
    if (this.#kept) this.#kept = await this.entry.write(offset, bytes);
  }

  #tell(): void {
    const news = this.#news;
    this.#news = null;
    news?.resolve();
  }
}
