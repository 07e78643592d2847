/**
 * Which request fields leave a finished answer as it is: the closed list of {@link isPlain}. A request with any other
 * field is put before the application, which reads it.
 *
 * In the list is what RFC 9110, RFC 9111 and the Fetch standard give no power over an answer that does not vary: who
 * asks (User-Agent, From, Referer, Origin, Cookie), what they would like (Accept and its kin, Priority, hints), and the
 * connection's own. An answer that does depend on one of them (a Vary field, a policy) is none to be finished for all,
 * and its application keeps it out of `hot`.
 *
 * Not in it, though browsers send them: Authorization (RFC 9111 §3.5), Cache-Control and Pragma (a client may want what
 * is fresh), Range, If-Range and all conditions (RFC 9110 §13) but for an If-None-Match with exactly the answer's entity
 * tag, Via (loops are found by it), Max-Forwards, and whatever is not known here.
 */

const PLAIN: ReadonlySet<string> = new Set([
  "accept",
  "accept-charset",
  "accept-encoding",
  "accept-language",
  "connection",
  "cookie",
  "dnt",
  "from",
  "host",
  "origin",
  "priority",
  "referer",
  "upgrade-insecure-requests",
  "user-agent",
]);

/** True where a field cannot change a finished answer. If-None-Match is judged by its value. @param name in lower case */
export function isPlain(name: string): boolean {
  // Sec-* is what browsers say of themselves (Fetch §2.2.2: no script can set one); a WebSocket has an Upgrade besides.
  return PLAIN.has(name) || name.startsWith("sec-");
}
