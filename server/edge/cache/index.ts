/**
 * What the disk tier knows, in SQLite: the stored responses, which parts of their bodies are on disk and what tells
 * damage in them, small bodies themselves, and the queues of eviction. So memory does not grow with the number of
 * entries, and a restart reads nothing but what is asked for.
 *
 * A part is what may be evicted: number -1 is the entry itself, with its small body, and the others are its slices.
 * Rows check themselves: one that is not what was written is as good as none.
 */
import { crc32 } from "node:zlib";
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import type { ByteRange } from "../../serve/range.ts";
import { atOnce, type DatabaseShape, openDatabase } from "../../store/database.ts";
import type { StoredResponse } from "../response.ts";
import { areRanges } from "./ranges.ts";
import { decodeRuns, encodeRuns, type Run } from "./runs.ts";
import type { Item, Queue } from "./s3_fifo.ts";

/** The number of the part that an entry itself is. */
export const HEAD = -1;

const shape: DatabaseShape = {
  version: 1,
  schema: `
    CREATE TABLE entries (
      id INTEGER PRIMARY KEY,
      key TEXT NOT NULL,
      response TEXT NOT NULL,
      stale INTEGER NOT NULL, -- the number of the soft purge that made it so; 0 where none did
      stored TEXT NOT NULL,   -- ranges of the body
      inline INTEGER NOT NULL,
      sum INTEGER NOT NULL
    );
    CREATE INDEX entries_by_key ON entries (key, id);
    CREATE TABLE tags (tag TEXT NOT NULL, entry INTEGER NOT NULL, PRIMARY KEY (tag, entry)) WITHOUT ROWID;
    CREATE TABLE bodies (entry INTEGER PRIMARY KEY, bytes BLOB NOT NULL, sum INTEGER NOT NULL);
    CREATE TABLE parts (
      entry INTEGER NOT NULL,
      number INTEGER NOT NULL,
      main INTEGER NOT NULL,
      position INTEGER NOT NULL,
      frequency INTEGER NOT NULL,
      bytes INTEGER NOT NULL,
      runs BLOB NOT NULL,
      PRIMARY KEY (entry, number)
    ) WITHOUT ROWID;
    CREATE INDEX parts_by_position ON parts (main, position);
    CREATE TABLE totals (main INTEGER PRIMARY KEY, bytes INTEGER NOT NULL, entries INTEGER NOT NULL);
    INSERT INTO totals VALUES (0, 0, 0), (1, 0, 0);
  `,
};

/** A stored response as it stands in its row. */
export interface EntryRow {
  id: number;
  key: string;
  response: StoredResponse;
  /** The soft purge that made it stale; 0 where none did. */
  stale: number;
  /** The parts of its body that are on disk. */
  stored: readonly ByteRange[];
  /** Its whole body is a row, too. */
  inline: boolean;
}

/** A part as the queues see it. */
export interface PartRow extends Item {
  entry: number;
  number: number;
  /** Of its entry; empty where there is none. */
  key: string;
}

/** How often parts of entries that are alive were used: they know better than their rows. */
export interface Uses {
  /** Null where the row knows best. */
  get(part: { key: string; entry: number; number: number }): number | null;
  /** From now on it is so many. */
  set(part: { key: string; entry: number; number: number }, frequency: number): void;
}

/** Which rows a step of a purge looks at next: those of a key, of a beginning, of a tag. */
export interface Cursor {
  kind: "key" | "prefix" | "tag";
  value: string;
  afterKey: string;
  afterId: number;
}

/** The tables, one statement each. */
export class Index implements Disposable {
  readonly small: PartQueue;
  readonly main: PartQueue;
  /** Entries that have a row. */
  entries: number;
  readonly #statements = new Map<string, StatementSync>();

  private constructor(readonly database: DatabaseSync, readonly path: string, uses: Uses) {
    database.exec("PRAGMA synchronous = NORMAL; PRAGMA cache_size = -16384; PRAGMA journal_size_limit = 16777216");
    const totals = this.#all("SELECT bytes, entries FROM totals ORDER BY main") as { bytes: number; entries: number }[];
    if (totals.length !== 2) throw new Error("the database is malformed: its totals are missing");
    const last = this.#get("SELECT max(position) AS at FROM parts WHERE main = 0") as { at: number | null };
    const lastMain = this.#get("SELECT max(position) AS at FROM parts WHERE main = 1") as { at: number | null };
    const run = (sql: string, ...values: SQLInputValue[]) => void this.#run(sql, ...values);
    const get = (sql: string, ...values: SQLInputValue[]) => this.#get(sql, ...values);
    this.small = new PartQueue(false, totals[0]!.bytes, last.at ?? 0, uses, run, get);
    this.main = new PartQueue(true, totals[1]!.bytes, lastMain.at ?? 0, uses, run, get);
    this.entries = totals[0]!.entries + totals[1]!.entries;
  }

  /**
   * Opens it, made where it is missing.
   * @throws {CdnError} where another process has it open, and where it is damaged (`isDamaged` of its cause)
   */
  static async open(path: string, uses: Uses): Promise<Index> {
    const database = await openDatabase(path, shape);
    try {
      return new Index(database, path, uses);
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** All that `work` changes is there, or nothing. */
  atOnce<T>(work: () => T): T {
    const before = [this.small.bytes, this.main.bytes, this.entries] as const;
    try {
      return atOnce(this.database, () => {
        const done = work();
        this.#run("UPDATE totals SET bytes = ?, entries = ? WHERE main = 0", this.small.bytes, this.entries);
        this.#run("UPDATE totals SET bytes = ?, entries = 0 WHERE main = 1", this.main.bytes);
        return done;
      });
    } catch (error) {
      [this.small.bytes, this.main.bytes, this.entries] = before;
      throw error;
    }
  }

  /** The highest id there is; 0 without any. */
  lastId(): number {
    return (this.#get("SELECT max(id) AS id FROM entries") as { id: number | null }).id ?? 0;
  }

  /** The rows of a key, the newest first. Damaged ones are left out. */
  find(key: string): EntryRow[] {
    return this.#all("SELECT * FROM entries WHERE key = ? ORDER BY id DESC", key).map(toEntry).filter((row) =>
      row !== null
    );
  }

  /** One row by its id. */
  entry(id: number): EntryRow | null {
    const row = this.#get("SELECT * FROM entries WHERE id = ?", id);
    return row ? toEntry(row) : null;
  }

  /** Writes a row, in place of the one with its id. */
  put(entry: EntryRow): void {
    const { id, key, response: { tags, ...rest }, stale, stored, inline } = entry;
    const response = JSON.stringify({ ...rest, stale: false, tags });
    const ranges = JSON.stringify(stored);
    const sum = sumOf(id, key, response, ranges, inline);
    const before = this.#get("SELECT response FROM entries WHERE id = ?", id) as { response: string } | undefined;
    if (before) {
      this.#run(
        "UPDATE entries SET response = ?, stale = ?, stored = ?, inline = ?, sum = ? WHERE id = ?",
        ...[response, stale, ranges, Number(inline), sum, id],
      );
    } else {
      const values = [id, key, response, stale, ranges, Number(inline), sum];
      this.#run("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", ...values);
      this.entries++;
    }
    if (before?.response === response) return;
    // Each by its key: tags are in order of the tag, and to look for an entry among them is to read them all.
    for (const tag of tagsOf(before?.response)) this.#run("DELETE FROM tags WHERE tag = ? AND entry = ?", tag, id);
    for (const tag of tags) this.#run("INSERT OR IGNORE INTO tags VALUES (?, ?)", tag, id);
  }

  /** Removes all rows of an entry. The numbers of its slices, whose files are of no use now. */
  remove(id: number): number[] {
    const slices: number[] = [];
    for (const part of this.parts(id)) {
      (part.main ? this.main : this.small).remove(part);
      if (part.number !== HEAD) slices.push(part.number);
    }
    const tags = this.#get("SELECT response FROM entries WHERE id = ?", id) as { response: string } | undefined;
    for (const tag of tagsOf(tags?.response)) this.#run("DELETE FROM tags WHERE tag = ? AND entry = ?", tag, id);
    this.#run("DELETE FROM parts WHERE entry = ?", id);
    this.#run("DELETE FROM bodies WHERE entry = ?", id);
    const { changes } = this.#run("DELETE FROM entries WHERE id = ?", id);
    this.entries -= Number(changes);
    return slices;
  }

  /** A small body; null where it is damaged, or not there. */
  body(id: number): Uint8Array<ArrayBuffer> | null {
    const row = this.#get("SELECT bytes, sum FROM bodies WHERE entry = ?", id);
    const { bytes, sum } = (row ?? {}) as { bytes?: Uint8Array<ArrayBuffer>; sum?: number };
    return bytes instanceof Uint8Array && crc32(bytes, id) === sum ? bytes : null;
  }

  putBody(id: number, bytes: Uint8Array): void {
    this.#run("INSERT OR REPLACE INTO bodies VALUES (?, ?, ?)", id, bytes, crc32(bytes, id));
  }

  removeBody(id: number): void {
    this.#run("DELETE FROM bodies WHERE entry = ?", id);
  }

  /** A part as the queues see it; null where there is none. */
  part(entry: number, number: number): PartRow | null {
    const row = this.#get(`SELECT ${partFields} FROM parts WHERE entry = ? AND number = ?`, entry, number);
    return row ? toPart(row) : null;
  }

  /** All parts of an entry. */
  parts(entry: number): PartRow[] {
    return this.#all(`SELECT ${partFields} FROM parts WHERE entry = ?`, entry).map(toPart);
  }

  /** What is on disk of a slice; null where nothing is. */
  runs(entry: number, number: number): Run[] | null {
    const row = this.#get("SELECT runs FROM parts WHERE entry = ? AND number = ?", entry, number);
    return row ? decodeRuns((row as { runs: Uint8Array }).runs) : null;
  }

  /** A row for a part that is in no queue yet. */
  begin({ entry, number, bytes, frequency }: PartRow, runs: readonly Run[]): void {
    const values = [entry, number, -1, 0, frequency, bytes, encodeRuns(runs)];
    this.#run("INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?, ?)", ...values);
  }

  /** A part as it is now. Its queue knows of its size already. */
  change({ entry, number, bytes }: PartRow, runs: readonly Run[]): void {
    const values = [bytes, encodeRuns(runs), entry, number];
    this.#run("UPDATE parts SET bytes = ?, runs = ? WHERE entry = ? AND number = ?", ...values);
  }

  /** A part goes, and is in no queue any more. */
  drop(entry: number, number: number): void {
    this.#run("DELETE FROM parts WHERE entry = ? AND number = ?", entry, number);
  }

  setFrequency(entry: number, number: number, frequency: number): void {
    this.#run("UPDATE parts SET frequency = ? WHERE entry = ? AND number = ?", frequency, entry, number);
  }

  /** The next ids that a cursor means, at most `most`, none above `until`; moves it on. */
  next(cursor: Cursor, until: number, most: number): { id: number; key: string }[] {
    const { kind, value, afterKey, afterId } = cursor;
    const sql = kind === "tag"
      ? "SELECT t.entry AS id, e.key FROM tags t JOIN entries e ON e.id = t.entry" +
        " WHERE t.tag = ? AND t.entry > ? AND t.entry <= ? ORDER BY t.entry LIMIT ?"
      : kind === "key"
      ? "SELECT id, key FROM entries WHERE key = ? AND id > ? AND id <= ? ORDER BY id LIMIT ?"
      : "SELECT id, key FROM entries WHERE (key, id) > (?, ?) AND id <= ? ORDER BY key, id LIMIT ?";
    const from = kind === "prefix" ? afterKey : value;
    let rows = this.#all(sql, from, afterId, until, most) as { id: number; key: string }[];
    // By code point, so that those with the same beginning stand together.
    if (kind === "prefix") rows = rows.filter(({ key }) => key.startsWith(value));
    const last = rows.at(-1);
    if (last) Object.assign(cursor, { afterKey: last.key, afterId: last.id });
    return rows;
  }

  /** Marks a stored response stale by the soft purge of this number; false where it is already. */
  markStale(id: number, purge: number): boolean {
    return this.#run("UPDATE entries SET stale = ? WHERE id = ? AND stale <> ?", purge, id, purge).changes !== 0;
  }

  [Symbol.dispose](): void {
    this.#statements.clear();
    this.database.close();
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (!statement) this.#statements.set(sql, statement = this.database.prepare(sql));
    return statement;
  }

  #get(sql: string, ...values: SQLInputValue[]): Record<string, unknown> | undefined {
    return this.#statement(sql).get(...values);
  }

  #all(sql: string, ...values: SQLInputValue[]): Record<string, unknown>[] {
    return this.#statement(sql).all(...values);
  }

  #run(sql: string, ...values: SQLInputValue[]): { changes: number | bigint } {
    return this.#statement(sql).run(...values);
  }
}

/** A queue of eviction as rows in order of their position. */
class PartQueue implements Queue<PartRow> {
  constructor(
    readonly isMain: boolean,
    public bytes: number,
    public last: number,
    readonly uses: Uses,
    readonly run: (sql: string, ...values: SQLInputValue[]) => void,
    readonly get: (sql: string, ...values: SQLInputValue[]) => Record<string, unknown> | undefined,
  ) {}

  first(): PartRow | null {
    const row = this.get(
      `SELECT ${partFields} FROM parts WHERE main = ? ORDER BY position LIMIT 1`,
      Number(this.isMain),
    );
    if (!row) return null;
    const part = toPart(row);
    return { ...part, frequency: this.uses.get(part) ?? part.frequency };
  }

  append(part: PartRow): void {
    const { entry, number, frequency, bytes } = part;
    this.uses.set(part, frequency);
    this.run(
      "UPDATE parts SET main = ?, position = ?, frequency = ? WHERE entry = ? AND number = ?",
      ...[Number(this.isMain), ++this.last, frequency, entry, number],
    );
    this.bytes += bytes;
  }

  /** Its row stays; whoever takes it out drops it, or appends it elsewhere. */
  remove({ bytes }: PartRow): void {
    this.bytes -= bytes;
  }
}

const partFields = "entry, number, main, frequency, bytes, (SELECT key FROM entries WHERE id = entry) AS key";

function toPart(row: Record<string, unknown>): PartRow {
  const { entry, number, main, frequency, bytes, key } = row as {
    entry: number;
    number: number;
    main: number;
    frequency: number;
    bytes: number;
    key: string | null;
  };
  return { entry, number, key: key ?? "", main: main === 1, frequency, bytes, print: printOf(key ?? "", number) };
}

/** What tells a part again when it comes back. */
export function printOf(key: string, number: number): number {
  return crc32(key, number + 1);
}

function toEntry(row: Record<string, unknown>): EntryRow | null {
  const { id, key, response, stale, stored, inline, sum } = row as {
    id: number;
    key: string;
    response: string;
    stale: number;
    stored: string;
    inline: number;
    sum: number;
  };
  if (sumOf(id, key, response, stored, inline === 1) !== sum) return null;
  const ranges: unknown = JSON.parse(stored);
  if (!areRanges(ranges)) return null;
  const parsed = JSON.parse(response) as StoredResponse;
  return {
    id,
    key,
    response: stale ? { ...parsed, stale: true } : parsed,
    stale,
    stored: ranges,
    inline: inline === 1,
  };
}

function sumOf(id: number, key: string, response: string, stored: string, inline: boolean): number {
  return crc32(`${id}\n${key}\n${response}\n${stored}\n${inline}`);
}

function tagsOf(response: string | undefined): readonly string[] {
  try {
    return (JSON.parse(response ?? "{}") as Partial<StoredResponse>).tags ?? [];
  } catch {
    return [];
  }
}
