/** Names that are made from what they name, so that another content has another name. */

/** 36 characters that look like digests, and name a thing whatever its content is (RFC 9562). */
const uuids = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/gi;
/** Hexadecimal in one case, no other letter or digit beside it. */
const digests = /(?<![A-Za-z0-9])([0-9a-f]{8,}|[0-9A-F]{8,})(?![A-Za-z0-9])/g;

/**
 * True where the last segment of a path holds a digest, as build tools and content stores write it: at least 8
 * hexadecimal digits with both letters and digits among them (`app.3f2a91bc.js`). A date (`20261128`), a word
 * (`deadbeef`) and a UUID are none; nor is a digest in another alphabet, which cannot be told from a word.
 */
export function holdsDigest(path: string): boolean {
  const name = path.slice(path.lastIndexOf("/") + 1).replaceAll(uuids, "-");
  return (name.match(digests) ?? []).some((run) => /[0-9]/.test(run) && /[a-f]/i.test(run));
}
