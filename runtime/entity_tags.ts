/**
 * Lists of entity tags in If-Match and If-None-Match (RFC 9110 §13.1.1, §13.1.2), compared by the library.
 *
 * The library splits a list by an expression whose time grows with the square of a run of spaces: a field of 60 KB,
 * which anybody may send, held a server for seconds. So runs are made one space first; no tag of ours has any.
 */
import { ifMatch, ifNoneMatch } from "@std/http/etag";

/** True where a strong tag is in the list of an If-Match field, or the field is `*`. */
export function matches(field: string | null, etag: string | undefined): boolean {
  return ifMatch(inOneSpace(field), etag);
}

/** True where a tag, compared weakly, is in the list of an If-None-Match field, or the field is `*`. */
export function matchesWeakly(field: string | null, etag: string | undefined): boolean {
  return !ifNoneMatch(inOneSpace(field), etag);
}

function inOneSpace(field: string | null): string | null {
  return field && field.replace(/\s+/g, " ");
}
