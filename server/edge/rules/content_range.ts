/** Which part of a representation a 206 has (RFC 9110 §14.4), and how long the whole is. */
import { fieldOf } from "../../../runtime/http1/lines.ts";
import type { Lines, ReceivedHead } from "./types.ts";

/** A part from `start` up to but not including `end`, of `length` bytes in all; null where that is not known. */
export interface Part {
  start: number;
  end: number;
  length: number | null;
}

/**
 * Content-Range of a 206: null where there is none, or none that is right: several parts, another unit, an end before its
 * start or behind the length, more or fewer bytes than Content-Length tells.
 */
export function parseContentRange({ status, fields }: ReceivedHead): Part | null {
  if (status !== 206 || /^multipart\/byteranges/i.test(fieldOf(fields, "content-type") ?? "")) return null;
  const lines = fields.filter(([name]) => name === "content-range");
  const match = lines.length === 1 ? /^bytes +(\d+)-(\d+)\/(\d+|\*)$/i.exec(lines[0]![1].trim()) : null;
  if (!match) return null;
  const [start, last] = [Number(match[1]), Number(match[2])];
  const length = match[3] === "*" ? null : Number(match[3]);
  if (![start, last + 1, length ?? 0].every(Number.isSafeInteger)) return null;
  if (last < start || (length !== null && last >= length)) return null;
  const told = contentLength(fields);
  return told === null || told === last + 1 - start ? { start, end: last + 1, length } : null;
}

/** Content-Length: null where there is none, or none that is right (RFC 9110 §8.6, RFC 9112 §6.3). */
export function contentLength(fields: Lines): number | null {
  if (fieldOf(fields, "transfer-encoding") !== null) return null;
  const values = fields.filter(([name]) => name === "content-length").flatMap(([, value]) => value.split(","))
    .map((value) => value.trim());
  if (values.length === 0 || values.some((value) => value !== values[0]) || !/^\d+$/.test(values[0]!)) return null;
  const length = Number(values[0]);
  return Number.isSafeInteger(length) ? length : null;
}

/** The length of the complete representation that a response to GET or HEAD tells; null where it does not. */
export function completeLength(received: ReceivedHead): number | null {
  if (received.status === 206) return parseContentRange(received)?.length ?? null;
  return received.status === 204 || received.status === 205 ? 0 : contentLength(received.fields);
}
