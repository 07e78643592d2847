/**
 * Object paths: the key of an object, and the part of a URL that names it.
 *
 * A path starts with "/" and is decoded UTF-8. It has no empty, "." or ".." segments (a trailing "/"
 * is one), no control characters and no "\"; an encoded slash (%2F) is refused, because intermediaries
 * disagree on what it means (RFC 3986 §2.2). `/-/` is reserved for the programs' own endpoints.
 */
import { badRequest } from "./error.ts";

/** The longest path that is taken, in bytes of UTF-8. */
export const MAX_PATH_BYTES = 1024;

/** Everything below this prefix is a program's own endpoint, never content. */
export const OWN_PREFIX = "/-/";

const decoder = new TextDecoder("utf-8", { fatal: true });
const encoder = new TextEncoder();

/** Why `path` is not an object's path, or null if it is one. */
export function pathFault(path: string): string | null {
  if (!path.startsWith("/")) return 'must start with "/"';
  if (path.length < 2) return "must name an object below /";
  if (encoder.encode(path).length > MAX_PATH_BYTES) return `must be at most ${MAX_PATH_BYTES} bytes long`;
  if (/[\p{Cc}\\]/u.test(path)) return 'must have no control character and no "\\"';
  if (!path.isWellFormed()) return "must be well-formed Unicode";
  for (const segment of path.slice(1).split("/")) {
    if (segment === "") return "must have no empty segment";
    if (segment === "." || segment === "..") return `must have no "${segment}" segment`;
  }
  if (path === "/-" || path.startsWith(OWN_PREFIX)) return `must not be below ${OWN_PREFIX}, which is reserved`;
  return null;
}

/**
 * Decodes the path of a request target (`/a%20b.jpg`, still percent-encoded, without a query).
 * @throws {CdnError} 400 (414 where it is too long) that says what is wrong.
 */
export function decodePath(encoded: string): string {
  if (encoded.length > 3 * MAX_PATH_BYTES) {
    throw badRequest(`The path must be at most ${MAX_PATH_BYTES} bytes long`, { status: 414 });
  }
  if (/%2f|%5c/i.test(encoded)) throw badRequest("The path must have no encoded slash (%2F, %5C)");
  let path: string;
  try {
    path = encoded.includes("%") ? decodePercent(encoded) : encoded;
  } catch {
    throw badRequest("The path must be valid percent-encoded UTF-8");
  }
  const fault = pathFault(path);
  if (fault) throw badRequest(`The path ${fault}`, fault.includes("bytes long") ? { status: 414 } : {});
  return path;
}

/** The inverse of {@link decodePath}: what stands in a URL. */
export function encodePath(path: string): string {
  return path.split("/").map((segment) =>
    encodeURIComponent(segment).replaceAll(
      /%(21|24|26|27|28|29|2A|2B|2C|3A|3B|3D|40)/g,
      (escape) => decodeURIComponent(escape),
    )
  ).join("/");
}

function decodePercent(text: string): string {
  if (/%(?![0-9a-fA-F]{2})/.test(text)) throw new URIError("malformed escape");
  const bytes = encoder.encode(text);
  const out = new Uint8Array(bytes.length);
  let length = 0;
  for (let at = 0; at < bytes.length; at++) {
    if (bytes[at] === 0x25) {
      out[length++] = parseInt(text.length === bytes.length ? text.slice(at + 1, at + 3) : ascii(bytes, at + 1), 16);
      at += 2;
    } else out[length++] = bytes[at]!;
  }
  return decoder.decode(out.subarray(0, length));
}

function ascii(bytes: Uint8Array, at: number): string {
  return String.fromCharCode(bytes[at]!, bytes[at + 1]!);
}
