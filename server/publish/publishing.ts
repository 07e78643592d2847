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
import { CdnError, formatVersion, pathFault } from "../../proto/mod.ts";
import type { Logger } from "../../runtime/log.ts";
import { words } from "../../runtime/words.ts";
import { type FileNeeds, Overtaken, putFile } from "./file.ts";
import { type Entry, type Found, PublishedFolder, sameLook } from "./folder.ts";
import { Moving } from "./moving.ts";
import { Notes } from "./notes.ts";
import type { PublishedTable, Row } from "./table.ts";

/** What {@link Publishing} is made from. */
export interface PublishingOptions extends FileNeeds {
  /** The folder's absolute path, as the operator calls it: what it leads to may change. */
  folder: string;
  table: PublishedTable;
  /** Larger files are passed over; in bytes. */
  maxObjectSize: number;
  /** How long a file must have stood still before it is read, in milliseconds. */
  settleMs: number;
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

/** How often a long scan says how far it is. */
const PROGRESS_MS = 10_000;
const PAGE = 500;

/** One folder's publishing. One call at a time. */
export class Publishing {
  readonly #options: PublishingOptions;
  readonly #notes: Notes;
  /** What is to be looked at again soon, and when. */
  readonly moving: Moving;
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
    this.moving = new Moving(options.settleMs, options.now);
    this.#forgetting = ![null, options.folder].includes(options.table.folder());
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
        error: words(error),
      });
      this.moving.clear();
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
      report[await this.#entry(folder, { name, found: { kind: "unreadable", reason: words(error) } })]++;
      return report;
    }
    if (found.kind === "folder") {
      // What comes into a new folder before the system watches it is heard of by nobody: it is looked at twice.
      if (!this.moving.forget(name)) this.moving.wait(name, null);
      for await (const entry of folder.walk(name)) {
        if (signal.aborted) return report;
        report[await this.#entry(folder, entry)]++;
      }
    } else if (found.kind === "gone") this.moving.forget(name);
    else report[await this.#entry(folder, { name, found })]++;
    if (found.kind === "file") return report;
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
    for await (const entry of folder.walk()) {
      if (signal.aborted) return report;
      report[await this.#entry(folder, entry)]++;
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
  async #entry(folder: PublishedFolder, { name, found }: Entry): Promise<Outcome> {
    const outcome = await this.#outcomeOf(folder, name, found);
    if (outcome !== "moving") this.moving.forget(name);
    return outcome;
  }

  async #outcomeOf(folder: PublishedFolder, name: string, found: Entry["found"]): Promise<Outcome> {
    const { maxObjectSize, signal } = this.#options;
    if (found.kind === "unreadable") {
      this.#note("warn", name, "cannot read a file to publish", found.reason);
      return "failed";
    }
    const fault = found.kind === "passed over" ? found.reason : faultOf(pathOf(name), found, maxObjectSize);
    if (found.kind !== "file" || fault !== null) {
      if (fault !== null) this.#note("info", name, "not published", fault);
      return "passed over";
    }
    try {
      const outcome = await this.#file(folder, name, found);
      this.#notes.over(name);
      return outcome;
    } catch (error) {
      if (isRefusal(error) || signal.aborted) throw error;
      this.#note("warn", name, "cannot publish a file", words(error));
      return "failed";
    }
  }

  async #file(folder: PublishedFolder, name: string, { look, device }: Found & { kind: "file" }): Promise<Outcome> {
    const { table, log } = this.#options;
    const path = pathOf(name);
    const row = table.get(path);
    if (row && sameLook(row, look)) {
      if (row.device !== device) table.set({ ...row, device });
      return "same";
    }
    if (!this.moving.standsStill(name, look)) return "moving";
    using open = await folder.open(name);
    const done = sameLook(open.look, look) ? await putFile(path, open, row, this.#options) : { put: "moving" } as const;
    if (done.put === "moving") this.moving.wait(name, look);
    else table.set({ path, ...look, device, version: done.version });
    if (done.put === "published") {
      log[this.#scanning ? "debug" : "info"]("published", { path, size: look.size });
    } else if (done.put === "same" && done.newer) {
      log.info("not published: the object is newer than the file", { path });
    }
    return done.put;
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
      this.#note("warn", name, "cannot read a file to publish", words(error));
      return "held back";
    }
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

function pathOf(name: string): string {
  return name === "" ? "" : `/${name}`;
}

/** The server takes no writes now, whatever the file. */
function isRefusal(error: unknown): boolean {
  return error instanceof CdnError && (error.status === 503 || error.status === 507);
}
