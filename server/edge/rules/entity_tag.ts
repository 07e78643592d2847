/** Entity tags as they stand in fields (RFC 9110 §8.8.3). One that is malformed is equal to itself, and weak. */

/** True for a strong one. */
export function isStrong(tag: string | null): tag is string {
  return tag !== null && /^"[^"]*"$/.test(tag);
}

/** The same strong validator (§8.8.3.2). */
export function equalStrongly(a: string | null, b: string | null): boolean {
  return isStrong(a) && a === b;
}

/** The same, weak or not (§8.8.3.2). */
export function equalWeakly(a: string, b: string): boolean {
  return opaque(a) === opaque(b);
}

/** True where a tag is in the list of an If-None-Match field (§13.1.2), or the field is `*`. */
export function isListed(tag: string | null, field: string): boolean {
  if (field.trim() === "*") return true;
  if (tag === null) return false;
  // A tag may have commas, and a backslash in it escapes nothing. An unquoted one is no tag, but some send such.
  for (const [listed] of field.matchAll(/(?:W\/)?"[^"]*"|[^\s,]+/g)) if (equalWeakly(listed, tag)) return true;
  return false;
}

function opaque(tag: string): string {
  return tag.startsWith('W/"') ? tag.slice(2) : tag;
}
