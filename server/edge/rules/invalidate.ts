/** What an unsafe request makes stale (RFC 9111 §4.4). */
import type { ReceivedHead } from "./types.ts";

const SAFE: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);
/** More lines of Location or Content-Location than these are not looked at. */
const MOST_LINES = 8;

/**
 * The paths with queries that an answer to an unsafe request invalidates (§4.4), its own target first: each as a key may
 * have it. Location and Content-Location count only on the request's own authority.
 */
export function invalidatedBy(
  request: { method: string; target: string; authority: string },
  received: ReceivedHead,
): string[] {
  if (SAFE.has(request.method) || received.status < 200 || received.status > 399) return [];
  const own = pathOf(request.target);
  if (own === null) return [];
  const paths = new Set([own]);
  const locations = received.fields.filter(([name]) => name === "location" || name === "content-location");
  for (const [, value] of locations.slice(0, MOST_LINES)) {
    const reference = value.trim();
    const url = resolve(reference, own, request.authority);
    if (url === null) continue;
    // As it stands, and as a client that follows it would ask for it.
    if (/^\/(?!\/)/.test(reference)) paths.add(reference.split("#", 1)[0]!);
    paths.add(url.pathname + url.search);
  }
  return [...paths];
}

/** The key of a target in origin or absolute form; null for any other. */
function pathOf(target: string): string | null {
  if (target.startsWith("/")) return target;
  const match = /^https?:\/\/[^/?#]*([^#]*)/i.exec(target);
  if (!match) return null;
  return match[1]!.startsWith("/") ? match[1]! : `/${match[1]}`;
}

/** What a reference names, where that is on the same authority; null otherwise. */
function resolve(reference: string, path: string, authority: string): URL | null {
  for (const scheme of ["http:", "https:"]) {
    const base = URL.parse(`${scheme}//${authority}${path}`);
    const url = base && URL.parse(reference, base.href);
    if (url && url.protocol === scheme && url.host === base.host) return url;
  }
  return null;
}
