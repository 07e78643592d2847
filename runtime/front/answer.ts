/** The head of an answer as bytes (RFC 9112 §4, §6). Pure. */
import { STATUS_TEXT } from "@std/http/status";
import type { HeaderLine } from "../http1/transport.ts";

/** How an answer's body ends: its length, where its fields do not tell it already; or in chunks. */
export type AnswerFraming = number | "told" | "chunked";

const statusLines = new Map<number, string>();

/** The first line of an answer, with its end. */
export function formatStatusLine(status: number): string {
  let line = statusLines.get(status);
  if (line === undefined) {
    line = `HTTP/1.1 ${status} ${(STATUS_TEXT as Record<number, string>)[status] ?? ""}\r\n`;
    statusLines.set(status, line);
  }
  return line;
}

/** An answer's head as text, one character a byte, but for its framing and its empty line. */
export function formatAnswerHead(
  status: number,
  headers: readonly HeaderLine[],
  close: boolean,
  date: () => string,
): string {
  let text = formatStatusLine(status);
  let dated = false;
  for (const [name, value] of headers) {
    if (name === "date") dated = true;
    text += `${name}: ${value}\r\n`;
  }
  // RFC 9110 §6.6.1: whoever passes on an answer without a date adds one.
  if (!dated) text += `date: ${date()}\r\n`;
  if (close) text += "connection: close\r\n";
  return text;
}

/** What ends a head. */
export function formatHeadEnd(framing: AnswerFraming): string {
  if (framing === "told") return "\r\n";
  return framing === "chunked" ? "transfer-encoding: chunked\r\n\r\n" : `content-length: ${framing}\r\n\r\n`;
}

/** Bytes before a chunk's data: its size, in as many digits each time. */
export const CHUNK_SIZE_BYTES = 8;

/** A chunk's size line (RFC 9112 §7.1), {@link CHUNK_SIZE_BYTES} long. */
export function formatChunkSize(size: number): string {
  return `${size.toString(16).padStart(CHUNK_SIZE_BYTES - 2, "0")}\r\n`;
}

/** Writes text, one character a byte; returns the place after it. */
export function put(text: string, into: Uint8Array, at: number): number {
  for (let index = 0; index < text.length; index++) into[at + index] = text.charCodeAt(index);
  return at + text.length;
}

let dateAt = 0;
let dateText = "";

/** The time as Date has it, made once a second. */
export function httpDate(now: number = Date.now()): string {
  const second = Math.floor(now / 1000);
  if (second !== dateAt) {
    dateAt = second;
    dateText = new Date(now).toUTCString();
  }
  return dateText;
}
