/**
 * The heads of requests that the front answers itself: {@link readRequest}. Pure.
 *
 * It understands the plainest requests only, and those whole: GET or HEAD by HTTP/1.1 (RFC 9112) without a body, a
 * target and fields of ordinary characters, each field once. Whatever is in any way else is {@link OTHER}: it goes to
 * `Deno.serve` as it came, so that no request is ever read in two ways.
 */
import type { Target } from "../../proto/mod.ts";
import { isToken } from "../http1/lines.ts";
import type { HeaderLine } from "../http1/transport.ts";
import { isPlain } from "./plain_fields.ts";

/** The longest head that is read here, in bytes. */
export const MOST_HEAD_BYTES = 16_384;
/** More field lines than this are for others. */
const MOST_LINES = 64;

/** A request for `Deno.serve`. */
export const OTHER = "other";

/** A request that was understood. */
export interface FrontRequest {
  readonly method: "GET" | "HEAD";
  readonly target: Target;
  /** Path and query as sent: `/x?y`. */
  readonly pathAndQuery: string;
  readonly fields: Fields;
  /** The head as it came, one character a byte. */
  readonly text: string;
}

/** The field lines of a head. */
export interface Fields {
  /** As they came, names in lower case. */
  readonly lines: readonly HeaderLine[];
  /** The one Host field. */
  readonly host: string;
  /** True where the viewer wants no further answer on the connection. */
  readonly close: boolean;
  /** True where none of them, If-None-Match apart, can change a finished answer. */
  readonly plain: boolean;
  /** The If-None-Match field as it came; null without one. */
  readonly ifNoneMatch: string | null;
}

const ORIGIN_FORM =
  /^(GET|HEAD) (\/(?!\/)[!$%&'()*+,\-.\/0-9:;=@A-Z_a-z~]*)(?:\?([!$%&'()*+,\-.\/0-9:;=?@A-Z_a-z~]*))? HTTP\/1\.1$/;
const ABSOLUTE_FORM =
  /^(GET|HEAD) http:\/\/([A-Za-z0-9.-]+(?::\d{1,5})?)(\/(?!\/)[!$%&'()*+,\-.\/0-9:;=@A-Z_a-z~]*)(?:\?([!$%&'()*+,\-.\/0-9:;=?@A-Z_a-z~]*))? HTTP\/1\.1$/;
const HOST = /^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;
const VALUE = /^[\x20-\x7e]*$/;

/** Fields that change where a request ends or what becomes of its connection. */
const FOR_OTHERS = new Set([
  "content-length",
  "expect",
  "http2-settings",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/**
 * Where the head that starts at `start` ends, by the most tolerant of readers: the place after its first empty line;
 * -1 where more bytes must come.
 * @param scanned how far an earlier call has looked
 */
export function findEmptyLine(bytes: Uint8Array, start: number, scanned: number, end: number): number {
  for (let at = scanned; at < end; at++) {
    if (bytes[at] !== 10 || at === start) continue;
    const before = bytes[at - 1];
    if (before === 10 || (before === 13 && at - 2 >= start && bytes[at - 2] === 10)) return at + 1;
  }
  return -1;
}

/** False where what comes cannot be a request at all: `Deno.serve` says so at once, and we wait for nothing. */
export function mayBeRequest(first: number): boolean {
  return first > 32 && first < 127 || first === 10 || first === 13;
}

/** The fields that were read last. A viewer sends the same ones again and again. */
export class LastFields {
  #text = "";
  #fields: Fields | null = null;

  /** Reads field lines, each with its end, and the empty line; null where they are for others. */
  read(text: string): Fields | null {
    if (text === this.#text) return this.#fields;
    this.#fields = readFields(text);
    this.#text = text;
    return this.#fields;
  }
}

/**
 * Reads a head.
 * @param text with its empty line, one character a byte
 * @param scheme that the connection is of
 */
export function readRequest(
  text: string,
  last: LastFields,
  scheme: "http" | "https" = "http",
): FrontRequest | typeof OTHER {
  const eol = text.indexOf("\r\n");
  if (eol < 0) return OTHER;
  const fields = last.read(text.slice(eol + 2));
  if (fields === null) return OTHER;
  const line = text.slice(0, eol);
  let match = ORIGIN_FORM.exec(line);
  let authority: string;
  let at = 2;
  if (match) authority = fields.host;
  else {
    // As to a forward proxy, in plain text; over TLS nobody sends it.
    match = scheme === "http" ? ABSOLUTE_FORM.exec(line) : null;
    if (!match) return OTHER;
    authority = match[at++]!;
  }
  const path = match[at]!;
  const query = match[at + 1];
  return {
    method: match[1] as "GET" | "HEAD",
    target: { scheme, authority: authority.toLowerCase(), path, query: query ?? "" },
    pathAndQuery: query === undefined ? path : `${path}?${query}`,
    fields,
    text,
  };
}

function readFields(text: string): Fields | null {
  const lines: HeaderLine[] = [];
  const names = new Set<string>();
  let host: string | null = null;
  let close = false;
  let plain = true;
  let ifNoneMatch: string | null = null;
  let at = 0;
  for (const end = text.length - 2; at < end;) {
    const eol = text.indexOf("\r\n", at);
    const colon = text.indexOf(":", at);
    if (eol < 0 || colon < 0 || colon > eol || lines.length === MOST_LINES) return null;
    const sent = text.slice(at, colon);
    if (!isToken(sent)) return null;
    const name = sent.toLowerCase();
    const value = trimSpaces(text, colon + 1, eol);
    if (!VALUE.test(value) || FOR_OTHERS.has(name) || names.has(name)) return null;
    names.add(name);
    lines.push([name, value]);
    if (name === "host") host = value;
    else if (name === "if-none-match") ifNoneMatch = value;
    else if (!isPlain(name)) plain = false;
    else if (name === "connection") {
      const option = value.toLowerCase();
      if (option !== "close" && option !== "keep-alive") return null;
      close = option === "close";
    }
    at = eol + 2;
  }
  if (at !== text.length - 2 || !text.endsWith("\r\n")) return null;
  return host !== null && HOST.test(host) ? { lines, host, close, plain, ifNoneMatch } : null;
}

function trimSpaces(text: string, from: number, to: number): string {
  while (from < to && text.charCodeAt(from) === 32) from++;
  while (to > from && text.charCodeAt(to - 1) === 32) to--;
  return text.slice(from, to);
}
