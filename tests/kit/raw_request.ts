/** HTTP as bytes on a socket: for what no well-behaved client sends. */

/** The answer to a raw request. */
export interface RawAnswer {
  /** 0 where the connection ended without an answer. */
  status: number;
  /** In lower case; the last of several. */
  headers: Record<string, string>;
  /** As Latin-1 text, one character a byte. */
  body: string;
}

/**
 * Writes `text` (one character a byte: Latin-1) to 127.0.0.1:port and reads until the other side closes, or until an
 * answer's Content-Length is there. With `end`, our side is closed after the text.
 */
export async function rawRequest(
  port: number,
  text: string,
  { end = false }: { end?: boolean } = {},
): Promise<RawAnswer> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  try {
    // The other side may answer and close before it has read everything.
    const writing = writeAll(connection, Uint8Array.from(text, (c) => c.charCodeAt(0)), end).catch(() => {});
    let received = "";
    const buffer = new Uint8Array(64 << 10);
    while (!isWhole(received)) {
      const count = await connection.read(buffer).catch(() => null);
      if (count === null) break;
      for (const byte of buffer.subarray(0, count)) received += String.fromCharCode(byte);
    }
    const answer = parse(received);
    if (isWhole(received)) connection.close();
    await writing;
    return answer;
  } finally {
    try {
      connection.close();
    } catch { /* closed already */ }
  }
}

async function writeAll(connection: Deno.Conn, bytes: Uint8Array, end: boolean): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
  if (end) await connection.closeWrite();
}

function parse(received: string): RawAnswer {
  const [head = "", ...rest] = received.split("\r\n\r\n");
  const [statusLine = "", ...lines] = head.split("\r\n");
  const headers = Object.fromEntries(lines.map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  }));
  return { status: Number(/^HTTP\/1\.[01] (\d{3})/.exec(statusLine)?.[1] ?? 0), headers, body: rest.join("\r\n\r\n") };
}

function isWhole(received: string): boolean {
  if (!received.includes("\r\n\r\n")) return false;
  const { status, headers, body } = parse(received);
  if (status === 204 || status === 304) return true;
  return headers["content-length"] !== undefined && body.length >= Number(headers["content-length"]);
}
