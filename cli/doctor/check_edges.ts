/** Edges that were named: whether they have an origin to ask, and a cache to serve from. Pure. */
import { servingText } from "../edge_text.ts";
import { type Finding, finding } from "./finding.ts";
import type { Facts } from "./gather.ts";

/** The findings on each edge that told how it fares; each tells of itself alone, and to the operator. */
export function checkEdges({ views }: Facts): Finding[] {
  return views.flatMap(({ by, edge }) => {
    if (!edge) return [];
    const out = edge.origins.filter(({ healthy }) => !healthy);
    const allOut = out.length === edge.origins.length;
    const why = out.map(({ url, reason }) => `${url}: ${reason}`);
    const found: Finding[] = [];
    if (allOut) {
      found.push(finding("bad", `${by} reaches no origin: it serves what it has stored, and no more`, ...why));
    } else if (out.length > 0) found.push(finding("warn", `${by} cannot reach all of its origins`, ...why));
    if (edge.cache!.diskFails) {
      found.push(
        finding("warn", `${by}'s cache cannot use its disk`, "is it full, read-only or broken? Its log says why"),
      );
    }
    if (edge.waitingForPurges || edge.staleBeforeMs > 0n) {
      found.push(finding("warn", `${by} ${servingText(edge)}`, "it trusts all of it once the other servers have told"));
    }
    return found.length > 0 ? found : [finding("ok", `${by} reaches its origins, and its cache works`)];
  });
}
