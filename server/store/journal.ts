/**
 * The journal: a second copy of what the index holds, in another format. A line for each change:
 *
 *     CRC-32 of the rest as 8 hexadecimal digits, SPACE, number of the change, SPACE, JSON, LF
 *
 * The JSON is `{"put": manifest}`, `{"forget": {"path": …, "version": …}}`, or at the head of a journal that was
 * written anew `{"asOf": time}`. Lines are not synced one by one, for the index is: what a power cut takes of the
 * journal's end is written anew at the next opening. A line that is torn or rotten costs that line alone.
 */
import { crc32 } from "node:zlib";
import type { Manifest, Version } from "../../proto/mod.ts";
import { ifThere, ignoreMissing, writeAll, writeAllSync } from "../../runtime/files.ts";
import type { Logger } from "../../runtime/log.ts";

/** What happened to a path; or that all up to this change is told by the lines that follow. */
export type Note = { put: Manifest } | { forget: { path: string; version: Version } } | { asOf: number };

/** What a reading found. */
export interface JournalState {
  /** False where there is no such file. */
  exists: boolean;
  /** Whole lines. */
  lines: number;
  /** Torn or rotten ones. */
  faulty: number;
  /** The highest number of a change. */
  lastChange: number;
}

/** The journal while the store is open. */
export interface Journal extends Disposable {
  /** Adds a line, in one tick. What finds no room is kept, and goes out before the next one. */
  append(change: number, note: Note): void;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const PIECE_BYTES = 1 << 20;
const LF = 10;

/** Opens the journal for appending; made where it is missing. */
export function openJournal(path: string, log: Logger): Journal {
  const file = Deno.openSync(path, { append: true, create: true });
  let torn = false;
  /** How long it is with all whole lines. */
  let length = file.statSync().size;
  let waiting: Uint8Array[] = [];

  function flush(): void {
    if (torn) file.truncateSync(length);
    torn = true;
    for (let line = waiting[0]; line; line = waiting[0]) {
      writeAllSync(file, line);
      length += line.length;
      waiting = waiting.slice(1);
    }
    torn = false;
  }

  function tryToFlush(): void {
    const before = waiting.length;
    try {
      flush();
    } catch (error) {
      // The index has it, and we try again.
      if (before === 1) log.warn("cannot write the journal", { path, error });
    }
  }

  return {
    append(change, note) {
      waiting.push(lineOf(change, note));
      tryToFlush();
    },
    [Symbol.dispose]() {
      tryToFlush();
      file.close();
    },
  };
}

/** Reads all lines, and hands each whole one to `onLine` with its JSON. */
export function readJournal(path: string, onLine: (json: string) => void = () => {}): JournalState {
  const state = { exists: false, lines: 0, faulty: 0, lastChange: 0 };
  ifThere(() => {
    for (const line of linesOf(path)) {
      const read = line && parse(line);
      if (read) {
        state.lines++;
        state.lastChange = Math.max(state.lastChange, read.change);
        onLine(read.json);
      } else if (line?.length !== 0) state.faulty++;
    }
    state.exists = true;
  });
  return state;
}

/** Writes a whole journal to a new file, which is synced when this resolves, and removed where it throws. */
export async function writeJournal(path: string, notes: Iterable<{ change: number; note: Note }>): Promise<void> {
  try {
    using file = await Deno.open(path, { write: true, create: true, truncate: true });
    const piece = new Uint8Array(2 * PIECE_BYTES);
    let bytes = 0;
    for (const { change, note } of notes) {
      const line = lineOf(change, note);
      if (bytes + line.length > piece.length) {
        await writeAll(file, piece.subarray(0, bytes));
        bytes = 0;
      }
      piece.set(line, bytes);
      bytes += line.length;
    }
    await writeAll(file, piece.subarray(0, bytes));
    await file.sync();
  } catch (error) {
    await Deno.remove(path).catch(ignoreMissing);
    throw error;
  }
}

function lineOf(change: number, note: Note): Uint8Array {
  const line = encoder.encode(`00000000 ${change} ${JSON.stringify(note)}\n`);
  const sum = crc32(line.subarray(9, -1)).toString(16).padStart(8, "0");
  encoder.encodeInto(sum, line);
  return line;
}

function parse(line: Uint8Array): { change: number; json: string } | null {
  const text = decoder.decode(line);
  if (text.slice(0, 9) !== `${crc32(line.subarray(9)).toString(16).padStart(8, "0")} `) return null;
  const end = text.indexOf(" ", 9);
  return { change: Number(text.slice(9, end)), json: text.slice(end + 1) };
}

/** Each line without its LF; null for one that is longer than any of ours. */
function* linesOf(path: string): Generator<Uint8Array | null> {
  using file = Deno.openSync(path, { read: true });
  const buffer = new Uint8Array(2 * PIECE_BYTES);
  let [start, end] = [0, 0];
  for (let count = file.readSync(buffer); count !== null; count = file.readSync(buffer.subarray(end))) {
    end += count;
    for (
      let at = buffer.subarray(0, end).indexOf(LF, start);
      at >= 0;
      at = buffer.subarray(0, end).indexOf(LF, start)
    ) {
      yield buffer.subarray(start, at);
      start = at + 1;
    }
    if (start === 0 && end === buffer.length) {
      yield null;
      start = end;
    }
    buffer.copyWithin(0, start, end);
    [start, end] = [0, end - start];
  }
  if (end > 0) yield buffer.subarray(0, end);
}
