/** Looking into field lines. */
import type { Lines } from "./types.ts";

/** The value of the first line of that name; null where there is none. */
export function first(lines: Lines, name: string): string | null {
  for (const line of lines) if (line[0] === name) return line[1];
  return null;
}

/** The values of all lines of that name as one (RFC 9110 §5.3), outer spaces gone; null where there is none. */
export function joined(lines: Lines, name: string): string | null {
  let text: string | null = null;
  for (const line of lines) {
    if (line[0] !== name) continue;
    const value = line[1].trim();
    text = text === null ? value : `${text}, ${value}`;
  }
  return text;
}

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

/** True for a token (RFC 9110 §5.6.2), such as the name of a field. */
export function isToken(text: string): boolean {
  return /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(text);
}
