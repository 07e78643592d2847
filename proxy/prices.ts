/** The last quotes, and how far to trust them. Pure but for what it remembers; time is an argument. */
import { wire } from "../proto/mod.ts";

/** "fresh": asked lately; "stale": the pricing server is away and the last ones stand; "none": there are none. */
export type PriceState = "fresh" | "stale" | "none";

/** What one server's bytes cost. */
export interface Price {
  egressNanoPerGb: number;
  serverNanoPerGb: number;
  /** "high", "medium" or "low". */
  confidence: string;
  /** Bytes until it changes; null where it never does. */
  bytesUntilChange: number | null;
}

/** Where bytes come from: a server of a provider in a region. */
export interface PlaceOf {
  provider: string;
  region: string;
  id: string;
}

const CONFIDENCE: Record<wire.Confidence, string> = {
  [wire.Confidence.CONFIDENCE_UNSPECIFIED]: "low",
  [wire.Confidence.LOW]: "low",
  [wire.Confidence.MEDIUM]: "medium",
  [wire.Confidence.HIGH]: "high",
};

/** A table of quotes. */
export class Prices {
  #byPlace = new Map<string, Price>();
  #answeredMs: number | null = null;

  /** @param freshForMs how long an answer counts as fresh */
  constructor(readonly freshForMs: number) {}

  /** Takes an answer in: it replaces all before it. A quote with an error is no price. */
  learn(answer: wire.QuoteAnswer, nowMs: number): void {
    this.#byPlace = new Map(
      answer.quotes.filter((quote) => quote.error === "" && quote.place).map((quote) => [
        keyOf({ ...quote.place!, id: quote.place!.server }),
        {
          egressNanoPerGb: Number(quote.egressNanoPerGb),
          serverNanoPerGb: Number(quote.serverNanoPerGb),
          confidence: CONFIDENCE[quote.confidence] ?? "low",
          bytesUntilChange: quote.bytesUntilChange === undefined ? null : Number(quote.bytesUntilChange),
        },
      ]),
    );
    this.#answeredMs = nowMs;
  }

  /** The price of a server's bytes; null where there is none. */
  of(place: PlaceOf): Price | null {
    return this.#byPlace.get(keyOf(place)) ?? null;
  }

  /** By the age of the last answer. */
  state(nowMs: number): PriceState {
    if (this.#answeredMs === null || this.#byPlace.size === 0) return "none";
    return nowMs - this.#answeredMs <= this.freshForMs ? "fresh" : "stale";
  }
}

function keyOf({ provider, region, id }: PlaceOf): string {
  return `${provider} ${region} ${id}`;
}
