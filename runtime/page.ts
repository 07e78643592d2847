/** Pages for people, next to the messages for programs: what all of them have in common. */

/**
 * A page as an answer. Nothing on it comes from elsewhere and nothing on it can become a script, whatever names and
 * texts were put there; forms go to the program that made it.
 */
export function pageResponse(
  request: Request,
  html: string,
  { cacheControl = "no-store" }: { cacheControl?: string } = {},
): Response {
  return new Response(request.method === "HEAD" ? null : html, {
    headers: {
      "content-type": "text/html; charset=utf-8",
      "cache-control": cacheControl,
      "vary": "accept",
      "x-content-type-options": "nosniff",
      "content-security-policy":
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    },
  });
}

const ENTITIES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

/** Text as it may stand in an element or in a quoted attribute. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character]!);
}
