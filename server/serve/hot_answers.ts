/**
 * Answers that are finished, by what is asked for: {@link HotAnswers}. What is here must be what the store would say;
 * whoever changes what is known of a path calls {@link HotAnswers.changed}, and an answer that was being made then is
 * not kept.
 */
import type { Finished } from "../../runtime/front/mod.ts";
import type { OtherBodies } from "./hot.ts";

/** The largest answer that is kept, whatever room there is; beyond it, the share of all room that one may take. */
const LARGEST = 256 << 10;
const MOST_SHARE = 1 / 8;
/** How much of the room may be in the making. */
const MOST_MAKING = 1 / 4;
/** How many targets are remembered as asked for once. */
const REMEMBERED = 10_000;

/** One that is kept. */
interface Entry {
  path: string;
  sha256: string;
  finished: Finished;
  /** Asked for since it was last looked at. */
  used: boolean;
}

/** What is to be kept. */
export interface Made {
  sha256: string;
  finished: Finished;
}

/** Keeps the answers that are asked for, up to a number of bytes: a second chance for each that was used (CLOCK). */
export class HotAnswers implements OtherBodies {
  readonly #entries = new Map<string, Entry>();
  readonly #targets = new Map<string, Set<string>>();
  readonly #bodies = new Map<string, Finished>();
  readonly #making = new Map<string, { path: string; changed: boolean; bytes: number; ended: Promise<void> }>();
  #seen = new Set<string>();
  #bytes = 0;
  #closed = false;

  /** Hears when more bytes are kept than before. To be set. */
  onGrown: () => void = () => {};

  /** @param most bytes of all answers together; 0 keeps none */
  constructor(readonly most: number) {}

  get bytes(): number {
    return this.#bytes;
  }

  body(sha256: string): Uint8Array<ArrayBuffer> | null {
    const finished = this.#bodies.get(sha256);
    return finished ? finished.bytes.subarray(finished.headLength) : null;
  }

  /** The answer to a GET or HEAD of a target, and the path that it names; null where none is finished. */
  get(target: string): Readonly<Entry> | null {
    const entry = this.#entries.get(target);
    if (entry === undefined) return null;
    entry.used = true;
    return entry;
  }

  /**
   * A target was asked for whose answer is not here: from its second time on it is made, in the background.
   * @param bytes about as many as it will have
   * @param make reads what is known of the path now; null where there is nothing to keep
   */
  asked(target: string, path: string, bytes: number, make: () => Promise<Made | null>): void {
    if (this.#closed || bytes > Math.max(LARGEST, this.most * MOST_SHARE) || bytes > this.most) return;
    if (this.#making.has(target)) return;
    if (!this.#seen.has(target)) {
      if (this.#seen.size >= REMEMBERED) this.#seen = new Set();
      this.#seen.add(target);
      return;
    }
    let making = bytes;
    for (const other of this.#making.values()) making += other.bytes;
    if (this.#making.size > 0 && making > this.most * MOST_MAKING) return;
    const mine = { path, changed: false, bytes, ended: Promise.resolve() };
    this.#making.set(target, mine);
    mine.ended = make().then((made) => {
      if (made && !mine.changed && !this.#closed) this.#keep(target, { path, used: false, ...made });
    }).catch(() => {
      // Whoever asks for it is told why.
    }).finally(() => this.#making.delete(target));
  }

  /** What is known of a path is another than before, or may be. */
  changed(path: string): void {
    for (const making of this.#making.values()) if (making.path === path) making.changed = true;
    for (const target of this.#targets.get(path) ?? []) this.#drop(target);
  }

  /** Keeps nothing any more; resolves when nothing is being made. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#making.values()].map(({ ended }) => ended));
    for (const target of [...this.#entries.keys()]) this.#drop(target);
  }

  #keep(target: string, entry: Entry): void {
    this.#drop(target);
    this.#entries.set(target, entry);
    const targets = this.#targets.get(entry.path);
    if (targets) targets.add(target);
    else this.#targets.set(entry.path, new Set([target]));
    this.#bodies.set(entry.sha256, entry.finished);
    this.#bytes += entry.finished.bytes.length;
    // Each is passed over once at most.
    for (let left = 2 * this.#entries.size; this.#bytes > this.most && left > 0; left--) {
      const [oldest, { used }] = this.#entries.entries().next().value!;
      if (used) {
        const again = this.#entries.get(oldest)!;
        again.used = false;
        this.#entries.delete(oldest);
        this.#entries.set(oldest, again);
      } else this.#drop(oldest);
    }
    this.onGrown();
  }

  #drop(target: string): void {
    const entry = this.#entries.get(target);
    if (!entry) return;
    const { path, sha256, finished } = entry;
    this.#entries.delete(target);
    const targets = this.#targets.get(path)!;
    targets.delete(target);
    if (targets.size === 0) this.#targets.delete(path);
    if (this.#bodies.get(sha256) === finished) this.#bodies.delete(sha256);
    this.#bytes -= finished.bytes.length;
  }
}
