/**
 * Slices of bodies as files: `slices/ab/ENTRY-NUMBER`, where `ab` are the last two hexadecimal digits of the entry's id. Each
 * byte stands where it stands in its slice; what is not held is a hole. Nothing here is synced: the index has the sums,
 * and what a power cut took is as good as evicted.
 */
import { delay } from "@std/async";
import { dirname, join } from "@std/path";
import { ignoreMissing, writeAll } from "../../../runtime/files.ts";
import { fits, type Run } from "./runs.ts";

/** Bytes, and where they stand in a slice. */
export interface Piece {
  at: number;
  bytes: Uint8Array;
}

/** How many files are removed at a time. */
const AT_ONCE = 8;

/** The files of all slices. */
export class SliceFiles {
  constructor(readonly folder: string) {}

  path(entry: number, number: number): string {
    return join(this.folder, (entry % 256).toString(16).padStart(2, "0"), `${entry}-${number}`);
  }

  /** Writes pieces into a file, or a new one that has nothing else. */
  async write(entry: number, number: number, pieces: readonly Piece[], { fresh }: { fresh: boolean }): Promise<void> {
    const path = this.path(entry, number);
    const options = { write: true, create: true, truncate: fresh };
    using file = await Deno.open(path, options).catch(async (error) => {
      ignoreMissing(error);
      await Deno.mkdir(dirname(path), { recursive: true });
      return await Deno.open(path, options);
    });
    for (const { at, bytes } of pieces) {
      file.seekSync(at, Deno.SeekMode.Start);
      await writeAll(file, bytes);
    }
  }

  /**
   * Reads what the runs hold from `at` on into `into`: as many whole ones as follow each other and fit, at least a part
   * of one.
   * @returns how many bytes; 0 where no run has the first, and null where one of them is damaged or missing
   */
  async read(
    entry: number,
    number: number,
    runs: readonly Run[],
    at: number,
    into: Uint8Array<ArrayBuffer>,
  ): Promise<number | null> {
    const first = runs.findIndex(({ start, end }) => start <= at && at < end);
    if (first < 0) return 0;
    let last = first;
    const from = runs[first]!.start;
    while (runs[last + 1]?.start === runs[last]!.end && runs[last + 1]!.end - at <= into.length) last++;
    const end = runs[last]!.end;
    const count = Math.min(end - at, into.length);
    // Sums are of whole runs: one that does not fit into what we were given needs memory of its own.
    const direct = from === at && count === end - at;
    const bytes = direct ? into.subarray(0, count) : new Uint8Array(end - from);
    if (!await this.#readAt(entry, number, from, bytes)) return null;
    for (const run of runs.slice(first, last + 1)) {
      if (!fits(run, bytes.subarray(run.start - from, run.end - from))) return null;
    }
    if (!direct) into.set(bytes.subarray(at - from, at - from + count));
    return count;
  }

  /** Removes files, in so far as they are there. */
  async remove(slices: readonly (readonly [entry: number, number: number])[]): Promise<void> {
    for (let at = 0; at < slices.length; at += AT_ONCE) {
      await Promise.all(
        slices.slice(at, at + AT_ONCE).map(([entry, number]) =>
          // One that cannot be removed is in nobody's way: the sweep tries again.
          Deno.remove(this.path(entry, number), { recursive: true }).catch(() => {})
        ),
      );
    }
  }

  /** All files that are there, folder by folder and without haste. */
  async *all(signal: AbortSignal, pauseMs: number): AsyncIterable<[entry: number, number: number]> {
    for (let at = 0; at < 256; at++) {
      const folder = join(this.folder, at.toString(16).padStart(2, "0"));
      let names: string[] = [];
      try {
        for await (const { name } of Deno.readDir(folder)) names.push(name);
      } catch {
        names = []; // it is not there
      }
      for (const name of names) {
        if (signal.aborted) return;
        const match = /^(\d+)-(\d+)$/.exec(name);
        if (match) yield [Number(match[1]), Number(match[2])];
        else await Deno.remove(join(folder, name), { recursive: true }).catch(() => {});
      }
      if (names.length > 0) await delay(pauseMs, { signal }).catch(() => {});
      if (signal.aborted) return;
    }
  }

  async #readAt(entry: number, number: number, at: number, bytes: Uint8Array<ArrayBuffer>): Promise<boolean> {
    try {
      using file = Deno.openSync(this.path(entry, number), { read: true });
      file.seekSync(at, Deno.SeekMode.Start);
      for (let done = 0; done < bytes.length;) {
        const count = await file.read(bytes.subarray(done));
        if (count === null) return false;
        done += count;
      }
      return true;
    } catch {
      // Whatever stands there, or does not: it cannot be read.
      return false;
    }
  }
}
