/**
 * The arithmetic of a price sheet: pure, and in whole numbers throughout.
 *
 * Rounding. The price of a month's first `n` bytes is an exact fraction, with the sheet's unit, its currency
 * and the tiers all in the numerator or the denominator; it is rounded once, at the end, to the nearest
 * nano-dollar (a half goes up). The price of bytes in between is the *difference of two such totals*. So
 * consecutive quotes always add up to the quote for their sum, the total is never further than half a
 * nano-dollar from the exact one however many quotes it was told in, and no price is negative. Rounding each
 * quote by itself would lose or invent up to half a nano-dollar with every small object.
 */
import type { wire } from "../proto/mod.ts";

/** Nano-units in one unit of any currency, and bytes in a GB. */
const BILLION = 1_000_000_000n;

/** A price or a size in nano-dollars or bytes; nothing here rounds but `nearest`. */
type Ratio = { numerator: bigint; denominator: bigint };

/** What one unit of the sheet's currency is worth, in nano-dollars. */
export function nanoUsdPerCurrency(sheet: wire.Sheet): bigint {
  return sheet.nanoUsdPerCurrency === 0n ? BILLION : sheet.nanoUsdPerCurrency;
}

/** Egress price of the month's first `bytes` bytes, in nano-dollars. */
export function cumulativeNano(sheet: wire.Sheet, bytes: bigint): bigint {
  return nearest(exactEgress(sheet, bytes));
}

/** Egress price of the next `bytes` bytes where `used` bytes of this month are behind us, in nano-dollars. */
export function marginalNano(sheet: wire.Sheet, used: bigint, bytes: bigint): bigint {
  return cumulativeNano(sheet, used + bytes) - cumulativeNano(sheet, used);
}

/** Egress price of the very next byte after `used`, as nano-dollars a GB (1e9 bytes). */
export function nanoPerGb(sheet: wire.Sheet, used: bigint): bigint {
  return nearest({
    numerator: pricePerUnit(sheet, used) * nanoUsdPerCurrency(sheet) * BILLION,
    denominator: sheet.unitBytes * BILLION,
  });
}

/** How many bytes after `used` have the next byte's price; null where that price stands for ever. */
export function bytesUntilChange(sheet: wire.Sheet, used: bigint): bigint | null {
  const now = pricePerUnit(sheet, used);
  const boundaries = [sheet.freeBytes, ...sheet.tiers.map((tier) => tier.upToBytes ?? 0n)];
  for (const boundary of boundaries.sort((a, b) => Number(a - b))) {
    // A boundary between two equal prices, or inside the free allowance, changes nothing.
    if (boundary > used && pricePerUnit(sheet, boundary) !== now) return boundary - used;
  }
  return null;
}

/**
 * The server's part of the price of the next `bytes` bytes: its hourly price, spread evenly over the bytes
 * that it is expected to carry in an hour. By the same rule: a difference of two rounded totals.
 * 0 where the sheet does not say what a server costs.
 */
export function serverNano(sheet: wire.Sheet, used: bigint, bytes: bigint, expectedPerHour: bigint): bigint {
  const total = (count: bigint) => nearest(exactServer(sheet, count, expectedPerHour));
  return total(used + bytes) - total(used);
}

/** The server's part, as nano-dollars a GB. */
export function serverNanoPerGb(sheet: wire.Sheet, expectedPerHour: bigint): bigint {
  return nearest(exactServer(sheet, BILLION, expectedPerHour));
}

function exactEgress(sheet: wire.Sheet, bytes: bigint): Ratio {
  let sum = 0n;
  let from = 0n;
  for (const { upToBytes, nanoPerUnit } of sheet.tiers) {
    const to = upToBytes === undefined || upToBytes > bytes ? bytes : upToBytes;
    // Tiers count from the first byte; of each, only what lies beyond the free allowance is paid.
    const paidFrom = from > sheet.freeBytes ? from : sheet.freeBytes;
    if (to > paidFrom) sum += (to - paidFrom) * nanoPerUnit;
    from = to;
    if (to === bytes) break;
  }
  return { numerator: sum * nanoUsdPerCurrency(sheet), denominator: sheet.unitBytes * BILLION };
}

/** `expectedPerHour` is the pricing server's setting; the sheet's own comes first. */
function exactServer(sheet: wire.Sheet, bytes: bigint, expectedPerHour: bigint): Ratio {
  const spreadOver = sheet.expectedBytesPerHour || expectedPerHour;
  if (sheet.serverNanoPerHour === 0n) return { numerator: 0n, denominator: 1n };
  if (spreadOver <= 0n) throw new RangeError("the bytes expected an hour must be above 0");
  return { numerator: sheet.serverNanoPerHour * bytes * nanoUsdPerCurrency(sheet), denominator: spreadOver * BILLION };
}

/** Nano-units of the sheet's currency that `unitBytes` bytes cost at the byte after `used`. */
function pricePerUnit(sheet: wire.Sheet, used: bigint): bigint {
  if (used < sheet.freeBytes) return 0n;
  const tier = sheet.tiers.find(({ upToBytes }) => upToBytes === undefined || used < upToBytes);
  if (!tier) throw new RangeError("the sheet's last tier must have no end");
  return tier.nanoPerUnit;
}

/** A half goes up; both parts are positive or 0. */
function nearest({ numerator, denominator }: Ratio): bigint {
  return (2n * numerator + denominator) / (2n * denominator);
}
