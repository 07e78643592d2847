/** Which stored responses fit a request (RFC 9111 §4.1). */
import { memo } from "../../serve/memo.ts";
import type { StoredResponse, Varied } from "../response.ts";
import { isToken, joined } from "../../../runtime/http1/lines.ts";
import { normalAccept, normalEncodings, normalLanguages } from "./negotiation.ts";
import { isUnkeyed } from "./request_fields.ts";
import type { Lines } from "./types.ts";

/** A response that varies with more fields than these varies with everything. */
const MOST_FIELDS = 32;

const read = memo((text: string) => ({ names: readNames(text) }));

/** The fields that Vary nominates, in lower case and by the alphabet; null where it has a `*`, or what is no name. */
export function nominated(fields: Lines): readonly string[] | null {
  const text = joined(fields, "vary");
  if (text === null) return [];
  return text.length <= 256 ? read(text).names : readNames(text);
}

function readNames(text: string): readonly string[] | null {
  const names = text.toLowerCase().split(",").map((name) => name.trim()).filter((name) => name !== "");
  if (!names.every((name) => name !== "*" && isToken(name))) return null;
  const once = [...new Set(names)].sort();
  return once.length <= MOST_FIELDS ? once : null;
}

/** The request fields that the stored response varies with, as this request has them; null for `Vary: *`. */
export function variedOf(request: Lines, received: Lines): readonly Varied[] | null {
  return nominated(received)?.map((name) => [name, normalValue(request, name)] as const) ?? null;
}

/** True where the request has what the stored response varies with. */
export function fits(request: Lines, { varied }: StoredResponse): boolean {
  for (const [name, value] of varied) if (normalValue(request, name) !== value) return false;
  return true;
}

/** A request field in its normal form; null where the request has none, or no origin gets to see it. */
function normalValue(request: Lines, name: string): string | null {
  const text = isUnkeyed(name) ? null : joined(request, name);
  if (text === null) return null;
  if (name === "accept-encoding") return normalEncodings(text);
  if (name === "accept-language") return normalLanguages(text) || null;
  return name === "accept" ? normalAccept(text) : text;
}
