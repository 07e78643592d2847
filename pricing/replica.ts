/**
 * How pricing servers are kept equal, without the network: what one says to another ({@link Replica.tell}) and what it
 * makes of what it hears ({@link Replica.take}).
 *
 * All that is exchanged is a state-based CRDT (`book.ts`, `usage.ts`): it may come twice, late and in any order. So an
 * exchange need not be exact, only complete in the end: each side tells what lies in its log beyond the place that the
 * other one has taken in, a page at a time. A digest of all that each holds goes with it; where the logs were told to
 * their ends and the digests still differ (an old backup was put back, an entry had been refused), all is told again.
 */
import type { DatabaseSync } from "node:sqlite";
import { create } from "@bufbuild/protobuf";
import { wire } from "../proto/mod.ts";
import type { Book } from "./book.ts";
import { transaction } from "./database.ts";
import type { Identity } from "./identity.ts";
import type { Sequence } from "./sequence.ts";
import { SetDigest } from "./set_digest.ts";
import type { UsageBook } from "./usage.ts";

/** Sheets and counters in one message; together they stay well below `MESSAGE_LIMIT`, as JSON too. */
const MOST_SHEETS_A_PAGE = 60;
const MOST_COUNTERS_A_PAGE = 800;

/** A log is taken in anew, because digests differ, no more often than this. */
const AGAIN_MS = 60_000;

/** What came of a message. */
export interface Taken {
  /** Something of it was news. */
  changed: boolean;
  /** Why some of it was not taken. */
  refused: string[];
  /** The sender's log is to be taken in from its beginning: all was told, and the digests differ. */
  again: boolean;
}

/** What a {@link Replica} keeps equal. */
export interface ReplicaParts {
  database: DatabaseSync;
  identity: Identity;
  sequence: Sequence;
  book: Book;
  usage: UsageBook;
}

/** One of several pricing servers that hold the same. */
export class Replica {
  readonly #parts: ReplicaParts;
  /** When each log was last taken in anew. */
  readonly #againMs = new Map<string, number>();

  constructor(parts: ReplicaParts) {
    this.#parts = parts;
  }

  /** Who we are. */
  get identity(): Identity {
    return this.#parts.identity;
  }

  /** The end of our own log. */
  get head(): number {
    return this.#parts.sequence.head;
  }

  /** Up to where another server's log has been taken in; 0 for one that was never heard of. */
  position(log: string): number {
    const row = this.#parts.database.prepare("SELECT seq FROM positions WHERE log = ?").get(log);
    return (row?.seq ?? 0) as number;
  }

  /** Of all that is held here. */
  digest(nowMs: number): Uint8Array<ArrayBuffer> {
    const all = new SetDigest();
    all.unite(this.#parts.book.digest);
    all.unite(this.#parts.usage.digest(nowMs));
    return all.bytes;
  }

  /**
   * What to say to the holder of a log (null where it is not known yet), which has taken in ours up to `theyHave`; a
   * page of what lies beyond that, or none of it where null.
   */
  tell(theirLog: string | null, theyHave: number | null, nowMs: number): wire.PriceExchange {
    const { identity, book, usage } = this.#parts;
    const head = this.head;
    // More than there is: our database is an older one than it was.
    const after = theyHave !== null && theyHave <= head ? theyHave : 0;
    const page = theyHave === null ? { upTo: 0, sheets: [], usage: [] } : pageOf(
      head,
      [book.after(after, MOST_SHEETS_A_PAGE), MOST_SHEETS_A_PAGE],
      [usage.after(after, MOST_COUNTERS_A_PAGE, nowMs), MOST_COUNTERS_A_PAGE],
    );
    return create(wire.PriceExchangeSchema, {
      from: identity.id,
      log: identity.log,
      after: BigInt(after),
      upTo: BigInt(page.upTo),
      head: BigInt(head),
      sheets: page.sheets,
      usage: page.usage,
      yourLog: theirLog ?? "",
      have: BigInt(theirLog === null ? 0 : this.position(theirLog)),
      digest: this.digest(nowMs),
    });
  }

  /** Takes in a checked message: what of it is news, and how far its sender's log is known by it. */
  take(message: wire.PriceExchange, nowMs: number): Taken {
    const { book, usage, identity } = this.#parts;
    const { log } = message;
    const [after, upTo, head] = [message.after, message.upTo, message.head].map(Number) as [number, number, number];
    const headBefore = this.head;
    const sheets = book.merge(message.sheets, nowMs);
    const counters = usage.merge(message.usage, nowMs);
    const changed = sheets.taken + counters.taken > 0;

    const before = this.position(log);
    // Beyond its end: the sender's database is an older one than it was.
    let position = before > head ? 0 : before;
    if (after <= position && upTo > position) position = upTo;
    const told = position === head && message.yourLog === identity.log && Number(message.have) === headBefore;
    const again = told && !changed && !this.equals(message, nowMs) &&
      nowMs - (this.#againMs.get(log) ?? -Infinity) >= AGAIN_MS;
    if (again) {
      this.#againMs.set(log, nowMs);
      position = 0;
    }
    if (position !== before) this.#setPosition(log, position);
    return { changed, refused: [...sheets.refused, ...counters.refused], again };
  }

  /** True where the sender held just what is held here. */
  equals({ digest }: wire.PriceExchange, nowMs: number): boolean {
    return this.digest(nowMs).every((byte, at) => byte === digest[at]);
  }

  #setPosition(log: string, position: number): void {
    const { database } = this.#parts;
    transaction(
      database,
      () => database.prepare("INSERT OR REPLACE INTO positions (log, seq) VALUES (?, ?)").run(log, position),
    );
  }
}

interface Found<Entry> {
  seq: number;
  entry: Entry;
}

/** Up to where both kinds are whole: where one was cut short, the other is cut there too. */
function pageOf(
  head: number,
  [sheets, mostSheets]: [Found<wire.SheetEntry>[], number],
  [usage, mostUsage]: [Found<wire.UsageEntry>[], number],
) {
  const end = (found: Found<unknown>[], most: number) => found.length < most ? head : found.at(-1)!.seq;
  const upTo = Math.min(end(sheets, mostSheets), end(usage, mostUsage));
  const within = <Entry>(found: Found<Entry>[]) => found.filter(({ seq }) => seq <= upTo).map(({ entry }) => entry);
  return { upTo, sheets: within(sheets), usage: within(usage) };
}
