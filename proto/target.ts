/**
 * The parts of a request's URL, as sent. `new URL` would resolve `..` and so hide what a client tried.
 */

/** A URL in parts; `path` and `query` are as sent (percent-encoded), `query` without "?". */
export interface Target {
  scheme: string;
  /** Host and port as sent, lower case. */
  authority: string;
  path: string;
  query: string;
}

/** Splits an absolute `http(s)` URL, as `Request.url` gives it, without normalising anything. */
export function splitTarget(url: string): Target {
  const schemeEnd = url.indexOf("://");
  if (schemeEnd < 0) return { scheme: "", authority: "", path: url, query: "" };
  let authorityEnd = url.length;
  for (let at = schemeEnd + 3; at < url.length; at++) {
    const c = url.charCodeAt(at);
    if (c === 47 || c === 63 || c === 35) {
      authorityEnd = at;
      break;
    }
  }
  const hash = url.indexOf("#", authorityEnd);
  const end = hash < 0 ? url.length : hash;
  const mark = url.indexOf("?", authorityEnd);
  const pathEnd = mark < 0 || mark > end ? end : mark;
  return {
    scheme: url.slice(0, schemeEnd),
    authority: url.slice(schemeEnd + 3, authorityEnd).toLowerCase(),
    path: url.slice(authorityEnd, pathEnd) || "/",
    query: pathEnd < end ? url.slice(pathEnd + 1, end) : "",
  };
}

/**
 * Host and port as two ends must agree on them: lower case, and without the port where it is the scheme's own
 * (RFC 9110 §4.2.3, RFC 9421 §2.2.3).
 */
export function normalAuthority({ scheme, authority }: Pick<Target, "scheme" | "authority">): string {
  return authority.replace(scheme === "https" ? /:443$/ : /:80$/, "");
}
