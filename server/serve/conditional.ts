/**
 * Conditional requests (RFC 9110 §13): what the preconditions of a request say of the current
 * representation. Pure.
 *
 * `Last-Modified` is the modification time that the uploader told, else the time of the write. A file
 * may be replaced by one with an older date, so a date alone does not order versions. An object counts as
 * unchanged since a date where the date is its very Last-Modified, or is not before its write.
 */
import { formatEntityTag, type Manifest } from "../../proto/mod.ts";
import { matches, matchesWeakly } from "../../runtime/entity_tags.ts";
import { parseHttpDate } from "./http_date.ts";
import { memo } from "./memo.ts";

/** What tells one version from another. */
export interface Validators {
  /** Strong. */
  etag: string;
  /** Of the Last-Modified field; whole seconds. */
  modifiedMs: number;
  /** When this version was written. */
  writtenMs: number;
}

/** A request's fields, as far as they are asked for; `Headers` are such. */
export interface RequestFields {
  /** The value of a field; null without it. */
  get(name: string): string | null;
}

/** `go`: nothing speaks against it; `not-modified`: 304; `failed`: 412. */
export type Verdict = "go" | "not-modified" | "failed";

const entityTag = memo(formatEntityTag);

/** The validators of an object. */
export function validatorsOf(manifest: Manifest): Validators {
  const { sha256, modifiedMs, version } = manifest;
  // Never later than the write: RFC 9110 §8.8.2.1 forbids a Last-Modified that lies ahead.
  const told = modifiedMs > 0 ? Math.min(modifiedMs, version.wallMs) : version.wallMs;
  return { etag: entityTag(sha256), modifiedMs: Math.floor(told / 1000) * 1000, writtenMs: version.wallMs };
}

/** Evaluates the preconditions in the order of RFC 9110 §13.2.2, but for If-Range; `current` is null without an object. */
export function checkPreconditions(method: string, headers: RequestFields, current: Validators | null): Verdict {
  const reading = method === "GET" || method === "HEAD";
  const match = headers.get("if-match");
  if (match !== null) {
    if (!current || !matches(match, current.etag)) return "failed";
  } else {
    const since = dateOf(headers, "if-unmodified-since");
    if (since !== null && (!current || !unchangedSince(current, since))) return "failed";
  }
  const noneMatch = headers.get("if-none-match");
  if (noneMatch !== null) {
    if (current && matchesWeakly(noneMatch, current.etag)) return reading ? "not-modified" : "failed";
  } else if (reading) {
    const since = dateOf(headers, "if-modified-since");
    if (since !== null && current && unchangedSince(current, since)) return "not-modified";
  }
  return "go";
}

/**
 * Whether a Range may be answered with a part, by the If-Range field (RFC 9110 §13.1.5): the entity tag is
 * compared strongly; a date must be the very Last-Modified, and a second old (§8.8.2.2).
 */
export function ifRangeHolds(field: string, current: Validators, nowMs: number): boolean {
  const value = field.trim();
  if (value.startsWith('"')) return value === current.etag;
  const date = parseHttpDate(value);
  return date !== null && date === current.modifiedMs && nowMs - current.modifiedMs >= 1000 &&
    nowMs - current.writtenMs >= 1000;
}

function unchangedSince({ modifiedMs, writtenMs }: Validators, date: number): boolean {
  return date === modifiedMs || date >= Math.max(writtenMs, modifiedMs);
}

/** A field that is no date is passed over (§13.1.3, §13.1.4). */
function dateOf(headers: RequestFields, name: string): number | null {
  const value = headers.get(name);
  return value === null ? null : parseHttpDate(value);
}
