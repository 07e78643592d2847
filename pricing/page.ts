/** The prices as a page for people. */
import { wire } from "../proto/mod.ts";
import { escapeHtml } from "../runtime/page.ts";
import { confidenceText, moneyText, sizeText, unitText } from "./text.ts";

/** All sheets as one table. A sheet of LOW confidence is shown as unverified, never as fact. */
export function pricesPage(sheets: readonly wire.Sheet[]): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Prices · metacdn</title>
<style>${STYLE}</style>
<h1>What the next byte costs</h1>
<p>${sheets.length} price sheets. Tiers count a month's bytes from the first one; the free ones come first.
A price that is marked <b class="unverified">unverified</b> was seen in one secondary source only: check it before you rely on it.</p>
<div class="scroll" tabindex="0" role="region" aria-label="Price sheets"><table>
<thead><tr><th>Provider<th>Region<th>Free a month<th>Price by tier<th>Counted over<th>Server an hour<th>Confidence<th>Source</tr></thead>
<tbody>
${sheets.map(row).join("\n")}
</tbody>
</table></div>
</html>
`;
}

const STYLE = `
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; color: #222; background: #fff }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid #ddd }
td small { color: #666 } .unverified { color: #a40 } .high { color: #060 } .num { white-space: nowrap }
td:nth-child(2), td:nth-child(3) { white-space: nowrap } td:last-child { min-width: 18rem }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 } th, td { border-color: #444 }
td small { color: #999 } .unverified { color: #fa6 } .high { color: #7c7 } }`;

const POOL: Record<number, string> = {
  [wire.Pool.REGION]: "the region",
  [wire.Pool.PROVIDER]: "the provider",
  [wire.Pool.SERVER]: "each server",
};

function row(sheet: wire.Sheet): string {
  const cells = [
    escapeHtml(sheet.provider),
    escapeHtml(sheet.region),
    sheet.freeBytes === 0n ? "none" : sizeText(sheet.freeBytes),
    sheet.tiers.map((tier) => tierText(sheet, tier)).join("<br>"),
    POOL[sheet.pool] ?? "",
    sheet.serverNanoPerHour === 0n ? "unknown" : escapeHtml(moneyText(sheet.serverNanoPerHour, sheet.currency)),
    `<b class="${confidenceText(sheet)}">${confidenceText(sheet)}</b>`,
    `${escapeHtml(sheet.source)}${sheet.asOf ? `, ${escapeHtml(sheet.asOf)}` : ""}<br><small>${
      [sheet.note, writtenText(sheet)].filter(Boolean).map(escapeHtml).join("<br>")
    }</small>`,
  ];
  return `<tr>${cells.map((cell) => `<td>${cell}`).join("")}</tr>`;
}

function tierText(sheet: wire.Sheet, { upToBytes, nanoPerUnit }: wire.Tier): string {
  const price = `${escapeHtml(moneyText(nanoPerUnit, sheet.currency))}/${unitText(sheet)}`;
  return `<span class="num">${upToBytes === undefined ? "" : `to ${sizeText(upToBytes)}: `}${price}</span>`;
}

function writtenText(sheet: wire.Sheet): string {
  if (sheet.updatedMs <= 0n) return "";
  return `Written ${new Date(Number(sheet.updatedMs)).toISOString()} by ${sheet.updatedBy}`;
}
