/** Looking into the field lines of a message, whose names are in lower case. Pure. */
import type { HeaderLine } from "./transport.ts";

type Lines = readonly Readonly<HeaderLine>[];

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** The value of the first line of a name; null where there is none. */
export function fieldOf(lines: Lines, name: string): string | null {
  for (const line of lines) if (line[0] === name) return line[1];
  return null;
}

/** The values of all lines of a name as one (RFC 9110 §5.3), outer spaces gone; null where there is none. */
export function joined(lines: Lines, name: string): string | null {
  let text: string | null = null;
  for (const line of lines) {
    if (line[0] !== name) continue;
    const value = line[1].trim();
    text = text === null ? value : `${text}, ${value}`;
  }
  return text;
}

/** True for a token (RFC 9110 §5.6.2), such as a method or the name of a field. */
export function isToken(text: string): boolean {
  return TOKEN.test(text);
}
