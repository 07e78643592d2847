/**
 * One answer's body on its way into an entry: {@link Fill}. It comes as fast as its origin sends and the cache keeps,
 * and whoever reads it takes it from the tip, or from the cache behind: a slow reader holds nobody up.
 *
 * Where the cache cannot keep it, the tip is all there is. Then it waits for its readers: for the fastest where the
 * others can ask the origin for what they miss (a strong validator), else for the slowest.
 */
import { CdnError } from "../../proto/mod.ts";
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
  /** True where who falls behind, or wants what comes much later, can ask for that itself. */
  repeatable: boolean;
  /** False where it must not be kept, but for whom it was asked; true unless given. */
  keeps?: boolean;
  /** It is wanted in the cache whether anybody reads it or not: a refresh in the background. */
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

  /**
   * Behind the last byte that it has or brings of what stands from `offset` on, Infinity where only its end will tell;
   * `offset` where it brings none of that.
   */
  reach(offset: number): number {
    if (offset < this.start || (offset < this.#at && this.heldFrom(offset) === 0)) return offset;
    return Math.max(offset, this.#state === "running" ? this.end ?? Infinity : this.#at);
  }

  /** True where it has yet to bring something of a range; `end` null: of what stands from `start` on. */
  brings(start: number, end: number | null): boolean {
    return this.#state === "running" && (this.end ?? Infinity) > start && this.#at < (end ?? Infinity);
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
    const size = Math.min(this.#body.held, PIECE_BYTES, this.#left);
    if (size === 0) return;
    const buffer = new Uint8Array(size);
    this.#keep(buffer, this.#body.take(buffer));
  }

  async #run(): Promise<void> {
    try {
      let written = this.#tip[0] ? this.#write(this.#tip[0]) : Promise.resolve();
      while (!this.#body.done) {
        await written;
        if (this.#left === 0) {
          // The end of the last chunk, mostly. What comes beyond is not what it said.
          await this.#body.read(new Uint8Array(1)).catch(() => {});
          break;
        }
        if (this.#isHeld()) return this.#giveUp();
        await this.#room();
        if (this.#isIdle()) return this.#giveUp();
        const buffer = this.#buffer();
        const count = await this.#body.read(buffer);
        if (count === null) break;
        written = this.#write(this.#keep(buffer, count));
      }
      await written;
      if (this.end !== null && this.#left > 0) throw tooShort(this.#left);
      this.#state = "done";
      const { response } = this.entry;
      if (response.length === null) this.entry.update({ ...response, length: this.#at });
    } catch (error) {
      this.#state = "failed";
      this.#failure = error;
    } finally {
      if (!this.#body.done) this.#body.cancel();
      this.#tell();
    }
  }

  /** How much is to come, as far as that is known. */
  get #left(): number {
    return this.end === null ? Infinity : this.end - this.#at;
  }

  /** What follows is held already: those who want it read it there. */
  #isHeld(): boolean {
    if (!this.#repeatable || this.#at < this.#since) return false;
    return this.entry.held.some(({ start, end }) => start <= this.#at && this.#at < end);
  }

  /** Nobody reads it. Those for whom it was asked may need a moment: as long as the tip has all of it. */
  #isIdle(): boolean {
    if (this.#readers.size > 0 || this.#tip.length < PIECES) return false;
    return !this.#kept || (!this.#wanted && this.#left > WORTH_FINISHING_BYTES);
  }

  #giveUp(): void {
    this.#state = "failed";
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
    const size = Math.min(PIECE_BYTES, this.#left);
    return used && used.length >= size ? used.subarray(0, size) : new Uint8Array(size);
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

function tooShort(bytes: number): CdnError {
  return new CdnError(`The origin's answer ended ${bytes} bytes before it should`, { source: "origin", retry: true });
}
