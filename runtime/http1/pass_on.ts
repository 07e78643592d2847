/** The fields of a request as they go on to the next server (RFC 9110 §7.6): which go on, which stop here, which are added. Pure. */
import { fieldOf, joined } from "./lines.ts";
import type { HeaderLine } from "./transport.ts";

/** Meant for one connection only (RFC 9110 §7.6.1), or set anew by the transport. */
export const STOPS_HERE: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "http2-settings",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** What a viewer wants of a representation that it has, or in part (RFC 9110 §13, §14.2): whoever asks for something else leaves it out. */
export const CONDITIONS: ReadonlySet<string> = new Set([
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "if-unmodified-since",
  "range",
]);

/** Who asks, and by whom it is passed on. */
export interface Hop {
  /** The client's address. */
  client: string;
  /** What the client took for the server: the request's authority. */
  host: string;
  scheme: string;
  /** Our name in Via: one that no other proxy has. */
  pseudonym: string;
  /** Leave out Origin: it has been checked here, against the host that the client sees. */
  dropOrigin: boolean;
}

/** A request's fields, as far as they concern others than its connection. */
export interface PassedOn {
  /** As they go on to a server; frozen, so that they are written out once. */
  lines: readonly HeaderLine[];
  /** The Via and Range fields as they came; null where there is none. */
  via: string | null;
  range: string | null;
}

/** What of a request's fields goes on; `lines` has each name once. */
export function passOn(lines: readonly HeaderLine[], hop: Hop): PassedOn {
  return {
    lines: Object.freeze(requestFields(lines, hop)),
    via: fieldOf(lines, "via"),
    range: fieldOf(lines, "range"),
  };
}

/** The fields of a request as they go on to a server. */
export function requestFields(
  headers: Iterable<readonly [name: string, value: string]>,
  { client, host, scheme, pseudonym, dropOrigin }: Hop,
): HeaderLine[] {
  const received = [...headers];
  const named = namedByConnection(received);
  const lines: HeaderLine[] = [];
  let via = "";
  let forwarded = "";
  let forwardedFor = "";
  for (const [name, value] of received) {
    if (STOPS_HERE.has(name) || named?.has(name) || (dropOrigin && name === "origin")) continue;
    if (name === "via") via = `${value}, `;
    else if (name === "forwarded") forwarded = `${value}, `;
    else if (name === "x-forwarded-for") forwardedFor = `${value}, `;
    else lines.push([name, value]);
  }
  lines.push(
    ["via", `${via}1.1 ${pseudonym}`],
    // RFC 7239; the host is quoted because it has a colon.
    ["forwarded", `${forwarded}for=${forwardedNode(client)};host="${host.replace(/["\\]/g, "")}";proto=${scheme}`],
    ["x-forwarded-for", forwardedFor + client],
  );
  return lines;
}

/** The names that Connection lists (RFC 9110 §7.6.1), in lower case; null where there are none. */
export function namedByConnection(lines: readonly Readonly<HeaderLine>[]): ReadonlySet<string> | null {
  const text = joined(lines, "connection");
  return text === null ? null : new Set(text.toLowerCase().split(",").map((name) => name.trim()));
}

/** An address as Forwarded has it (RFC 7239 §6): IPv6 in brackets and quotes. */
export function forwardedNode(address: string): string {
  return address.includes(":") ? `"[${address}]"` : address;
}

/** True where a Via field names us: the request has come round (RFC 9110 §7.6.3). */
export function hasPassed(via: string | null, pseudonym: string): boolean {
  return via !== null && via.split(",").some((entry) => entry.trim().split(/\s+/)[1] === pseudonym);
}
