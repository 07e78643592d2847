/**
 * How many bytes each place has served this month, as the proxies tell it.
 *
 * Each (reporter, month, provider, region, server) is a grow-only counter: a report carries the reporter's whole
 * count so far, and the larger one counts. So a report may come twice, late, or after one that was lost, and two
 * pricing servers could be made equal by taking the larger of each counter.
 */
import type { DatabaseSync } from "node:sqlite";
import { create } from "@bufbuild/protobuf";
import { badRequest, wire } from "../proto/mod.ts";
import { transaction } from "./database.ts";

/** How far a reporter's clock may be ahead of ours, in milliseconds. */
const MAX_AHEAD_MS = 86_400_000;

/** How many totals are remembered; a quote asks for at most a thousand. */
const MOST_TOTALS = 10_000;

/** The billing month of a time in milliseconds since 1970: in UTC, such as "2026-11". */
export function monthOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 7);
}

/** The counters of one pricing server. */
export class UsageBook {
  readonly #database: DatabaseSync;
  /** Totals that were asked for since the last report, by the pool's key. */
  readonly #totals = new Map<string, bigint>();

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /**
   * Takes a report in, all of it or nothing.
   * @throws {CdnError} 400 where its month has not begun yet: its bytes would wait there for the month to come.
   */
  report({ reporter, month, counts }: wire.UsageReport, nowMs: number): void {
    if (month > monthOf(nowMs + MAX_AHEAD_MS)) {
      const detail = `must not be after ${monthOf(nowMs)}: is the reporter's clock right?`;
      throw badRequest(`Malformed UsageReport: month ${detail}`, { fields: [{ field: "month", detail }] });
    }
    const grow = this.#database.prepare(`
      INSERT INTO counters (month, provider, region, server, reporter, bytes) VALUES (?, ?, ?, ?, ?, ?)
      ON CONFLICT DO UPDATE SET bytes = excluded.bytes WHERE excluded.bytes > bytes`);
    this.#totals.clear();
    transaction(this.#database, () => {
      for (const { place, bytes } of counts) {
        grow.run(month, place!.provider, place!.region, place!.server, reporter, bytes);
      }
    });
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
