/**
 * Metadata as HTTP fields, for a plain `PUT` and for every answer with an object:
 *
 *     Content-Type: image/jpeg             the media type; on a PUT without it, found from the path's extension
 *     Last-Modified: <HTTP-date>           the file's modification time
 *     Metacdn-Name: caf%C3%A9.jpg          its original name
 *     Metacdn-Meta-<key>: value            one of the uploader's own pairs; keys are lower case here
 *
 * Names and values are percent-encoded UTF-8 (RFC 3986 §2.1): visible ASCII and inner spaces stand for themselves,
 * all else and "%" are escaped. Pairs go out as fields while they fit into {@link MAX_META_FIELDS} bytes in
 * all, so that no client chokes on them; `GET /-/v1/objects/<path>` has them all.
 */
import { create } from "@bufbuild/protobuf";
import { badRequest, messageFaults, type Metadata, refuse, wire } from "../proto/mod.ts";
import { mediaTypeOf } from "./media_type.ts";
import { parseHttpDate } from "./serve/http_date.ts";

const META_PREFIX = "metacdn-meta-";

/** The most bytes of Metacdn-Meta-* fields in one answer. */
export const MAX_META_FIELDS = 4096;

/**
 * The metadata that a PUT's fields tell.
 * @throws {CdnError} 400 that names each wrong field.
 */
export function readMetadata(path: string, headers: Headers): Metadata {
  const meta: Record<string, string> = {};
  for (const [name, value] of headers) {
    if (name.startsWith(META_PREFIX)) meta[name.slice(META_PREFIX.length)] = decodeField(name, value);
  }
  const nameField = headers.get("metacdn-name");
  const name = nameField === null ? "" : decodeField("metacdn-name", nameField);
  const modified = headers.get("last-modified");
  const modifiedMs = modified === null ? 0 : parseHttpDate(modified);
  if (modifiedMs === null) throw badRequest("The Last-Modified field must be an HTTP-date (RFC 9110 §5.6.7)");
  const metadata: Metadata = {
    mediaType: headers.get("content-type")?.trim() || mediaTypeOf(path, name),
    name,
    modifiedMs,
    meta,
  };
  // The same rules as for an upload session.
  const message = create(wire.CreateUploadSchema, { path, ...metadata, modifiedMs: BigInt(modifiedMs) });
  refuse("metadata", messageFaults(wire.CreateUploadSchema, message));
  return metadata;
}

/** The fields of an original name and of an uploader's pairs. */
export function metadataFields({ name, meta }: Pick<Metadata, "name" | "meta">): [name: string, value: string][] {
  const fields: [string, string][] = [];
  if (name !== "") fields.push(["metacdn-name", encodeField(name)]);
  let room = MAX_META_FIELDS;
  for (const key of Object.keys(meta).sort()) {
    const field: [string, string] = [META_PREFIX + key.toLowerCase(), encodeField(meta[key]!)];
    room -= field[0].length + field[1].length + 4;
    if (room < 0) break;
    fields.push(field);
  }
  return fields;
}

/** Visible ASCII as it is, all else percent-encoded; outer spaces too, which a field would lose. */
export function encodeField(text: string): string {
  return text.replace(/^ +| +$|[^\x20-\x24\x26-\x7e]+/g, (part) => encodeURIComponent(part.toWellFormed()));
}

function decodeField(name: string, value: string): string {
  if (/[^\x20-\x7e]/.test(value)) throw badRequest(`The field ${name} must be ASCII: percent-encode all else (UTF-8)`);
  try {
    return decodeURIComponent(value);
  } catch (cause) {
    throw badRequest(`The field ${name} must be percent-encoded UTF-8: write "%" as %25`, { cause });
  }
}
