/**
 * What a disk store knows of its objects, twice: the index (SQLite), which answers and is durable, and the
 * journal, from which a lost or damaged index is rebuilt. Nothing is ever deleted for being damaged.
 */
import { join } from "@std/path";
import { compareVersions, type Manifest } from "../../proto/mod.ts";
import { syncFolder } from "../../runtime/files.ts";
import type { Logger } from "../../runtime/log.ts";
import { setAside } from "./database.ts";
import { type Journal, type JournalState, type Note, openJournal, readJournal, writeJournal } from "./journal.ts";
import { type ManifestIndex, openManifestIndex } from "./manifest_index.ts";
import { isFull } from "./room.ts";

/** The index, with every change in the journal too. */
export interface Records extends Pick<ManifestIndex, "get" | "remove" | "names" | "named" | "list">, Disposable {
  /** Puts all of them, or none: one wait for the disk. */
  setAll(manifests: readonly Manifest[]): void;
  /** True where they were rebuilt, and may lack something: a body that no manifest names may yet be asked for. */
  readonly rebuilt: boolean;
}

/** What {@link openRecords} needs besides the folder. */
export interface RecordsOptions {
  now: () => number;
  log: Logger;
  /** True where bodies are held: then there was an index. */
  holdsBodies: () => boolean;
}

/**
 * Opens the records in `folder`, healed where they were damaged.
 * @throws {CdnError} where another process has them open, or they are of a version that we do not know.
 */
export async function openRecords(folder: string, { now, log, holdsBodies }: RecordsOptions): Promise<Records> {
  const journalPath = join(folder, "journal.ndjson");
  const index = await openManifestIndex(join(folder, "index.sqlite"), { now, log });
  try {
    const state = readJournal(journalPath);
    const behind = state.lastChange > index.lastChange();
    const lost = behind || index.lastChange() === 0 && !state.exists && holdsBodies();
    if (lost) rebuild(index, journalPath, state, { now, log });
    if (lost || !mirrors(state, index)) {
      try {
        await writeJournal(`${journalPath}.new`, notesOf(index, now()));
      } catch (error) {
        if (!isFull(error)) throw error;
        // It stays as it is, so that the next opening sees what it lacks.
        log.warn("there is no room for a journal", { error });
        return records(index, noJournal, lost);
      }
      if (state.faulty > 0) setAside(journalPath, now);
      Deno.renameSync(`${journalPath}.new`, journalPath);
      await syncFolder(folder);
    }
    return records(index, openJournal(journalPath, log), lost);
  } catch (error) {
    index[Symbol.dispose]();
    throw error;
  }
}

const noJournal: Journal = { append() {}, [Symbol.dispose]() {} };

function records(index: ManifestIndex, journal: Journal, rebuilt: boolean): Records {
  return {
    ...index,
    rebuilt,
    setAll(manifests) {
      const changes = manifests.length === 1
        ? [index.set(manifests[0]!)]
        : index.atOnce(() => manifests.map((manifest) => index.set(manifest)));
      for (const [at, change] of changes.entries()) journal.append(change, { put: manifests[at]! });
    },
    remove(path, version) {
      const removed = index.remove(path, version);
      if (removed) journal.append(index.lastChange(), { forget: { path, version } });
      return removed;
    },
    [Symbol.dispose]() {
      journal[Symbol.dispose]();
      index[Symbol.dispose]();
    },
  };
}

/**
 * Does all again that the journal tells: the newest version of a path wins. What the index holds already stays.
 * Change numbers go on above all that can ever have been given: a microsecond is more than a change takes.
 */
function rebuild(
  index: ManifestIndex,
  path: string,
  { lines, faulty, lastChange }: JournalState,
  { now, log }: { now: () => number; log: Logger },
): void {
  index.atOnce(() => {
    index.raiseChange(Math.max(now() * 1000, lastChange, index.lastChange()));
    readJournal(path, (json) => {
      const note = JSON.parse(json) as Note;
      if ("forget" in note) {
        index.remove(note.forget.path, note.forget.version);
        return;
      }
      if (!("put" in note)) return;
      const held = index.get(note.put.path);
      const order = held ? compareVersions(note.put.version, held.version) : 1;
      if (order > 0 || order === 0 && note.put.signature && !held!.signature) index.set(note.put);
    });
  });
  log.warn("rebuilt the index from the journal", { objects: index.count(), lines, faulty });
}

/** False where the journal lacks something that the index has, is damaged, or much longer than it need be. */
function mirrors({ exists, lines, faulty, lastChange }: JournalState, index: ManifestIndex): boolean {
  const count = index.count();
  return exists && faulty === 0 && lastChange === index.lastChange() && lines > count && lines <= 2 * count + 1000;
}

function* notesOf(index: ManifestIndex, nowMs: number): Generator<{ change: number; note: Note }> {
  yield { change: index.lastChange(), note: { asOf: nowMs } };
  for (let after = 0, more = true; more;) {
    const page = index.list({ by: "change", after, limit: 1000 });
    for (const { change, manifest } of page.entries) yield { change: after = change, note: { put: manifest } };
    more = page.more;
  }
}
