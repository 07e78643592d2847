/** Lists in the values of fields. */

/** The members of a list (RFC 9110 §5.6.1), split at commas outside quoted strings; empty ones count for nothing. */
export function members(text: string): string[] {
  return splitUnquoted(text, ",").filter((member) => member !== "");
}

/** The trimmed parts between separators that stand outside quoted strings. A quote that nobody closes goes to the end. */
export function splitUnquoted(text: string, separator: string): string[] {
  if (!text.includes('"')) return text.split(separator).map((part) => part.trim());
  const parts: string[] = [];
  let start = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === '"') quoted = !quoted;
    else if (char === "\\" && quoted) at++;
    else if (char === separator && !quoted) {
      parts.push(text.slice(start, at).trim());
      start = at + 1;
    }
  }
  parts.push(text.slice(start).trim());
  return parts;
}
