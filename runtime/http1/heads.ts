/**
 * HTTP/1.1 heads as bytes (RFC 9112), for a client: writes the request's, reads the answer's. Pure.
 *
 * Field values are bytes, held as text with one character a byte (latin1), both ways. The reader is
 * strict, because two readers that differ over one message are how requests get smuggled: no folded
 * line, no bare CR or LF, no space before the colon, one framing only.
 */
import { isToken } from "./lines.ts";
import type { HeaderLine } from "./transport.ts";

/** The longest head that is read, in bytes. */
export const MAX_HEAD_BYTES = 65_536;
/** The most header lines that are read. */
export const MAX_HEADER_LINES = 200;

/** The peer does not speak HTTP/1.1 as it should. */
export class Http1Error extends Error {
  override name = "Http1Error";
}

/** How a body ends (RFC 9112 §6.3). */
export type Framing =
  | { kind: "none" }
  | { kind: "length"; length: number }
  | { kind: "chunked" }
  | { kind: "close" };

/** The head of an answer. */
export interface ResponseHead {
  status: number;
  /** Hop-by-hop fields left out (RFC 9110 §7.6.1). */
  headers: HeaderLine[];
  framing: Framing;
  /** From the Content-Length, also where the answer has no body (HEAD, 304). */
  contentLength: number | null;
  /** True where a further request may follow on the connection (RFC 9112 §9.3). */
  keepAlive: boolean;
}

/** What a request's head is made of. */
export interface RequestHead {
  method: string;
  target: string;
  /** The Host field. */
  authority: string;
  headers: readonly HeaderLine[];
  /** A number: Content-Length; "chunked": Transfer-Encoding; null: no body. */
  body: number | "chunked" | null;
}

const NOT_IN_VALUE = /[^\t\x20-\x7e\x80-\xff]/;
const TARGET = /^(?:\/[\x21-\x7e\x80-\xff]*|\*)$/;

/** Fields of the hop (RFC 9110 §7.6.1): never passed on. */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** What the writer sets itself: from outside, each could change where the message ends or whom it is for. */
const OURS = new Set([...HOP_BY_HOP, "host", "content-length"]);

/**
 * A request's head as text, one character a byte.
 * @throws {TypeError} where a part would change the message: a line break, a space in the target, a field of framing.
 */
export function formatRequestHead({ method, target, authority, headers, body }: RequestHead): string {
  if (!isToken(method)) throw new TypeError("The method must be a token");
  if (!TARGET.test(target)) {
    throw new TypeError('The target must start with "/" and have no space or control character');
  }
  if (!/^[\x21-\x7e]+$/.test(authority)) throw new TypeError("The authority must have no space or control character");
  let text = `${method} ${target} HTTP/1.1\r\nhost: ${authority}\r\n${formatFields(headers)}`;
  if (body === "chunked") text += "transfer-encoding: chunked\r\n";
  else if (body !== null) text += `content-length: ${body}\r\n`;
  return text + "\r\n";
}

/** The text of field lines that cannot change any more: viewers ask again and again with the same ones. */
const formatted = new WeakMap<readonly HeaderLine[], string>();

function formatFields(headers: readonly HeaderLine[]): string {
  let text = formatted.get(headers);
  if (text !== undefined) return text;
  text = "";
  for (const [name, value] of headers) {
    if (!isToken(name)) throw new TypeError("A header name must be a token");
    if (OURS.has(name)) throw new TypeError(`The header ${name} is set by the transport`);
    if (NOT_IN_VALUE.test(value)) throw new TypeError(`The header ${name} has a character that is not allowed`);
    text += `${name}: ${value}\r\n`;
  }
  if (Object.isFrozen(headers)) formatted.set(headers, text);
  return text;
}

/**
 * Where the head that starts at `start` ends: the place after its empty line; -1 where more bytes must come.
 * @param scanned how far an earlier call has looked
 * @throws {Http1Error} at a line feed without its carriage return, at once and not after a timeout
 */
export function findHeadEnd(bytes: Uint8Array, start: number, scanned: number, end: number): number {
  for (let at = scanned; at < end; at++) {
    if (bytes[at] !== 10) continue;
    if (at === start || bytes[at - 1] !== 13) throw new Http1Error("a line of the head ends without CR");
    if (at - start >= 3 && bytes[at - 2] === 10) return at + 1;
    if (at - start === 1) throw new Http1Error("the head starts with an empty line");
  }
  return -1;
}

/**
 * Reads a whole head.
 * @param text the head with its empty line, one character a byte
 * @param method of the request: an answer to HEAD has no body
 * @throws {Http1Error}
 */
export function parseResponseHead(text: string, method: string): ResponseHead {
  let at = text.indexOf("\r\n");
  const { status, minor } = parseStatusLine(text.slice(0, at));
  at += 2;
  const headers: HeaderLine[] = [];
  let lines = 0;
  let contentLength: number | null = null;
  let transferEncoding: string | null = null;
  let connection: string | null = null;
  for (const last = text.length - 2; at < last;) {
    if (++lines > MAX_HEADER_LINES) throw new Http1Error(`the head has more than ${MAX_HEADER_LINES} lines`);
    const eol = text.indexOf("\r\n", at);
    const colon = text.indexOf(":", at);
    if (colon < 0 || colon > eol) throw new Http1Error("a header line has no colon");
    const name = fieldName(text.slice(at, colon));
    const value = trimOws(text, colon + 1, eol);
    if (NOT_IN_VALUE.test(value)) throw new Http1Error(`the header ${name} has a control character`);
    at = eol + 2;
    if (name === "content-length") {
      if (!/^\d{1,15}$/.test(value)) throw new Http1Error("the Content-Length is not a whole number");
      const length = Number(value);
      if (contentLength !== null) {
        if (contentLength !== length) throw new Http1Error("the Content-Length fields differ");
        continue; // Said twice and alike (RFC 9112 §6.3, rule 5): once is enough for who comes after us.
      }
      contentLength = length;
    } else if (name === "transfer-encoding") {
      transferEncoding = transferEncoding === null ? value : `${transferEncoding}, ${value}`;
    } else if (name === "connection") connection = connection === null ? value : `${connection}, ${value}`;
    if (!HOP_BY_HOP.has(name)) headers.push([name, value]);
  }
  if (transferEncoding !== null) {
    if (contentLength !== null) throw new Http1Error("both Content-Length and Transfer-Encoding are there");
    if (minor === 0) throw new Http1Error("a Transfer-Encoding in HTTP/1.0");
    if (transferEncoding.toLowerCase() !== "chunked") throw new Http1Error("the Transfer-Encoding is not chunked");
  }
  const options = connection === null ? [] : connection.toLowerCase().split(",").map((option) => option.trim());
  const framing: Framing = method === "HEAD" || status < 200 || status === 204 || status === 304
    ? { kind: "none" }
    : transferEncoding !== null
    ? { kind: "chunked" }
    : contentLength !== null
    ? { kind: "length", length: contentLength }
    : { kind: "close" };
  return {
    status,
    headers: options.length === 0 ? headers : headers.filter(([name]) => !options.includes(name)),
    framing,
    contentLength,
    keepAlive: minor === 1 && framing.kind !== "close" && !options.includes("close"),
  };
}

function parseStatusLine(line: string): { status: number; minor: number } {
  const match = /^HTTP\/1\.([01]) ([1-5]\d\d) [\t\x20-\x7e\x80-\xff]*$/.exec(line);
  if (!match) throw new Http1Error("the status line is malformed");
  return { status: Number(match[2]), minor: Number(match[1]) };
}

/** Names seen before, as sent, to lower case: servers send the same few in every answer. */
const knownNames = new Map<string, string>();

function fieldName(sent: string): string {
  const known = knownNames.get(sent);
  if (known !== undefined) return known;
  if (!isToken(sent)) throw new Http1Error("a header name is not a token");
  const name = sent.toLowerCase();
  if (knownNames.size < 500 && sent.length <= 64) knownNames.set(sent, name);
  return name;
}

/** Optional whitespace is space and tab only (RFC 9110 §5.6.3); `trim()` would take more. */
function trimOws(text: string, from: number, to: number): string {
  while (from < to && isOws(text.charCodeAt(from))) from++;
  while (to > from && isOws(text.charCodeAt(to - 1))) to--;
  return text.slice(from, to);
}

function isOws(code: number): boolean {
  return code === 32 || code === 9;
}
