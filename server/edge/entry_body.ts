/**
 * A part of a stored representation as somebody reads it: from memory, from what just comes in, from the disk, and
 * where it is not held (any more), from the origin.
 */
import { CdnError } from "../../proto/mod.ts";
import type { BodySource } from "../../runtime/http1/body_source.ts";
import type { ByteRange } from "../serve/range.ts";
import type { Entry } from "./cache/cache.ts";
import type { Fill, FillReader } from "./fill.ts";

/** Where a body gets what its entry does not hold. */
export interface Source {
  /**
   * Takes note of what will be read (`end` Infinity: to an end that is not known yet): part of it may have to be asked
   * for, now or when its reader comes there.
   * @throws {Changed} where it would have to, and cannot
   */
  expect(range: ByteRange): void;
  /** A fill under way that has yet to bring something of a range; null where there is none. */
  bringing(start: number, end: number | null): Fill | null;
  /** A fill under way that soon has what stands at `offset`; null where there is none. */
  covering(offset: number): Fill | null;
  /**
   * Asks for what is missing from `offset` on, up to `end` at most (null: to the end), where nobody does already.
   * @throws {CdnError} source "origin": it fails, or what it has now is something else
   */
  fetch(offset: number, end: number | null): Promise<Fill>;
}

/** How often in turn a body may break off without a byte, before its reader is told. */
const MOST_FAILURES = 2;
/** How often in turn its next byte may be asked for and not come, however it is that it does not. */
const MOST_ASKED = 8;

const NOT_SENT = { source: "origin", retry: true } as const;

/** Reads one entry from `start` up to `end`; null: to its end, which is not known yet. */
export class EntryBody implements BodySource, FillReader {
  readonly #entry: Entry;
  readonly #source: Source;
  readonly #hold: Disposable;
  /** Null until it is known. */
  #end: number | null;
  #at: number;
  #fill: Fill | null = null;
  #done = false;

  /** @param fill what it begins with, if it is known */
  constructor(entry: Entry, source: Source, start: number, end: number | null, fill: Fill | null = null) {
    this.#entry = entry;
    this.#source = source;
    this.#at = start;
    this.#end = end;
    this.#hold = entry.hold();
    if (fill) this.#join(fill);
    if (start === end) this.#finish();
  }

  get at(): number {
    return this.#at;
  }

  get done(): boolean {
    return this.#done;
  }

  get held(): number {
    return this.#done ? 0 : this.#within(this.#fill?.heldFrom(this.#at) ?? 0);
  }

  /** What the disk holds is read in one go where there is no fill. */
  get ready(): boolean {
    return !this.#done && this.#fill === null;
  }

  /**
   * Makes sure that its first byte is here or on its way: what goes wrong until then may still change the whole answer.
   * @throws {CdnError} source "origin"
   */
  async begin(): Promise<void> {
    if (this.#done) return;
    // Who reads what is held now wants what comes behind it later: then somebody wants it.
    if (!this.#fill) this.#join(this.#source.bringing(this.#at, this.#end));
    if (this.#fill?.covers(this.#at) || this.held > 0 || this.#isHeld()) return;
    try {
      this.#join(this.#source.covering(this.#at) ?? await this.#source.fetch(this.#at, this.#end));
    } catch (error) {
      this.#finish();
      throw error;
    }
  }

  take(into: Uint8Array<ArrayBuffer>): number {
    return this.#done || !this.#fill ? 0 : this.#advance(this.#fill.take(this.#at, this.#room(into)));
  }

  async read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    let lost = false;
    while (!this.#done) {
      const taken = this.take(into);
      if (taken > 0) return taken;
      let where: "tip" | "disk" | "end";
      try {
        where = await this.#wait(lost);
      } catch (error) {
        this.#finish();
        throw error;
      }
      if (where === "end") this.#finish();
      else if (where === "disk") {
        const count = await this.#entry.read(this.#at, this.#room(into));
        if (count > 0) return this.#advance(count);
        lost = true; // it went since we looked
      }
    }
    return null;
  }

  cancel(): void {
    this.#finish();
  }

  /**
   * Waits until its next byte is somewhere.
   * @param lost it is not on the disk, whatever the entry says
   */
  async #wait(lost = false): Promise<"tip" | "disk" | "end"> {
    for (let failures = 0, asked = 0;;) {
      if (this.#done) return "end"; // it was cancelled meanwhile
      const fill = this.#fill;
      if (fill && fill.heldFrom(this.#at) > 0) return "tip";
      if (!lost && this.#isHeld()) {
        // What has come in, and stands where we read, is of no more use: a slow reader must not hold its memory.
        if (fill && fill.state !== "running" && this.#isHeld(fill.at)) this.#join(null);
        return "disk";
      }
      if (this.#end === null && fill?.state !== "running") this.#end = this.#entry.response.length;
      if (this.#end !== null && this.#at >= this.#end) return "end";
      if (fill?.covers(this.#at)) {
        await fill.progress();
        continue;
      }
      if (fill?.state === "failed" && fill.failure !== null && ++failures > MOST_FAILURES) throw fill.failure;
      if (++asked > MOST_ASKED) throw new CdnError("The origin does not send what it is asked for", NOT_SENT);
      this.#join(this.#source.covering(this.#at) ?? await this.#source.fetch(this.#at, this.#end));
    }
  }

  #join(fill: Fill | null): void {
    this.#fill?.leave(this);
    this.#fill = this.#done ? null : fill;
    this.#fill?.join(this);
  }

  /** True where its next byte is held, and all from there up to `end`. */
  #isHeld(end = this.#at + 1): boolean {
    return this.#entry.held.some((range) => range.start <= this.#at && this.#at < range.end && end <= range.end);
  }

  #within(count: number): number {
    return this.#end === null ? count : Math.min(count, this.#end - this.#at);
  }

  #room(into: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    return into.subarray(0, this.#within(into.length));
  }

  #advance(count: number): number {
    this.#at += count;
    this.#fill?.moved();
    if (this.#at === this.#end) this.#finish();
    return count;
  }

  #finish(): void {
    this.#done = true;
    this.#join(null);
    this.#hold[Symbol.dispose]();
  }
}
