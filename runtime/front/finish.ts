/** Makes finished answers: {@link finish}. */
import type { HeaderLine } from "../http1/transport.ts";
import { formatStatusLine, put } from "./answer.ts";
import type { Finished } from "./application.ts";

/** What {@link finish} is told besides the answer itself; times as in {@link Finished}. */
export interface Finishing {
  bornMs?: number;
  untilMs?: number;
  etag?: string | null;
  notModified?: Finished | null;
  /** Date stays as it is among the fields: it is the origin's. */
  keepsDate?: boolean;
  /** Expires, which is then among the fields, is always Date plus this. */
  lifetimeMs?: number | null;
}

/** Room for any date in the preferred form (RFC 9110 §5.6.7), and for any age. */
const DATE = "Thu, 01 Jan 1970 00:00:00 GMT";
const AGE = "0000000000";
/** What would end a field, or is no single byte. */
const NO_FIELD = /[^\t\x20-\x7e\x80-\xff]/;

/**
 * An answer as bytes.
 * @param headers names in lower case, no field of the connection; Content-Length among them where `body` is not null, or
 * the answer is a HEAD's or a 304. Date is added where it is missing; its value, that of Age, and that of Expires with
 * a `lifetimeMs`, are written anew when it goes out.
 * @throws {RangeError} for a field with characters that no field may have
 */
export function finish(
  status: number,
  headers: readonly HeaderLine[],
  body: Uint8Array | null,
  { bornMs = 0, untilMs = Infinity, etag = null, notModified = null, keepsDate = false, lifetimeMs = null }: Finishing =
    {},
): Finished {
  let text = formatStatusLine(status);
  let [dateAt, ageAt, expiresAt] = [-1, -1, -1];
  for (const [name, value] of headers) {
    if (NO_FIELD.test(value)) throw new RangeError(`The field ${name} has characters that no field may have`);
    text += `${name}: `;
    if (name === "date" && !keepsDate) [dateAt, text] = [text.length, text + DATE];
    else if (name === "age") [ageAt, text] = [text.length, text + AGE];
    else if (name === "expires" && lifetimeMs !== null) [expiresAt, text] = [text.length, text + DATE];
    else text += value;
    text += "\r\n";
  }
  if (dateAt < 0 && !keepsDate) [dateAt, text] = [text.length + 6, `${text}date: ${DATE}\r\n`];
  text += "\r\n";
  const bytes = new Uint8Array(text.length + (body?.length ?? 0));
  put(text, bytes, 0);
  if (body) bytes.set(body, text.length);
  return {
    bytes,
    headLength: text.length,
    dateAt,
    ageAt,
    bornMs,
    untilMs,
    etag,
    notModified,
    ...(lifetimeMs !== null && expiresAt >= 0 && { expiresAt, lifetimeMs }),
  };
}
