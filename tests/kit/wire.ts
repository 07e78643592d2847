/** What the tests of the front share: bytes sent as they are, answers read as they are. */
import { assertEquals } from "@std/assert";

/** One answer off the wire. */
export interface WireAnswer {
  status: number;
  /** As `name: value`, sorted; framing, and what differs each time, left out. */
  fields: string[];
  body: string;
}

/** Sends bytes in pieces, and reads until the other side closes or `enough` of it came. */
export async function exchange(
  port: number,
  pieces: readonly string[],
  { pauseMs = 0, enough = () => false }: { pauseMs?: number; enough?: (text: string) => boolean } = {},
): Promise<string> {
  using conn = await Deno.connect({ hostname: "127.0.0.1", port });
  conn.setNoDelay(true);
  // Something that should have ended has not: the answers that are missing then tell it.
  const timer = setTimeout(() => conn.closeWrite().catch(() => {}), 15_000);
  const sending = (async () => {
    for (const piece of pieces) {
      const bytes = Uint8Array.from(piece, (character) => character.charCodeAt(0));
      for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
      if (pieces.length > 1) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  })().catch(() => {}); // Whoever is refused in the middle is told so all the same.
  let text = "";
  const buffer = new Uint8Array(65_536);
  while (!enough(text)) {
    const count = await conn.read(buffer).catch(() => null);
    if (count === null) break;
    for (let at = 0; at < count; at += 8192) {
      text += String.fromCharCode(...buffer.subarray(at, Math.min(count, at + 8192)));
    }
  }
  clearTimeout(timer);
  await sending;
  return text;
}

/** Bytes in pieces, cut at these places (those behind the end count from the start again). */
export function cutAt(bytes: string, cuts: readonly number[]): string[] {
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return places.slice(1).map((end, at) => bytes.slice(places[at], end)).filter((piece) => piece !== "");
}

/** A request as a client may write it, right or wrong. */
export interface WireRequest {
  method: string;
  target: string;
  version: string;
  hosts: readonly string[];
  /** Whole lines. */
  fields: readonly string[];
  eol: string;
}

/** The request's bytes. @param last whether it asks that the connection be closed after it */
export function requestText({ method, target, version, hosts, fields, eol }: WireRequest, last: boolean): string {
  const lines = [`${method} ${target} ${version}`, ...hosts.map((name) => `Host: ${name}`), ...fields];
  return [...lines, ...(last ? ["Connection: close"] : []), "", ""].join(eol);
}

const LEFT_OUT = /^(date|server-timing|transfer-encoding|content-length|connection|keep-alive):/;

/** Reads the answers to requests of these methods, one after the other; what is left over is the last one's. */
export function answers(text: string, methods: readonly string[]): (WireAnswer | string)[] {
  const found: (WireAnswer | string)[] = [];
  let rest = text;
  for (const method of methods) {
    const end = rest.indexOf("\r\n\r\n");
    if (end < 0) break;
    const lines = rest.slice(0, end).split("\r\n");
    rest = rest.slice(end + 4);
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(lines[0]!)?.[1]);
    const field = (name: string) => lines.find((line) => line.toLowerCase().startsWith(`${name}:`))?.split(": ")[1];
    let body = "";
    if (method !== "HEAD" && status !== 204 && status !== 304) {
      if (field("transfer-encoding") === "chunked") {
        let size = 0;
        do {
          const eol = rest.indexOf("\r\n");
          if (eol < 0) return [...found, `${status} broken off`];
          size = parseInt(rest.slice(0, eol), 16);
          if (rest.length < eol + 4 + size) return [...found, `${status} broken off`];
          body += rest.slice(eol + 2, eol + 2 + size);
          rest = rest.slice(eol + 4 + size);
        } while (size > 0);
      } else {
        const length = Number(field("content-length") ?? 0);
        if (rest.length < length) return [...found, `${status} broken off`];
        body = rest.slice(0, length);
        rest = rest.slice(length);
      }
    }
    // What HEAD tells of a length must be the same by both doors; but for none, where Deno.serve says 0.
    const told = method === "HEAD" ? `length ${field("content-length") ?? 0}` : "";
    const fields = lines.slice(1).map((line) => line.toLowerCase()).filter((line) => !LEFT_OUT.test(line));
    found.push({ status, fields: [...fields.toSorted(), told].filter(Boolean), body });
  }
  if (rest !== "") found.push(`left over: ${rest.slice(0, 80)}`);
  return found;
}

/**
 * Two doors gave the same answers to `text`. Of several requests on a connection only those count that both answered
 * whole: Deno.serve, also behind a front, closes on bytes that it has not read (RFC 9112 §9.6), and may so take back
 * what it had answered.
 */
export function assertSameAnswers(
  one: (WireAnswer | string)[],
  other: (WireAnswer | string)[],
  methods: readonly string[],
  text: string,
): void {
  const counts = methods.length > 1 ? [one.length, other.length] : [];
  const whole = Math.min(uncut(one), uncut(other), ...counts);
  assertEquals(one.slice(0, whole), other.slice(0, whole), JSON.stringify(text).slice(0, 1000));
}

/** How many answers came whole; Infinity where none broke off. */
function uncut(answers: readonly unknown[]): number {
  const cut = answers.findIndex((answer) => /^\d{3} broken off$/.test(String(answer)));
  return cut < 0 ? Infinity : cut;
}
