/**
 * The nonces of signed requests that were taken: each is taken once for as long as its request could be played again.
 *
 * Kept in a folder, they outlive the process: a recorded request cannot be played to a server just because that one was
 * started anew. Each is a line, `UNTIL NONCE`, in the file `nonces`, written as it is taken. There is no fsync: a line
 * survives the death of the process, though not that of the machine. When the file is as old as a nonce may get it
 * becomes `nonces.old`, in the place of the one before, in which nothing counts any more.
 */
import { join } from "@std/path";
import { CdnError } from "../proto/mod.ts";
import { ifThere, writeAllSync } from "./files.ts";
import { type Logger, silentLogger } from "./log.ts";

/** How many nonces are remembered unless told. */
const MOST_NONCES = 1_000_000;

/** A line with a time further ahead was written by a clock that was wrong, or is garbage. */
const FURTHEST_MS = 24 * 3600_000;

/** Remembers nonces in memory alone. */
export class Nonces implements Disposable {
  /** Nonce to the time at which it may be forgotten; in order of arrival. */
  readonly #seen = new Map<string, number>();
  readonly #most: number;
  readonly #keep: NonceFile | null;

  /**
   * @param options.most how many are remembered; past that, requests are refused (503) until some are out of the
   * window: forgetting one would let its request be played again
   * @param options.keep where they are kept besides, see {@link openNonces}
   */
  constructor({ most = MOST_NONCES, keep = null }: { most?: number; keep?: NonceFile | null } = {}) {
    this.#most = most;
    this.#keep = keep;
    for (const [nonce, untilMs] of keep?.loaded() ?? []) this.#seen.set(nonce, untilMs);
  }

  /** How many are remembered. */
  get size(): number {
    return this.#seen.size;
  }

  /** True where it was taken already. Forgets what may be forgotten. */
  has(nonce: string, nowMs: number): boolean {
    for (const [old, untilMs] of this.#seen) {
      if (untilMs >= nowMs) break;
      this.#seen.delete(old);
    }
    return this.#seen.has(nonce);
  }

  /**
   * Takes a nonce that was not taken. To be called only once all is known to be right, so that a stranger cannot fill
   * the table.
   * @throws {CdnError} 503 where too many are remembered.
   */
  take(nonce: string, { nowMs, untilMs }: { nowMs: number; untilMs: number }): void {
    if (this.#seen.size >= this.#most) {
      throw new CdnError("Cannot take more signed requests now", {
        source: "server",
        status: 503,
        retry: true,
        retryAfterSeconds: 10,
      });
    }
    this.#seen.set(nonce, untilMs);
    this.#keep?.append(nonce, { nowMs, untilMs });
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#keep?.[Symbol.dispose]();
  }
}

/**
 * Nonces that are kept in a folder, with those that it holds. A line that is none is passed over.
 * @throws {CdnError} (source "client") where the file cannot be opened.
 */
export function openNonces(
  folder: string,
  { nowMs, most = MOST_NONCES, log = silentLogger }: { nowMs: number; most?: number; log?: Logger },
): Nonces {
  const file = join(folder, "nonces");
  try {
    Deno.mkdirSync(folder, { recursive: true });
    return new Nonces({ most, keep: new NonceFile(file, nowMs, log) });
  } catch (cause) {
    throw new CdnError(`Cannot open ${file}: ${(cause as Error).message}`, { source: "client", cause });
  }
}

/** The two files. Appends are synchronous, so that none is lost between the check of a request and its answer. */
class NonceFile implements Disposable {
  readonly #path: string;
  readonly #log: Logger;
  readonly #loaded: [string, number][];
  #file: Deno.FsFile | null;
  /** When everything that the current file holds may be forgotten, and when everything in the old one may. */
  #until = 0;
  #oldUntil = 0;
  /** When the current file is old enough to become the old one. */
  #turnMs = Infinity;
  #ill = false;

  constructor(path: string, nowMs: number, log: Logger) {
    this.#path = path;
    this.#log = log;
    const old = linesOf(`${path}.old`, nowMs);
    const current = linesOf(path, nowMs);
    this.#oldUntil = latest(old);
    this.#until = latest(current);
    // The first line's, however often we are started anew: a file covers one lifetime of a nonce.
    this.#turnMs = current[0]?.[1] ?? Infinity;
    this.#loaded = [...old, ...current].filter(([, untilMs]) => untilMs >= nowMs).sort(([, a], [, b]) => a - b);
    this.#file = open(path);
  }

  /** What the files held, those first that may be forgotten first. */
  loaded(): [string, number][] {
    return this.#loaded.splice(0);
  }

  /** A failure is logged, once: in this process the nonce is remembered all the same. */
  append(nonce: string, { nowMs, untilMs }: { nowMs: number; untilMs: number }): void {
    try {
      if (nowMs > this.#turnMs && nowMs > this.#oldUntil) this.#turn();
      this.#file ??= open(this.#path);
      writeAllSync(this.#file, new TextEncoder().encode(`${untilMs} ${nonce}\n`));
      if (this.#turnMs === Infinity) this.#turnMs = untilMs;
      this.#until = Math.max(this.#until, untilMs);
      this.#ill = false;
    } catch (error) {
      if (!this.#ill) this.#log.warn("cannot keep nonces: a restart now would forget them", { error });
      this.#ill = true;
    }
  }

  #turn(): void {
    this[Symbol.dispose]();
    Deno.renameSync(this.#path, `${this.#path}.old`);
    this.#oldUntil = this.#until;
    this.#until = 0;
    this.#turnMs = Infinity;
  }

  [Symbol.dispose](): void {
    this.#file?.close();
    this.#file = null;
  }
}

/** Opens a file to append to. A last line that broke off is ended, so that the next one is whole. */
function open(path: string): Deno.FsFile {
  const file = Deno.openSync(path, { read: true, append: true, create: true, mode: 0o600 });
  try {
    if (file.statSync().size > 0) {
      const last = new Uint8Array(1);
      file.seekSync(-1, Deno.SeekMode.End);
      file.readSync(last);
      if (last[0] !== 10) file.writeSync(new Uint8Array([10]));
    }
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}

function linesOf(path: string, nowMs: number): [string, number][] {
  const text = ifThere(() => Deno.readTextFileSync(path)) ?? "";
  const lines: [string, number][] = [];
  for (const line of text.split("\n")) {
    const match = /^(\d{1,15}) ([\x21-\x7e]{8,64})$/.exec(line);
    if (match && Number(match[1]) <= nowMs + FURTHEST_MS) lines.push([match[2]!, Number(match[1])]);
  }
  return lines;
}

function latest(lines: readonly [string, number][]): number {
  return lines.reduce((most, [, untilMs]) => Math.max(most, untilMs), 0);
}
