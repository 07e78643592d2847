/** The explanation as a page for people: one file, no script, nothing loaded from anywhere. */
import type { wire } from "../proto/mod.ts";
import { escapeHtml as text } from "../runtime/page.ts";

/** An {@link wire.Explanation} as HTML. */
export function explainPage(explanation: wire.Explanation): string {
  const { path, chosen, policy, weight, secondNano, prices, size, sizeFrom, candidates, reason } = explanation;
  const slowest = Math.max(1e-9, ...candidates.map(({ timeMs }) => timeMs));
  const dearest = Math.max(1e-9, ...candidates.map(({ priceNano }) => priceNano));
  const worth = policy !== "combined"
    ? ""
    : `, weight ${weight} (a second is worth ${secondNano === Infinity ? "any price" : money(secondNano)})`;
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${text(path)} goes to ${text(chosen || "no server")}</title>
<style>${STYLE}</style>
<main>
<p class="path">${text(path)}</p>
<h1>${chosen ? `goes to <b>${text(chosen)}</b>` : "goes nowhere"}</h1>
<p class="reason">${text(reason)}</p>
<dl>
<div><dt>Policy</dt><dd>${text(policy)}${text(worth)}</dd></div>
<div><dt>Prices</dt><dd class="${text(prices)}">${text(prices)}</dd></div>
<div><dt>Size</dt><dd>${bytes(size)}, ${text(sizeFrom)}</dd></div>
</dl>
<div class="scroll"><table>
<thead><tr><th>Server<th>Predicted time<th>Price of these bytes<th class="n">Score<th class="n">Round trip<th class="n">Rate<th class="n">Confidence<th class="n">Egress / GB<th class="n">Server / GB</thead>
<tbody>
${candidates.map((candidate) => row(candidate, chosen, policy, slowest, dearest)).join("\n")}
</tbody>
</table></div>
<form><label>Path <input name="path" value="${text(path)}"></label>
<label>Size in bytes <input name="size" inputmode="numeric" pattern="[0-9]*" placeholder="predicted" value="${
    sizeFrom === "given" ? size : ""
  }"></label> <button>Explain</button></form>
<p class="foot">A lower score is better. The same as JSON: <code>curl -H 'accept: application/json'</code> this address.</p>
</main>
</html>
`;
}

function row(candidate: wire.Candidate, chosen: string, policy: string, slowest: number, dearest: number): string {
  const { id, url, provider, region, timeMs, priceNano, score, excluded, rttMs, bytesPerSecond } = candidate;
  const { confidence, ageMs, egressNanoPerGb, serverNanoPerGb, priceConfidence } = candidate;
  const priced = priceConfidence !== "none";
  const place = `${text(provider)} ${text(region)}`;
  const sample = ageMs < 0 ? "never measured" : `${Math.round(confidence * 100)} %, ${duration(ageMs)} ago`;
  const points = score === Infinity ? "last" : policy === "network" ? `${round(score)} ms` : money(score);
  return `<tr class="${id === chosen ? "chosen" : excluded ? "excluded" : ""}">
<td><b>${text(id)}</b> <small>${place}<br>${text(url)}</small>${
    excluded ? `<br><em>${text(excluded)}</em>` : priced ? "" : "<br><em>no price sheet</em>"
  }
<td data-of="Predicted time">${bar(timeMs / slowest)}${round(timeMs)} ms
<td data-of="Price of these bytes">${priced ? `${bar(priceNano / dearest)}${money(priceNano)}` : "unknown"}
<td class="n" data-of="Score">${points}
<td class="n" data-of="Round trip">${round(rttMs)} ms
<td class="n" data-of="Rate">${bytes(bytesPerSecond)}/s
<td class="n" data-of="Confidence">${sample}
<td class="n" data-of="Egress / GB">${priced ? money(egressNanoPerGb) : "–"}
<td class="n" data-of="Server / GB">${
    priced ? `${money(serverNanoPerGb)} <small>${text(priceConfidence)} confidence</small>` : "–"
  }</tr>`;
}

function bar(share: number): string {
  return `<i class="bar"><i style="width:${Math.max(1, Math.round(share * 100))}%"></i></i>`;
}

/** Nano-dollars, in the unit that reads best. */
function money(nano: number): string {
  if (nano === 0) return "$0";
  if (Math.abs(nano) < 1000) return `${round(nano)} n$`;
  if (Math.abs(nano) < 1e6) return `${round(nano / 1e3)} µ$`;
  return `$${Number((nano / 1e9).toPrecision(3))}`;
}

function bytes(count: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (count >= 1000 && at < units.length - 1) {
    count /= 1000;
    at++;
  }
  return `${round(count)} ${units[at]}`;
}

function duration(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${round(ms / 1000)} s`;
}

function round(value: number): string {
  return value >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));
}

const STYLE = `
:root{color-scheme:light dark;--ink:#1c2330;--soft:#667085;--line:#e4e7ec;--page:#f7f8fa;--card:#fff;--good:#0b7a53;--bad:#b42318;--bar:#9db7e8}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ef;--soft:#98a2b3;--line:#2b3240;--page:#12151b;--card:#191d25;--good:#4cc38a;--bad:#f97066;--bar:#3b5998}}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1180px;margin:0 auto;padding:40px 24px}
.path{margin:0;color:var(--soft);font-family:ui-monospace,monospace;overflow-wrap:anywhere}
h1{margin:0;font-size:30px;font-weight:400}h1 b{color:var(--good)}
.reason{font-size:17px;margin:8px 0 20px}
dl{display:flex;flex-wrap:wrap;gap:8px 36px;margin:0 0 20px}dt{color:var(--soft);font-size:13px}dd{margin:0}
.fresh{color:var(--good)}.stale,.none{color:var(--bad)}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:10px}
table{border-collapse:collapse;width:100%}th,td{padding:10px;text-align:left;vertical-align:top;white-space:nowrap}
th{font-size:13px;font-weight:500;color:var(--soft)}tbody tr{border-top:1px solid var(--line)}
.n small{display:block}.n{text-align:right;font-variant-numeric:tabular-nums}small{color:var(--soft)}em{color:var(--bad);font-style:normal;font-size:13px;white-space:normal}
.chosen td:first-child{box-shadow:inset 4px 0 var(--good)}.excluded{opacity:.65}
.bar{display:block;height:6px;width:96px;margin:8px 0 4px;background:var(--line);border-radius:3px}.bar i{display:block;height:100%;background:var(--bar);border-radius:3px}
.chosen .bar i{background:var(--good)}
form{display:flex;flex-wrap:wrap;gap:10px 16px;margin:20px 0;align-items:end}label{font-size:13px;color:var(--soft)}
input{display:block;font:inherit;color:inherit;padding:6px 10px;border:1px solid var(--line);border-radius:6px;background:var(--card)}
button{font:inherit;padding:7px 16px;border:0;border-radius:6px;background:var(--good);color:var(--page)}
.foot{color:var(--soft);font-size:13px}
@media(max-width:640px){main{padding:24px 16px}thead{display:none}table,tbody,tr,td{display:block}tbody tr{padding:8px 0}
td{padding:3px 14px;white-space:normal}td[data-of]{display:flex;justify-content:space-between;align-items:baseline;gap:10px}
td[data-of]::before{content:attr(data-of);color:var(--soft);font-size:13px;margin-right:auto}.bar{margin:0;width:90px}.n small{display:inline}}`;
