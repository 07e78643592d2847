/** Which fields of a response are stored (RFC 9111 §3.1), and its tags. */
import { namedByConnection } from "../../../runtime/http1/pass_on.ts";
import type { HeaderLine } from "../../../runtime/http1/transport.ts";
import { formatHttpDate } from "../../serve/http_date.ts";
import { parseDate } from "./date.ts";
import { DEPENDED_ON, responseDirectives } from "./response_directives.ts";
import type { Lines } from "./types.ts";

/** Those of a connection or of a proxy; those that a body has of its own; and those that only we are told. */
const NOT_STORED: ReadonlySet<string> = new Set([
  "cache-tag",
  "connection",
  "content-length",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authentication-info",
  "proxy-authorization",
  "proxy-connection",
  "surrogate-key",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** A response has no more tags than these, and none that is longer. */
const MOST_TAGS = 1024;
const LONGEST_TAG = 1024;

/** Without what is not stored, and with the one Date that is right: ours where the origin gave none (RFC 9110 §6.6.1). */
export function storableFields(fields: Lines, responseMs: number): HeaderLine[] {
  const named = namedByConnection(fields);
  const kept = fields.filter(([name]) => !NOT_STORED.has(name) && (!named?.has(name) || DEPENDED_ON.has(name)));
  return withDate(withoutWithheld(kept), responseMs);
}

/** Without the fields that `private="…"` and `no-cache="…"` name (§5.2.2.4, §5.2.2.7). */
export function withoutWithheld(fields: HeaderLine[]): HeaderLine[] {
  const { withheld } = responseDirectives(fields);
  return withheld.length === 0 ? fields : fields.filter(([name]) => !withheld.includes(name));
}

/** The fields that {@link withoutWithheld} leaves out. */
export function withheldOf(fields: Lines): Lines {
  const { withheld } = responseDirectives(fields);
  return withheld.length === 0 ? [] : fields.filter(([name]) => withheld.includes(name));
}

function withDate(fields: HeaderLine[], responseMs: number): HeaderLine[] {
  const right = fields.find(([name, value]) => name === "date" && parseDate(value) !== null);
  const kept = fields.filter((line) => line[0] !== "date" || line === right);
  return right ? kept : [...kept, ["date", formatHttpDate(responseMs)]];
}

/** The tags by which a response may be purged: Surrogate-Key parts them by spaces, Cache-Tag by commas. */
export function tagsOf(fields: Lines): string[] {
  const tags = new Set<string>();
  for (const [name, value] of fields) {
    if (name !== "surrogate-key" && name !== "cache-tag") continue;
    for (const part of value.split(name === "cache-tag" ? "," : /[ \t]+/)) {
      const tag = part.trim();
      if (tag !== "" && tag.length <= LONGEST_TAG && tags.size < MOST_TAGS) tags.add(tag);
    }
  }
  return [...tags];
}

/** The fields that say these tags: the inverse of {@link tagsOf}. One with a comma has no space, and the other way round. */
export function tagFields(tags: readonly string[]): HeaderLine[] {
  const fields: HeaderLine[] = [];
  const [plain, withComma] = [tags.filter((tag) => !tag.includes(",")), tags.filter((tag) => tag.includes(","))];
  if (plain.length) fields.push(["cache-tag", plain.join(",")]);
  if (withComma.length) fields.push(["surrogate-key", withComma.join(" ")]);
  return fields;
}

/** True where a response says what it is tagged with, if only with nothing. */
export function tells(fields: Lines): boolean {
  return fields.some(([name]) => name === "surrogate-key" || name === "cache-tag");
}
