/**
 * Makes the files of a folder objects, each at its path. The rules:
 *
 *     a file that publishing has not seen      is published, unless an object is there that was written after the file
 *                                              was last modified
 *     another size, time or inode than seen    is published, unless the object has these very bytes already
 *     as seen                                  is left alone, whatever the object is by now (an upload stays, a
 *                                              deleted object stays deleted)
 *     gone                                     its object is deleted, if it is still the version that was published
 *
 * Where another folder is published than before, what the former had and this one has not is forgotten, its objects stay.
 *
 * A file counts as gone only where the folder that it was in, or the nearest above that is left, is on the same disk
 * still; and while the whole folder is missing or holds nothing, none does. So a disk that is not mounted deletes
 * nothing.
 */
import { createHash } from "node:crypto";
import { CdnError, formatVersion, type Manifest, pathFault } from "../../proto/mod.ts";
import type { Logger } from "../../runtime/log.ts";
import { mediaTypeOf } from "../media_type.ts";
import { isLive } from "../parts.ts";
import type { Store } from "../store/store.ts";
import { piecesOf } from "../store/stream.ts";
import type { Writer } from "../write.ts";
import { type Found, type Look, lookAt, type OpenFile, PublishedFolder, sameLook } from "./folder.ts";
import { Notes } from "./notes.ts";
import type { PublishedTable, Row } from "./table.ts";

/** What {@link Publishing} is made from. */
export interface PublishingOptions {
  /** The folder's absolute path, as the operator calls it: what it leads to may change. */
  folder: string;
  table: PublishedTable;
  store: Pick<Store, "stage">;
  writer: Writer;
  /** The newest version of a path that is known. */
  current: (path: string) => Promise<Manifest | null>;
  /** Our id among the servers. */
  server: string;
  /** Larger files are passed over; in bytes. */
  maxObjectSize: number;
  /** How long a file must have stood still before it is read, in milliseconds. */
  settleMs: number;
  /** Ends what is under way, in the middle of a file too. */
  signal: AbortSignal;
  now: () => number;
  log: Logger;
}

/** What came of looking at a file. */
export type Outcome =
  | "published"
  | "deleted"
  /** Nothing to do. */
  | "same"
  /** It is still being written: look again in `settleMs`. */
  | "moving"
  | "passed over"
  /** It cannot be done now; the next look tries again. */
  | "failed"
  /** It may be gone, and may only be out of sight. */
  | "held back";

/** How many files had which outcome. */
export type ScanReport = Record<Outcome, number>;

/** Most files that are waited for at a time; a later scan finds the rest. */
const MOST_MOVING = 10_000;
/** How often a long scan says how far it is. */
const PROGRESS_MS = 10_000;
const PAGE = 500;

/** The path of an object got another version while we were at it. */
class Overtaken extends Error {}

/** One folder's publishing. One call at a time. */
export class Publishing {
  readonly #options: PublishingOptions;
  readonly #notes: Notes;
  /** Files that do not stand still, by name: how they looked, and since when so. Of folders, null: see `look`. */
  readonly #moving = new Map<string, { look: Look | null; sinceMs: number }>();
  #scanning = false;
  /** False until all of the folder was looked at once. */
  #scanned = false;
  /** True while the rows may be of another folder. */
  #forgetting: boolean;
  /** A name that was in the folder when it was last looked for one. */
  #witness: string | null = null;

  constructor(options: PublishingOptions) {
    this.#options = options;
    this.#notes = new Notes(options.log);
    this.#forgetting = ![null, options.folder].includes(options.table.folder());
  }

  /** True where a name is looked at again when it is due, as a file that has yet to stand still. */
  isMoving(name: string): boolean {
    return this.#moving.has(name);
  }

  /** A name that is to be looked at again by now, or null; and when the next one is. */
  due(): { name: string | null; nextMs: number } {
    const { now, settleMs } = this.#options;
    let nextMs = Infinity;
    for (const [name, { sinceMs }] of this.#moving) {
      if (sinceMs + settleMs <= now()) return { name, nextMs: now() };
      nextMs = Math.min(nextMs, sinceMs + settleMs);
    }
    return { name: null, nextMs };
  }

  /** The folder as it is now; null, and said, where it is not there. */
  async folder(): Promise<PublishedFolder | null> {
    const { folder: path } = this.#options;
    try {
      const folder = await PublishedFolder.at(path);
      this.#notes.over("");
      return folder;
    } catch (error) {
      this.#notes.say("warn", "", "the published folder is not there; nothing is deleted", {
        folder: path,
        error: messageOf(error),
      });
      return null;
    }
  }

  /**
   * Looks at all of the folder: first at what is there, then for what is gone.
   * @returns null where the folder is not there
   * @throws {CdnError} where the server takes no writes now (full, draining): the next scan tries again; and where the
   * signal aborts
   */
  async scan(): Promise<ScanReport | null> {
    const folder = await this.folder();
    if (!folder) return null;
    this.#scanning = true;
    try {
      return await this.#scan(folder);
    } finally {
      this.#scanning = false;
    }
  }

  /**
   * Looks at one name, of which something was heard: a file, a folder with all below it, or what is gone.
   * @throws {CdnError} as {@link scan}
   */
  async look(name: string): Promise<ScanReport | null> {
    const folder = await this.folder();
    if (!folder) return null;
    const { signal } = this.#options;
    const report = noReport();
    let found: Found;
    try {
      found = await folder.find(name);
    } catch (error) {
      this.#note("warn", name, "cannot read a file to publish", messageOf(error));
      report.failed++;
      return report;
    }
    if (found.kind === "folder") {
      // What comes into a new folder before the system watches it is heard of by nobody: it is looked at twice.
      if (this.#moving.has(name)) this.#moving.delete(name);
      else this.#moves(name, null);
      for await (const entry of folder.walk(name)) {
        if (signal.aborted) return report;
        report[await this.#entry(folder, entry.name, entry.found)]++;
      }
    } else if (found.kind !== "gone") report[await this.#entry(folder, name, found)]++;
    if (found.kind === "file") return report;
    if (found.kind !== "folder") this.#moving.delete(name);
    const row = this.#options.table.get(pathOf(name));
    if (row) report[await this.#gone(folder, row)]++;
    // It may have been a folder.
    await this.#lookForGone(folder, `${pathOf(name)}/`, report);
    return report;
  }

  async #scan(folder: PublishedFolder): Promise<ScanReport> {
    const { now, log, table, signal, folder: path } = this.#options;
    const report = noReport();
    let [seen, saidMs] = [0, now()];
    let total: number | null = null;
    for await (const { name, found } of folder.walk()) {
      if (signal.aborted) return report;
      report[await this.#entry(folder, name, found)]++;
      seen++;
      if (this.#scanned || now() - saidMs < PROGRESS_MS) continue;
      total ??= await count(folder, signal);
      log.info(`published ${seen} of ${Math.max(total, seen)} files`, { folder: folder.root });
      saidMs = now();
    }
    await this.#lookForGone(folder, "/", report);
    if (signal.aborted) return report;
    this.#scanned = true;
    if (report["held back"] === 0 && table.folder() !== path) table.setFolder(path);
    this.#forgetting = ![null, path].includes(table.folder());
    return report;
  }

  /** Deletes what is below a path and not there any more. */
  async #lookForGone(folder: PublishedFolder, prefix: string, report: ScanReport): Promise<void> {
    const { table, signal } = this.#options;
    let after: string | null = null;
    for (let rows; (rows = table.page(prefix, after, PAGE)).length > 0; after = rows.at(-1)!.path) {
      for (const row of rows) {
        if (signal.aborted) return;
        const outcome = await this.#gone(folder, row);
        if (outcome !== "same") report[outcome]++;
      }
    }
  }

  /** One name that is there. */
  async #entry(
    folder: PublishedFolder,
    name: string,
    found: Found | { kind: "unreadable"; reason: string },
  ): Promise<Outcome> {
    const path = pathOf(name);
    const { maxObjectSize, signal } = this.#options;
    if (found.kind === "unreadable") {
      this.#note("warn", name, "cannot read a file to publish", found.reason);
      return "failed";
    }
    const fault = found.kind === "passed over" ? found.reason : faultOf(path, found, maxObjectSize);
    if (found.kind !== "file" || fault !== null) {
      if (fault !== null) this.#note("info", name, "not published", fault);
      return "passed over";
    }
    try {
      const outcome = await this.#file(folder, name, path, found);
      if (outcome !== "moving") this.#moving.delete(name);
      this.#notes.over(name);
      return outcome;
    } catch (error) {
      if (isRefusal(error) || signal.aborted) throw error;
      this.#moving.delete(name);
      this.#note("warn", name, "cannot publish a file", messageOf(error));
      return "failed";
    }
  }

  async #file(
    folder: PublishedFolder,
    name: string,
    path: string,
    { look, device }: Found & { kind: "file" },
  ): Promise<Outcome> {
    const { table, current, server, signal } = this.#options;
    const row = table.get(path);
    if (row && sameLook(row, look)) {
      if (row.device !== device) table.set({ ...row, device });
      return "same";
    }
    if (!this.#standsStill(name, look)) return "moving";
    const newest = await current(path);
    using open = await folder.open(name);
    if (!sameLook(open.look, look)) return this.#moves(name, open.look);
    if (row || isLive(newest)) {
      // It may be what is there already; then nothing is written.
      const sha256 = await digestOf(open, signal);
      const now = await lookAt(open.file);
      if (!sameLook(now, look)) return this.#moves(name, now);
      const isThere = isLive(newest) && newest.sha256 === sha256;
      const isNewer = !row && isLive(newest) && newest.version.wallMs >= look.modifiedMs;
      if (isThere || isNewer) {
        const version = formatVersion(newest.version);
        // The process may have ended between a write and its note: what we would have written, we have.
        const isOurs = row?.version === version ||
          isThere && newest.version.server === server && newest.modifiedMs === dateOf(look) && newest.name === "";
        table.set({ path, ...look, device, version: isOurs ? version : null });
        if (!isThere) this.#options.log.info("not published: the object is newer than the file", { path });
        return "same";
      }
      await open.file.seek(0, Deno.SeekMode.Start);
    }
    return await this.#write(name, path, open, device, newest);
  }

  async #write(
    name: string,
    path: string,
    { file, look }: OpenFile,
    device: string,
    newest: Manifest | null,
  ): Promise<Outcome> {
    const { table, store, writer, log, signal } = this.#options;
    const before = newest && formatVersion(newest.version);
    let staged;
    try {
      staged = await store.stage(until(signal, piecesOf(file)), { size: look.size });
    } catch (error) {
      const now = await lookAt(file);
      if (!sameLook(now, look)) return this.#moves(name, now);
      throw error;
    }
    const now = await lookAt(file);
    if (!sameLook(now, look)) return this.#moves(name, now);
    try {
      const metadata = { mediaType: mediaTypeOf(path), name: "", modifiedMs: dateOf(look), meta: {} };
      const { manifest } = await writer.write(path, staged, metadata, (current) => {
        if ((current && formatVersion(current.version)) !== before) throw new Overtaken();
      });
      table.set({ path, ...look, device, version: formatVersion(manifest.version) });
      log[this.#scanning ? "debug" : "info"]("published", { path, size: look.size });
      return "published";
    } catch (error) {
      if (error instanceof Overtaken) return this.#moves(name, look);
      throw error;
    }
  }

  /** A file of which nothing is there any more, or nothing that may be published. */
  async #gone(folder: PublishedFolder, row: Row): Promise<Outcome> {
    const { table, writer, log } = this.#options;
    const name = row.path.slice(1);
    try {
      const found = await folder.find(name);
      if (found.kind === "file") return "same";
      if (found.kind === "gone" && (found.device !== row.device || !await this.#holdsAny(folder))) {
        this.#notes.say("warn", "/", "files are out of sight, as where a disk is not mounted; their objects stay", {
          folder: folder.root,
          file: name,
        });
        return "held back";
      }
    } catch (error) {
      this.#note("warn", name, "cannot read a file to publish", messageOf(error));
      return "held back";
    }
    this.#moving.delete(name);
    this.#notes.over(name);
    this.#notes.over("/");
    let outcome: Outcome = "same";
    try {
      if (row.version && !this.#forgetting) {
        await writer.remove(row.path, (current) => {
          if (!current || formatVersion(current.version) !== row.version) throw new Overtaken();
        });
        log[this.#scanning ? "debug" : "info"]("deleted, as its file is", { path: row.path });
        outcome = "deleted";
      }
    } catch (error) {
      // Somebody else wrote or deleted it since: it is theirs.
      if (!(error instanceof Overtaken || error instanceof CdnError && error.status === 404)) throw error;
    }
    table.remove(row.path);
    return outcome;
  }

  /** True where the folder holds anything. It is listed only where what was in it the last time is gone. */
  async #holdsAny(folder: PublishedFolder): Promise<boolean> {
    if (this.#witness === null || (await folder.find(this.#witness)).kind === "gone") {
      this.#witness = await folder.anyName();
    }
    return this.#witness !== null;
  }

  /** True where a file has not changed for long enough, by its own time or by ours. */
  #standsStill(name: string, look: Look): boolean {
    const { now, settleMs } = this.#options;
    if (look.modifiedMs <= now() - settleMs) return true;
    const before = this.#moving.get(name);
    const isSame = before?.look && sameLook(before.look, look);
    if (isSame && now() - before.sinceMs >= settleMs) return true;
    if (!isSame || before.sinceMs > now()) this.#moves(name, look);
    return false;
  }

  #moves(name: string, look: Look | null): Outcome {
    if (this.#moving.size < MOST_MOVING || this.#moving.has(name)) {
      this.#moving.set(name, { look, sinceMs: this.#options.now() });
    }
    return "moving";
  }

  #note(level: "info" | "warn", file: string, message: string, reason: string): void {
    this.#notes.say(level, file, `${message}: ${reason}`, { file });
  }
}

/** Why what is there cannot be an object; null where it can. */
function faultOf(path: string, found: Found, maxObjectSize: number): string | null {
  if (found.kind === "file" && found.look.size > maxObjectSize) return `it is larger than ${maxObjectSize} bytes`;
  const fault = pathFault(path);
  return fault && `its path ${fault}`;
}

/** A report of nothing. */
function noReport(): ScanReport {
  return { published: 0, deleted: 0, same: 0, moving: 0, "passed over": 0, failed: 0, "held back": 0 };
}

/** How many names a scan comes by. */
async function count(folder: PublishedFolder, signal: AbortSignal): Promise<number> {
  let found = 0;
  for await (const _ of folder.walk()) {
    if (signal.aborted) break;
    found++;
  }
  return found;
}

async function digestOf({ file }: OpenFile, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of until(signal, piecesOf(file))) hash.update(piece);
  return hash.digest("hex");
}

async function* until<T>(signal: AbortSignal, items: AsyncIterable<T>): AsyncGenerator<T> {
  for await (const item of items) {
    signal.throwIfAborted();
    yield item;
  }
}

function pathOf(name: string): string {
  return name === "" ? "" : `/${name}`;
}

/** What a manifest takes: files may be older than 1970. */
function dateOf({ modifiedMs }: Look): number {
  return Math.min(Math.max(modifiedMs, 0), 2 ** 47);
}

/** The server takes no writes now, whatever the file. */
function isRefusal(error: unknown): boolean {
  return error instanceof CdnError && (error.status === 503 || error.status === 507);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
