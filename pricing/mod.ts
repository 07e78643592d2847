/**
 * The pricing server: what each cloud charges for the next byte.
 *
 * @example
 * ```ts
 * const pricing = createPricing({ folder: ".metacdn/pricing" });
 * const listening = listen({ hostname: "127.0.0.1", port: 8090 }, pricing.handler, { log, token: null });
 * ```
 * @module
 */
import type { wire } from "../proto/mod.ts";
import { Guard, noSecrets, type Secrets } from "../runtime/guard.ts";
import type { Handler } from "../runtime/listen.ts";
import { type Logger, silentLogger } from "../runtime/log.ts";
import { Book } from "./book.ts";
import { openDatabase } from "./database.ts";
import { createHandler } from "./handler.ts";
import { seedSheets } from "./seed.ts";
import { UsageBook } from "./usage.ts";

export { confidenceText, moneyText, sizeText, unitText } from "./text.ts";

/** What a pricing server needs; each has a default. */
export interface PricingOptions {
  /** Where its database lives, made where it is missing; without one (and without `database`) nothing outlives it. */
  folder?: string;
  /** Its database's file, in place of `folder`; ":memory:" for none. */
  database?: string;
  /** The token and the cluster key; none unless told, and then on loopback only. */
  secrets?: Secrets;
  /** Milliseconds since 1970. */
  now?: () => number;
  /** Where events go; nowhere unless told. */
  log?: Logger;
  /** Over how many bytes a server's hourly price is spread where its sheet does not say. */
  expectedBytesPerHour?: number;
  /** The sheets that it starts from: public list prices unless told. */
  seed?: readonly wire.Sheet[];
}

/** A pricing server that is not listening yet. */
export interface Pricing {
  /** Answers requests; for `listen` of `runtime/listen.ts`. */
  readonly handler: Handler;
  /** Closes the database. */
  close(): void;
}

/** Bytes that a server is expected to carry in an hour, unless told: 22 Mbit/s on average. */
export const EXPECTED_BYTES_PER_HOUR = 10_000_000_000;

/**
 * Opens the database, and makes the handler.
 * @throws {RangeError} where `expectedBytesPerHour` is not a whole number above 0.
 * @throws {CdnError} where the database cannot be opened.
 */
export function createPricing({
  folder,
  database: path = folder === undefined ? ":memory:" : `${folder}/pricing.sqlite`,
  secrets = noSecrets,
  now = Date.now,
  log = silentLogger,
  expectedBytesPerHour = EXPECTED_BYTES_PER_HOUR,
  seed = seedSheets(),
}: PricingOptions = {}): Pricing {
  if (!Number.isSafeInteger(expectedBytesPerHour) || expectedBytesPerHour < 1) {
    throw new RangeError("expectedBytesPerHour must be a whole number above 0");
  }
  const database = openDatabase(path);
  const handler = createHandler({
    book: new Book(database, seed),
    usage: new UsageBook(database),
    guard: new Guard(secrets, { now }),
    secrets,
    now,
    log,
    expectedBytesPerHour: BigInt(expectedBytesPerHour),
    checkDatabase: () => void database.prepare("SELECT count(*) FROM sqlite_schema").get(),
  });
  return { handler, close: () => database.close() };
}
