/** Money and sizes in words, exact: nothing is rounded. */
import { wire } from "../proto/mod.ts";

/** Nano-units as a decimal of the currency, exact: `$0.0085`, `0.001 EUR`. */
export function moneyText(nano: bigint, currency: string): string {
  const digits = nano.toString().padStart(10, "0");
  const fraction = digits.slice(-9).replace(/0+$/, "");
  const amount = `${digits.slice(0, -9)}${fraction && `.${fraction}`}`;
  return currency === "" || currency === "USD" ? `$${amount}` : `${amount} ${currency}`;
}

const UNITS: [bigint, string][] = [
  [1024n ** 4n, "TiB"],
  [1024n ** 3n, "GiB"],
  [10n ** 12n, "TB"],
  [10n ** 9n, "GB"],
  [10n ** 6n, "MB"],
];

/** A size in the largest unit that divides it, so that nothing is rounded; else in bytes. */
export function sizeText(bytes: bigint): string {
  const unit = UNITS.find(([size]) => bytes >= size && bytes % size === 0n);
  return unit ? `${bytes / unit[0]} ${unit[1]}` : `${bytes} bytes`;
}

/** The unit by which a sheet's prices are. */
export function unitText(sheet: wire.Sheet): "GB" | "GiB" {
  return sheet.unitBytes === 1_073_741_824n ? "GiB" : "GB";
}

/** How far to trust a sheet; one of LOW confidence is called unverified, never given as fact. */
export function confidenceText(sheet: wire.Sheet): string {
  return { [wire.Confidence.LOW]: "unverified", [wire.Confidence.MEDIUM]: "medium", [wire.Confidence.HIGH]: "high" }[
    sheet.confidence as number
  ] ?? "";
}
