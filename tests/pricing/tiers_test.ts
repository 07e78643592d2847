import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { messageFaults, wire } from "../../proto/mod.ts";
import {
  bytesUntilChange,
  cumulativeNano,
  marginalNano,
  nanoPerGb,
  serverNano,
  serverNanoPerGb,
} from "../../pricing/tiers.ts";
import { GB, GIB, sampleSheet } from "./kit.ts";

const TB = 1000n * GB;
const DOLLAR = 1_000_000_000n;

const aws = sampleSheet({
  freeBytes: 100n * GB,
  tiers: [
    { upToBytes: 10n * TB, nanoPerUnit: 90_000_000n },
    { upToBytes: 50n * TB, nanoPerUnit: 85_000_000n },
    { upToBytes: 150n * TB, nanoPerUnit: 70_000_000n },
    { nanoPerUnit: 50_000_000n },
  ],
});

Deno.test("a month's price follows the free allowance and the tiers, from the first byte", () => {
  const table: [bytes: bigint, nano: bigint][] = [
    [0n, 0n],
    [100n * GB, 0n],
    [101n * GB, 90_000_000n],
    [10n * TB, 891n * DOLLAR], // 9,900 GB at 0.09
    [11n * TB, 976n * DOLLAR], // and 1,000 GB at 0.085
    [50n * TB, 4291n * DOLLAR],
    [150n * TB, 11291n * DOLLAR],
    [200n * TB, 13791n * DOLLAR],
  ];
  for (const [bytes, nano] of table) assertEquals(cumulativeNano(aws, bytes), nano, `${bytes} bytes`);
});

Deno.test("a price by the GiB is by the GiB, and is told by the GB", () => {
  const gcp = sampleSheet({
    unitBytes: GIB,
    freeBytes: GIB,
    tiers: [{ upToBytes: 1024n * GIB, nanoPerUnit: 120_000_000n }, { nanoPerUnit: 110_000_000n }],
  });
  assertEquals(cumulativeNano(gcp, 3n * GIB), 240_000_000n);
  assertEquals(nanoPerGb(gcp, GIB), 111_758_709n); // 0.12 / 1.073741824, to the nearest nano-dollar
  assertEquals(bytesUntilChange(gcp, GIB), 1023n * GIB);
});

Deno.test("another currency is converted with the sheet's own rate", () => {
  const hetzner = sampleSheet({
    freeBytes: 20n * TB,
    tiers: [{ nanoPerUnit: 1_000_000n }],
    currency: "EUR",
    nanoUsdPerCurrency: 1_150_000_000n,
  });
  assertEquals(marginalNano(hetzner, 20n * TB, TB), 1_150_000_000n);
  assertEquals(nanoPerGb(hetzner, 20n * TB), 1_150_000n);
});

Deno.test("bytes until the price changes pass over boundaries that change nothing", () => {
  const sheet = sampleSheet({
    freeBytes: 10n * GB,
    tiers: [
      { upToBytes: 4n * GB, nanoPerUnit: 7n }, // inside the free allowance
      { upToBytes: 20n * GB, nanoPerUnit: 5n },
      { upToBytes: 30n * GB, nanoPerUnit: 5n }, // the same price again
      { nanoPerUnit: 3n },
    ],
  });
  assertEquals(bytesUntilChange(sheet, 0n), 10n * GB);
  assertEquals(bytesUntilChange(sheet, 10n * GB), 20n * GB);
  assertEquals(bytesUntilChange(sheet, 30n * GB - 1n), 1n);
  assertEquals(bytesUntilChange(sheet, 30n * GB), null);
  const free = sampleSheet({ freeBytes: 0n, tiers: [{ nanoPerUnit: 0n }] });
  assertEquals(bytesUntilChange(free, 5n), null);
});

Deno.test("a server's hour is spread over the bytes that it is expected to carry", () => {
  const sheet = sampleSheet({ serverNanoPerHour: 36_000_000n, expectedBytesPerHour: 9n * GB });
  assertEquals(serverNano(sheet, 0n, GB, 1n), 4_000_000n);
  assertEquals(serverNanoPerGb(sheet, 1n), 4_000_000n);
  assertEquals(serverNano(sampleSheet({ serverNanoPerHour: 36_000_000n }), 0n, GB, 18n * GB), 2_000_000n);
  assertEquals(serverNano(sampleSheet(), 0n, GB, 18n * GB), 0n, "no server cost is known");
});

const size = fc.bigInt({ min: 0n, max: 2n ** 50n });

/** Sheets of every shape that the rules let pass. */
const anySheet: fc.Arbitrary<wire.Sheet> = fc.record({
  unitBytes: fc.constantFrom(GB, GIB),
  freeBytes: fc.oneof(fc.constant(0n), size),
  bounds: fc.uniqueArray(fc.bigInt({ min: 1n, max: 2n ** 50n }), { maxLength: 5 }),
  prices: fc.array(fc.bigInt({ min: 0n, max: 10n ** 12n }), { minLength: 6, maxLength: 6 }),
  rate: fc.option(fc.bigInt({ min: 1n, max: 10n ** 12n })),
  serverNanoPerHour: fc.bigInt({ min: 0n, max: 10n ** 12n }),
  expectedBytesPerHour: fc.bigInt({ min: 1n, max: 2n ** 50n }),
}).map(({ bounds, prices, rate, ...plain }) =>
  sampleSheet({
    ...plain,
    tiers: [
      ...bounds.sort((a, b) => Number(a - b)).map((upToBytes, at) => ({ upToBytes, nanoPerUnit: prices[at]! })),
      { nanoPerUnit: prices[5]! },
    ],
    ...(rate === null ? {} : { currency: "EUR", nanoUsdPerCurrency: rate }),
  })
);

Deno.test("quotes for consecutive bytes add up exactly to the quote for their sum", () => {
  fc.assert(fc.property(anySheet, size, fc.array(size, { minLength: 1, maxLength: 20 }), (sheet, used, parts) => {
    assertEquals(messageFaults(wire.SheetSchema, sheet), []);
    let [egress, server, at] = [0n, 0n, used];
    for (const bytes of parts) {
      egress += marginalNano(sheet, at, bytes);
      server += serverNano(sheet, at, bytes, 1n);
      at += bytes;
    }
    assertEquals(egress, marginalNano(sheet, used, at - used));
    assertEquals(server, serverNano(sheet, used, at - used, 1n));
  }));
});

Deno.test("a price never falls below 0 and a total never falls as bytes are added", () => {
  fc.assert(fc.property(anySheet, size, fc.bigInt({ min: 0n, max: 5000n }), (sheet, used, bytes) => {
    assert(marginalNano(sheet, used, bytes) >= 0n);
    assert(serverNano(sheet, used, bytes, 1n) >= 0n);
  }));
});

Deno.test("a total is within half a nano-dollar of the sum of the exact prices of its bytes", () => {
  // Another way to the same number: each tier's overlap with the paid bytes, as fractions over one denominator.
  fc.assert(fc.property(anySheet, size, (sheet, bytes) => {
    const rate = sheet.nanoUsdPerCurrency || DOLLAR;
    const denominator = sheet.unitBytes * DOLLAR;
    let numerator = 0n;
    sheet.tiers.forEach((tier, at) => {
      const starts = [sheet.tiers[at - 1]?.upToBytes ?? 0n, sheet.freeBytes];
      const ends = [tier.upToBytes ?? bytes, bytes];
      const from = starts.reduce((a, b) => a > b ? a : b);
      const to = ends.reduce((a, b) => a < b ? a : b);
      if (to > from) numerator += (to - from) * tier.nanoPerUnit * rate;
    });
    const off = cumulativeNano(sheet, bytes) * denominator - numerator;
    assert(2n * off <= denominator && 2n * off > -denominator, `off by ${off}/${denominator}`);
  }));
});

Deno.test("the price by the GB holds for exactly the bytes until it changes", () => {
  fc.assert(fc.property(anySheet, size, (sheet, used) => {
    const until = bytesUntilChange(sheet, used);
    const now = nanoPerGb(sheet, used);
    if (until === null) assertEquals(nanoPerGb(sheet, used + 2n ** 51n), now);
    else {
      assert(until > 0n);
      assertEquals(nanoPerGb(sheet, used + until - 1n), now);
      // By the GiB or in another currency, two prices may differ by less than a nano-dollar a GB, and be told alike.
      if (sheet.unitBytes === GB && sheet.currency === "") assert(nanoPerGb(sheet, used + until) !== now);
    }
  }));
});
