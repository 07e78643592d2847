/**
 * How many bytes each place has served this month, as the proxies tell it.
 *
 * Each (reporter, month, provider, region, server) is a grow-only counter: a report carries the reporter's whole
 * count so far, and the larger one counts. So a report may come twice, late, or after one that was lost, and pricing
 * servers are made equal by taking the larger of each counter (a state-based grow-only counter: M. Shapiro et al.,
 * 2011, §3.1.1).
 */
import type { DatabaseSync } from "node:sqlite";
import { create } from "@bufbuild/protobuf";
import { badRequest, messageFaults, wire } from "../proto/mod.ts";
import type { Merged } from "./book.ts";
import { transaction } from "./database.ts";
import type { Sequence } from "./sequence.ts";
import { SetDigest } from "./set_digest.ts";

/** How far a reporter's clock may be ahead of ours, in milliseconds. */
const MAX_AHEAD_MS = 86_400_000;

/** How many months are open: counters of earlier ones do not grow any more. */
const OPEN_MONTHS = 24;

/** How many totals are remembered; a quote asks for at most a thousand. */
const MOST_TOTALS = 10_000;

/** The billing month of a time in milliseconds since 1970: in UTC, such as "2026-11". */
export function monthOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 7);
}

/** The months whose counters may grow, the first and the last. */
function openMonths(nowMs: number): [first: string, last: string] {
  const now = new Date(nowMs);
  const first = Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - OPEN_MONTHS, 1);
  return [monthOf(first), monthOf(nowMs + MAX_AHEAD_MS)];
}

/** One counter. */
type Count = Pick<wire.UsageEntry, "reporter" | "month" | "place" | "bytes">;

/** The counters of one pricing server. */
export class UsageBook {
  readonly #database: DatabaseSync;
  readonly #sequence: Sequence;
  /** Of the counters, by month. */
  readonly #digests = new Map<string, SetDigest>();
  /** Totals that were asked for since the last report, by the pool's key. */
  readonly #totals = new Map<string, bigint>();

  constructor(database: DatabaseSync, sequence: Sequence) {
    this.#database = database;
    this.#sequence = sequence;
    const all = database.prepare("SELECT * FROM counters");
    for (const row of all.iterate() as Iterable<unknown> as Iterable<CounterRow>) this.#toggle(row, row.bytes);
  }

  /**
   * Takes a report in, all of it or nothing. True where some counter grew by it.
   * @throws {CdnError} 400 where its month has not begun yet (its bytes would wait there for the month to come), or is
   * too long ago.
   */
  report({ reporter, month, counts }: wire.UsageReport, nowMs: number): boolean {
    const detail = monthFault(month, nowMs);
    if (detail !== null) {
      throw badRequest(`Malformed UsageReport: month ${detail}`, { fields: [{ field: "month", detail }] });
    }
    return this.#grow(counts.map(({ place, bytes }) => ({ reporter, month, place, bytes }))) > 0;
  }

  /** Takes from a peer's entries what is news, all of it or nothing where there is no room. */
  merge(entries: readonly wire.UsageEntry[], nowMs: number): Merged {
    const refused: string[] = [];
    const sound = entries.filter((entry) => {
      const [fault] = messageFaults(wire.UsageEntrySchema, entry);
      const detail = monthFault(entry.month, nowMs);
      const why = fault ? `${fault.field} ${fault.detail}` : detail && `month ${detail}`;
      if (why) refused.push(`a count of ${entry.reporter.slice(0, 64) || "nobody"}: ${why}`);
      return !why;
    });
    return { taken: sound.length > 0 ? this.#grow(sound) : 0, refused };
  }

  /** What lies beyond a place in the log, in its order, of the months that are open; at most so many. */
  after(seq: number, most: number, nowMs: number): { seq: number; entry: wire.UsageEntry }[] {
    const rows = this.#database.prepare(
      "SELECT * FROM counters WHERE seq > ? AND month BETWEEN ? AND ? ORDER BY seq LIMIT ?",
    ).all(seq, ...openMonths(nowMs), most) as unknown as CounterRow[];
    return rows.map(({ seq, reporter, month, provider, region, server, bytes }) => {
      const place = { provider, region, server };
      return { seq, entry: create(wire.UsageEntrySchema, { reporter, month, place, bytes: BigInt(bytes) }) };
    });
  }

  /** The same where two hold the same counters of the open months. */
  digest(nowMs: number): SetDigest {
    const [first, last] = openMonths(nowMs);
    const all = new SetDigest();
    for (const [month, digest] of this.#digests) if (month >= first && month <= last) all.unite(digest);
    return all;
  }

  /** How many counters grew. */
  #grow(counts: readonly Count[]): number {
    this.#totals.clear();
    const known = this.#database.prepare(`
      SELECT bytes FROM counters WHERE month = ? AND provider = ? AND region = ? AND server = ? AND reporter = ?`);
    const grow = this.#database.prepare(`
      INSERT INTO counters (month, provider, region, server, reporter, bytes, seq) VALUES (?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT DO UPDATE SET bytes = excluded.bytes, seq = excluded.seq`);
    const grown = transaction(this.#database, () =>
      counts.flatMap(({ reporter, month, place, bytes }) => {
        const { provider, region, server } = place!;
        const before = known.get(month, provider, region, server, reporter)?.bytes as number | undefined;
        if (before !== undefined && bytes <= before) return [];
        grow.run(month, provider, region, server, reporter, bytes, this.#sequence.next());
        return [{ key: { month, provider, region, server, reporter }, before, bytes }];
      }));
    for (const { key, before, bytes } of grown) {
      if (before !== undefined) this.#toggle(key, before);
      this.#toggle(key, bytes);
    }
    return grown.length;
  }

  #toggle({ month, provider, region, server, reporter }: CounterKey, bytes: number | bigint): void {
    let digest = this.#digests.get(month);
    if (!digest) this.#digests.set(month, digest = new SetDigest());
    digest.toggle("usage", month, provider, region, server, reporter, bytes);
  }

  /** Bytes of a month in the pool to which a place belongs, over all reporters. */
  used(month: string, pool: wire.Pool, { provider, region, server }: wire.Place): bigint {
    const keys = [month, provider];
    if (pool !== wire.Pool.PROVIDER) keys.push(region);
    if (pool === wire.Pool.SERVER) keys.push(server);
    const cached = this.#totals.get(keys.join("/"));
    if (cached !== undefined) return cached;
    const where = ["month", "provider", "region", "server"].slice(0, keys.length).map((name) => `${name} = ?`);
    const bytes = total(this.#rows(`SELECT ${SUM} FROM counters WHERE ${where.join(" AND ")}`, keys)[0]);
    if (this.#totals.size >= MOST_TOTALS) this.#totals.clear();
    this.#totals.set(keys.join("/"), bytes);
    return bytes;
  }

  /** The totals of a month by place, over all reporters. */
  list(month: string): wire.UsageCount[] {
    const rows = this.#rows(
      `SELECT provider, region, server, ${SUM} FROM counters WHERE month = ? GROUP BY provider, region, server`,
      [month],
    );
    return rows.map((row) => {
      const { provider, region, server } = row as unknown as wire.Place;
      return create(wire.UsageCountSchema, { place: { provider, region, server }, bytes: total(row) });
    });
  }

  #rows(sql: string, keys: string[]): SumRow[] {
    const statement = this.#database.prepare(sql);
    statement.setReadBigInts(true);
    return statement.all(...keys) as unknown as SumRow[];
  }
}

interface CounterKey {
  month: string;
  provider: string;
  region: string;
  server: string;
  reporter: string;
}

interface CounterRow extends CounterKey {
  /** The rules keep it below 2^53. */
  bytes: number;
  seq: number;
}

/** Why a counter of this month cannot grow; null where it can. */
function monthFault(month: string, nowMs: number): string | null {
  const [first, last] = openMonths(nowMs);
  if (month > last) return `must not be after ${monthOf(nowMs)}: is the reporter's clock right?`;
  if (month < first) return `must not be before ${first}: bills of that time are settled`;
  return null;
}

/** In two halves: a sum of large counters would overflow SQLite's 64-bit integers, which is an error there. */
const SUM = "sum(bytes >> 32) AS high, sum(bytes & 4294967295) AS low";

interface SumRow {
  high: bigint | null;
  low: bigint | null;
}

function total(row: SumRow | undefined): bigint {
  const bytes = ((row?.high ?? 0n) << 32n) + (row?.low ?? 0n);
  return BigInt.asUintN(64, bytes) === bytes ? bytes : 2n ** 64n - 1n;
}
