/** Dates as a cache reads them (RFC 9110 §5.6.7). */
import { parseHttpDate } from "../../serve/http_date.ts";
import { fieldOf } from "../../../runtime/http1/lines.ts";
import type { Lines } from "./types.ts";

/**
 * Milliseconds since 1970 of an HTTP-date in any of its three forms, in whatever case (RFC 9111 §4.2); null for anything
 * else, and for any zone but GMT.
 */
export function parseDate(text: string): number | null {
  const asWritten = parseHttpDate(text);
  if (asWritten !== null) return asWritten;
  const inCase = text.toLowerCase().replace(/\bgmt\b/, "GMT").replace(/\b[a-z]/g, (letter) => letter.toUpperCase());
  return inCase === text ? null : parseHttpDate(inCase);
}

/** The date in the first line of that name; null where there is none, or none that is right. */
export function dateIn(lines: Lines, name: string): number | null {
  const text = fieldOf(lines, name);
  return text === null ? null : parseDate(text);
}
