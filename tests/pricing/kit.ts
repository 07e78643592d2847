/** What the tests of the pricing server share: a sheet to vary, and a server without a socket. */
import { create, type DescMessage, type Message, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import type { DatabaseSync } from "node:sqlite";
import { type Codec, HybridClock, jsonCodec, wire } from "../../proto/mod.ts";
import { Book } from "../../pricing/book.ts";
import { createPricing, type PricingOptions } from "../../pricing/mod.ts";
import { Sequence } from "../../pricing/sequence.ts";
import { UsageBook } from "../../pricing/usage.ts";
import { silentLogger } from "../../runtime/log.ts";
import { problemResponse } from "../../runtime/problem.ts";

export const GB = 1_000_000_000n;
export const GIB = 1_073_741_824n;
/** 2026-11-22T12:00:00Z. */
export const NOON = Date.UTC(2026, 10, 22, 12);

/** A sheet that passes every rule: 10 GB free, 0.09 $/GB to 100 GB, then 0.05. */
export function sampleSheet(init: MessageInitShape<typeof wire.SheetSchema> = {}): wire.Sheet {
  return create(wire.SheetSchema, {
    provider: "cloud",
    region: "here-1",
    unitBytes: GB,
    freeBytes: 10n * GB,
    tiers: [{ upToBytes: 100n * GB, nanoPerUnit: 90_000_000n }, { nanoPerUnit: 50_000_000n }],
    pool: wire.Pool.REGION,
    source: "a test",
    asOf: "2026-11-22",
    confidence: wire.Confidence.HIGH,
    ...init,
  });
}

/** What a test sends; `message` is encoded with `codec`, `raw` goes out as it is. */
export interface Question {
  method?: string;
  message?: [DescMessage, Message];
  raw?: BodyInit;
  headers?: Record<string, string>;
  codec?: Codec;
}

/** A pricing server that is asked without a socket. */
export interface TestPricing extends Disposable {
  ask(path: string, question?: Question): Promise<Response>;
  /** Asks, and decodes the answer in `codec`. */
  read<Answer extends DescMessage>(path: string, answer: Answer, question?: Question): Promise<MessageShape<Answer>>;
}

export function startPricing(options: PricingOptions = {}): TestPricing {
  const { handler, close } = createPricing({ now: () => NOON, ...options });
  const ask: TestPricing["ask"] = async (path, { method, message, raw, headers = {}, codec = jsonCodec } = {}) => {
    const body = message ? codec.encode(message[0], message[1]) : raw;
    const request = new Request(`http://127.0.0.1:8090${path}`, {
      method: method ?? (body === undefined ? "GET" : "POST"),
      headers: {
        accept: codec.mediaType,
        ...(body === undefined ? {} : { "content-type": codec.mediaType }),
        ...headers,
      },
      ...(body === undefined ? {} : { body }),
    });
    const remoteAddr: Deno.NetAddr = { transport: "tcp", hostname: "192.0.2.7", port: 40_000 };
    try {
      return await handler(request, { remoteAddr, completed: Promise.resolve() });
    } catch (error) {
      return problemResponse(error, silentLogger);
    }
  };
  return {
    ask,
    async read(path, answer, question = {}) {
      const response = await ask(path, question);
      const bytes = new Uint8Array(await response.arrayBuffer());
      if (!response.ok) throw new Error(`${response.status}: ${new TextDecoder().decode(bytes)}`);
      return (question.codec ?? jsonCodec).decode(answer, bytes);
    },
    [Symbol.dispose]: close,
  };
}

/** A temporary folder that goes away with its scope. */
export function temporaryFolder(): Disposable & { path: string } {
  const path = Deno.makeTempDirSync({ prefix: "metacdn-pricing-" });
  return { path, [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }) };
}

/** A book over a database, with a clock and a log of its own. */
export function openBook(database: DatabaseSync, seed: readonly wire.Sheet[] = [], id = "here"): Book {
  return new Book(database, { seed, clock: new HybridClock(id), sequence: new Sequence(database) });
}

/** The counters of a database, with a log of their own. */
export function openUsage(database: DatabaseSync): UsageBook {
  return new UsageBook(database, new Sequence(database));
}
