/** The listing as a page for people: one table, no script, light or dark as the viewer likes it. */
import { format } from "@std/fmt/bytes";
import { encodePath, type Manifest } from "../../proto/mod.ts";
import { escapeHtml } from "../../runtime/page.ts";
import { type ObjectPage, PAGE } from "./listing.ts";

const STYLE = `
:root { color-scheme: light dark; --line: light-dark(#d8dde3, #343a42); --soft: light-dark(#5b6570, #9aa4af); }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2.5rem auto; padding: 0 1.25rem;
  color: light-dark(#1a1f24, #e6e9ec); background: light-dark(#fff, #14181c); }
h1 { font-size: 1.4rem; margin: 0; }
p { color: var(--soft); margin: .25rem 0 1.25rem; }
form { display: flex; gap: .5rem; margin-bottom: 1.25rem; flex-wrap: wrap; align-items: center; }
label { color: var(--soft); }
input { font: inherit; flex: 1 1 16rem; padding: .35rem .6rem; border: 1px solid var(--line); border-radius: .4rem;
  background: transparent; color: inherit; }
button { font: inherit; padding: .35rem .9rem; border: 1px solid var(--line); border-radius: .4rem;
  background: light-dark(#f1f4f7, #222831); color: inherit; cursor: pointer; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: .875rem; }
th, td { padding: .5rem .75rem .5rem 0; border-bottom: 1px solid var(--line); vertical-align: baseline; }
td:first-child { overflow-wrap: anywhere; min-width: 12rem; }
td + td { color: var(--soft); font-size: .9rem; white-space: nowrap; }
th.size, td.size { text-align: right; font-variant-numeric: tabular-nums; padding-right: 1.5rem; }
a { color: light-dark(#0b5cad, #7ab8f5); text-decoration: none; }
a:hover { text-decoration: underline; }
@media (max-width: 36rem) { td:first-child { min-width: 8rem; } th:nth-child(3), td:nth-child(3) { display: none; } }
nav { margin-top: 1.25rem; display: flex; gap: 1.25rem; }
`;

/** The whole document. */
export function listingPage(page: ObjectPage, serverId: string): string {
  const { after, objects, next, prefix } = page;
  const title = prefix ? `Objects below ${prefix}` : "Objects";
  const links = [
    after && `<a href="${escapeHtml(href(page, ""))}" rel="start">First page</a>`,
    next && `<a href="${escapeHtml(href(page, next))}" rel="next">Next page</a>`,
  ].filter(Boolean).join("\n");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)} · ${escapeHtml(serverId)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${escapeHtml(title)}</h1>
<p>on server <strong>${escapeHtml(serverId)}</strong></p>
<form role="search" action="/" method="get">
<label for="prefix">Path begins with</label>
<input id="prefix" name="prefix" value="${escapeHtml(prefix)}" placeholder="/" autocomplete="off" spellcheck="false">
<button>Show</button>
</form>
${objects.length ? table(objects) : `<p>${after ? "Nothing further." : "Nothing here yet."}</p>`}
${links ? `<nav aria-label="Pages">\n${links}\n</nav>` : ""}
</main>
</body>
</html>
`;
}

function table(objects: readonly Manifest[]): string {
  const rows = objects.map(({ path, size, mediaType, modifiedMs, version }) => {
    const at = new Date(modifiedMs > 0 ? modifiedMs : version.wallMs).toISOString();
    return `<tr><td><a href="${escapeHtml(encodePath(path))}">${escapeHtml(path)}</a></td>` +
      `<td class="size" title="${size} bytes">${format(size, { binary: true }).replace("kiB", "KiB")}</td>` +
      `<td>${escapeHtml(mediaType.split(";", 1)[0]!)}</td>` +
      `<td><time datetime="${at}">${at.slice(0, 16).replace("T", " ")}</time></td></tr>`;
  });
  return `<div class="scroll" tabindex="0" role="region" aria-label="List of objects">
<table>
<thead><tr><th scope="col">Path</th><th scope="col" class="size">Size</th><th scope="col">Type</th>` +
    `<th scope="col">Modified (UTC)</th></tr></thead>
<tbody>
${rows.join("\n")}
</tbody>
</table>
</div>`;
}

function href({ prefix, limit }: ObjectPage, after: string): string {
  const query = new URLSearchParams({
    ...(prefix && { prefix }),
    ...(after && { after }),
    ...(limit !== PAGE && { limit: String(limit) }),
  }).toString();
  return query ? `/?${query}` : "/";
}
