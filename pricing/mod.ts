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
import { encodeHex } from "@std/encoding/hex";
import { type Codec, HybridClock, jsonCodec, type wire } from "../proto/mod.ts";
import { Guard, noSecrets, type Secrets } from "../runtime/guard.ts";
import type { Handler } from "../runtime/listen.ts";
import { type Logger, silentLogger } from "../runtime/log.ts";
import { PeerClient } from "../runtime/peer_client.ts";
import { Book } from "./book.ts";
import { openDatabase } from "./database.ts";
import { createHandler } from "./handler.ts";
import { keepIdentity } from "./identity.ts";
import { Peers } from "./peers.ts";
import { Replica } from "./replica.ts";
import { seedSheets } from "./seed.ts";
import { Sequence } from "./sequence.ts";
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
  /** Its name among its peers; made once and kept in the database unless given. */
  id?: string | null;
  /** Base URLs of other pricing servers that are kept equal with this one; none unless told. */
  peers?: readonly string[];
  /** How often something is exchanged with each of them where nothing changed, in milliseconds; 5000 unless told. */
  peerIntervalMs?: number;
  /** What messages to them are sent in; JSON unless told. */
  codec?: Codec;
  /** For messages to them. */
  fetch?: typeof fetch;
  /** From [0, 1): spreads exchanges. */
  random?: () => number;
}

/** A pricing server that is not listening yet. */
export interface Pricing {
  /** Answers requests; for `listen` of `runtime/listen.ts`. */
  readonly handler: Handler;
  /** Its name among its peers. */
  readonly id: string;
  /** Begins to exchange prices and usage with its peers. */
  start(): void;
  /** Closes the database at once; resolves when nothing is under way to a peer any more. */
  close(): Promise<void>;
}

/** Between two exchanges with a peer where nothing changed. */
export const PEER_INTERVAL_MS = 5_000;

/** Bytes that a server is expected to carry in an hour, unless told: 22 Mbit/s on average. */
export const EXPECTED_BYTES_PER_HOUR = 10_000_000_000;

/**
 * Opens the database, and makes the handler.
 * @throws {RangeError} where `expectedBytesPerHour` is not a whole number above 0, or `peerIntervalMs` not above 0.
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
  id = null,
  peers: urls = [],
  peerIntervalMs = PEER_INTERVAL_MS,
  codec = jsonCodec,
  fetch = globalThis.fetch,
  random = Math.random,
}: PricingOptions = {}): Pricing {
  if (!Number.isSafeInteger(expectedBytesPerHour) || expectedBytesPerHour < 1) {
    throw new RangeError("expectedBytesPerHour must be a whole number above 0");
  }
  if (!(peerIntervalMs > 0)) throw new RangeError("peerIntervalMs must be above 0");
  const database = openDatabase(path);
  const identity = keepIdentity(database, id, () => encodeHex(crypto.getRandomValues(new Uint8Array(6))));
  const sequence = new Sequence(database);
  const book = new Book(database, { seed, clock: new HybridClock(identity.id), sequence });
  const usage = new UsageBook(database, sequence);
  const peers = new Peers({
    replica: new Replica({ database, identity, sequence, book, usage }),
    urls,
    client: new PeerClient({ clusterKey: secrets.clusterKey, codec, fetch, now }),
    intervalMs: peerIntervalMs,
    now,
    random,
    log,
  });
  const handler = createHandler({
    book,
    usage,
    peers,
    guard: new Guard(secrets, { now, isOthers: (authority) => peers.isAnother(authority) }),
    secrets,
    now,
    log,
    expectedBytesPerHour: BigInt(expectedBytesPerHour),
    checkDatabase: () => void database.prepare("SELECT count(*) FROM sqlite_schema").get(),
  });
  return {
    handler,
    id: identity.id,
    start: () => peers.start(),
    close() {
      const ended = peers.close();
      database.close();
      return ended;
    },
  };
}
