/** Which URLs name an origin. Pure. */

/**
 * An origin's base URL as it is used from then on: scheme, host in lower case, and the port where it is not the
 * scheme's own.
 * @throws {Error} whose message says what would be right
 */
export function parseOriginUrl(text: string): string {
  const [, authority, rest] = /^https?:\/\/([^/?#\\]*)(.*)$/is.exec(text) ?? [];
  if (authority === undefined || rest === undefined) {
    throw new Error("must start with http:// or https://, such as https://origin.example.com");
  }
  // A parser of URLs would take some of these out without a word.
  if (/[\s\p{Cc}]/u.test(text)) throw new Error("must have no space, line break or control character");
  if (authority.includes("@")) throw new Error("must have no user name or password");
  if (rest !== "" && rest !== "/") {
    throw new Error(
      "must end after host and port: a path, a query or a fragment has no meaning here, an origin is asked for " +
        "the path that the viewer asked for",
    );
  }
  if (!URL.canParse(text)) throw new Error("must have a host, and a port from 1 to 65535 if any");
  const { origin, port } = new URL(text);
  if (port === "0") throw new Error("must have a port from 1 to 65535 if any");
  return origin;
}
