/** A quote: what the next bytes from one place would cost, each part shown. Pure. */
import { create } from "@bufbuild/protobuf";
import { wire } from "../proto/mod.ts";
import { bytesUntilChange, marginalNano, nanoPerGb, serverNano, serverNanoPerGb } from "./tiers.ts";

/** What a quote is made from. */
export interface QuoteInput {
  place: wire.Place;
  /** How many more bytes. */
  bytes: bigint;
  /** Null where there is none for the place. */
  sheet: wire.Sheet | null;
  /** This month's bytes in the pool that the sheet names. */
  used: bigint;
  /** Where the sheet does not say over how many bytes an hour the server's cost is spread. */
  expectedBytesPerHour: bigint;
}

/** What the next `bytes` bytes from a place would cost; with `error` set where that cannot be said. */
export function quote({ place, bytes, sheet, used, expectedBytesPerHour }: QuoteInput): wire.Quote {
  if (!sheet) {
    return create(wire.QuoteSchema, { place, error: `There is no price sheet for ${place.provider}/${place.region}` });
  }
  const egressNano = marginalNano(sheet, used, bytes);
  const ofServer = serverNano(sheet, used, bytes, expectedBytesPerHour);
  const prices = {
    priceNano: egressNano + ofServer,
    egressNano,
    serverNano: ofServer,
    egressNanoPerGb: nanoPerGb(sheet, used),
    serverNanoPerGb: serverNanoPerGb(sheet, expectedBytesPerHour),
  };
  const about = { place, usedBytes: used, confidence: sheet.confidence, source: sheet.source, asOf: sheet.asOf };
  if (Object.values(prices).some((nano) => BigInt.asIntN(64, nano) !== nano)) {
    // Nine thousand million dollars: a sheet may be that wrong, and then no number may be made up for it.
    return create(wire.QuoteSchema, {
      ...about,
      error: "The price is too large to tell: more than 9223372036 dollars",
    });
  }
  const untilChange = bytesUntilChange(sheet, used);
  return create(wire.QuoteSchema, {
    ...about,
    ...prices,
    ...(untilChange === null ? {} : { bytesUntilChange: untilChange }),
  });
}
