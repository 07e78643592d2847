/**
 * What tells damage in a slice on disk: its held bytes as runs, each with its CRC-32 (RFC 1952 §8). A run never crosses
 * a multiple of {@link BLOCK_BYTES}, so that to read a byte at most one block is read; bytes that come one after the
 * other join the run before them. As they are stored: start, end and sum of each, 32 bits, little-endian.
 */
import { crc32 } from "node:zlib";
import type { ByteRange } from "../../serve/range.ts";
import { addRange } from "./ranges.ts";

/** At most this many bytes are read and summed to give one. */
export const BLOCK_BYTES = 65_536;
/** A slice in more runs loses its shortest ones: whoever asks for single bytes shall not fill our memory. */
const MOST_RUNS = 128;

/** From `start` up to but not including `end`, within its slice. */
export interface Run extends ByteRange {
  sum: number;
}

/** The runs with further bytes, which take the place of any that are there. */
export function extendRuns(runs: readonly Run[], at: number, bytes: Uint8Array): Run[] {
  const all = runs.filter(({ start, end }) => end <= at || start >= at + bytes.length);
  for (let done = 0; done < bytes.length;) {
    const start = at + done;
    const part = bytes.subarray(done, done + BLOCK_BYTES - start % BLOCK_BYTES);
    const end = start + part.length;
    const place = all.findLastIndex((run) => run.end <= start);
    const before = all[place];
    if (before?.end === start && start % BLOCK_BYTES !== 0) {
      all[place] = { start: before.start, end, sum: crc32(part, before.sum) };
    } else all.splice(place + 1, 0, { start, end, sum: crc32(part) });
    done += part.length;
  }
  while (all.length > MOST_RUNS) {
    const shortest = all.reduce((best, run, at) => sizeOf(run) < sizeOf(all[best]!) ? at : best, 0);
    all.splice(shortest, 1);
  }
  return all;
}

/** What the runs hold. */
export function rangesOf(runs: readonly Run[]): ByteRange[] {
  return runs.reduce((ranges: ByteRange[], { start, end }) => addRange(ranges, { start, end }), []);
}

/** What the runs take on a disk that gives room in pages. */
export function bytesOnDisk(runs: readonly Run[], page = 4096): number {
  let bytes = 0;
  let until = 0;
  for (const { start, end } of runs) {
    const from = Math.max(until, Math.floor(start / page) * page);
    until = Math.max(until, Math.ceil(end / page) * page);
    bytes += until - from;
  }
  return bytes;
}

/** True where `bytes` are those of the run. */
export function fits(run: Run, bytes: Uint8Array): boolean {
  return bytes.length === sizeOf(run) && crc32(bytes) === run.sum;
}

/** As they are stored. */
export function encodeRuns(runs: readonly Run[]): Uint8Array {
  const bytes = new Uint8Array(12 * runs.length);
  const view = new DataView(bytes.buffer);
  runs.forEach(({ start, end, sum }, at) => {
    view.setUint32(12 * at, start, true);
    view.setUint32(12 * at + 4, end, true);
    view.setUint32(12 * at + 8, sum, true);
  });
  return bytes;
}

/** From what was stored; null where that can not be. */
export function decodeRuns(bytes: Uint8Array): Run[] | null {
  if (bytes.length % 12 !== 0) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const runs: Run[] = [];
  for (let at = 0; at < bytes.length; at += 12) {
    const run = {
      start: view.getUint32(at, true),
      end: view.getUint32(at + 4, true),
      sum: view.getUint32(at + 8, true),
    };
    const last = runs.at(-1)?.end ?? 0;
    if (run.start < last || run.end <= run.start || sizeOf(run) > BLOCK_BYTES) return null;
    runs.push(run);
  }
  return runs;
}

function sizeOf({ start, end }: ByteRange): number {
  return end - start;
}
