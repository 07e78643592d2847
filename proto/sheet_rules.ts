/** The rules of a price sheet: what tier arithmetic relies on. */
import { between, faults, matching, optional, type Rule, text } from "./check.ts";
import type { FieldError } from "./error.ts";
import type { Sheet } from "./gen/metacdn/v1/pricing_pb.ts";

const identifier = matching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, '1 to 64 letters, digits, ".", "-" or "_"');
/** A million dollars: beyond any price of anything here, and far below overflow. */
const MOST_NANO = 1e15;

/** "2026", "2026-05" or "2026-05-06", and a day that exists. */
const calendarDate: Rule<string> = (value) =>
  /^\d{4}(-\d{2}(-\d{2})?)?$/.test(value) && new Date(value).toJSON()?.startsWith(value)
    ? null
    : 'must be a date such as "2026", "2026-05" or "2026-05-06"';

/** What is wrong with a sheet; empty where nothing is. */
export function sheetFaults(sheet: Sheet): FieldError[] {
  const found = faults<Sheet>(sheet, {
    provider: identifier,
    region: identifier,
    unitBytes: (unit) =>
      unit === 1_000_000_000n || unit === 1_073_741_824n ? null : "must be 1000000000 (GB) or 1073741824 (GiB)",
    freeBytes: between(0),
    pool: (pool) => pool >= 1 && pool <= 3 ? null : 'must be "REGION", "PROVIDER" or "SERVER"',
    currency: optional(matching(/^[A-Z]{3}$/, 'three capital letters (ISO 4217), such as "EUR"')),
    nanoUsdPerCurrency: between(0, 1e12),
    serverNanoPerHour: between(0, MOST_NANO),
    expectedBytesPerHour: between(0),
    source: text(512),
    asOf: optional(calendarDate),
    confidence: (confidence) => confidence >= 1 && confidence <= 3 ? null : 'must be "LOW", "MEDIUM" or "HIGH"',
    note: text(1024),
    tiers: (tiers) => tiers.length >= 1 && tiers.length <= 32 ? null : "must have 1 to 32 entries",
  });
  if ((sheet.currency || "USD") !== "USD" && sheet.nanoUsdPerCurrency === 0n) {
    found.push({ field: "nanoUsdPerCurrency", detail: `must say what one ${sheet.currency} is worth in nano-dollars` });
  }
  if ((sheet.currency || "USD") === "USD" && ![0n, 1_000_000_000n].includes(sheet.nanoUsdPerCurrency)) {
    found.push({ field: "nanoUsdPerCurrency", detail: "must be 1000000000, or left out, where the currency is USD" });
  }
  let before = 0n;
  sheet.tiers.slice(0, 32).forEach((tier, at) => {
    const name = `tiers[${at}]`;
    if (tier.nanoPerUnit < 0n || tier.nanoPerUnit > BigInt(MOST_NANO)) {
      found.push({ field: `${name}.nanoPerUnit`, detail: `must be from 0 to ${MOST_NANO}` });
    }
    const last = at === sheet.tiers.length - 1;
    if (last && tier.upToBytes !== undefined) {
      found.push({
        field: `${name}.upToBytes`,
        detail: "must be left out in the last tier, or bytes beyond it have no price",
      });
    }
    if (!last && tier.upToBytes === undefined) {
      found.push({ field: `${name}.upToBytes`, detail: "must be set in all but the last tier" });
    }
    if (tier.upToBytes !== undefined) {
      if (tier.upToBytes <= before) {
        found.push({ field: `${name}.upToBytes`, detail: `must be above the tier before it (${before})` });
      }
      before = tier.upToBytes;
    }
  });
  return found;
}
