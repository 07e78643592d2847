/** Saying what the edge did (RFC 9211). */
import { parseList, serializeItem, serializeList, Token } from "structured-headers";
import { memo } from "../../serve/memo.ts";
import { isToken, joined } from "../../../runtime/http1/lines.ts";
import type { Lines } from "./types.ts";

/** What an edge did for a request, as a parameter set of Cache-Status (RFC 9211 §2). */
export interface Handling {
  hit: boolean;
  fwd?: "bypass" | "method" | "uri-miss" | "vary-miss" | "miss" | "request" | "stale" | "partial";
  fwdStatus?: number;
  /** Milliseconds of freshness left, below zero where it is stale. */
  ttlMs?: number;
  stored?: boolean;
  collapsed?: boolean;
  detail?: string;
}

const nameText = memo((cache: string) => serializeItem([named(cache), new Map()]));

/**
 * The Cache-Status of an answer: what came from further caches, and ours at the end. What came and is no list is left
 * out, or nobody could read ours. A hit was not forwarded, so it has none of the parameters that say how.
 */
export function cacheStatus(before: Lines, cache: string, handling: Handling): string {
  const ours = nameText(cache) + parameters(handling);
  const text = joined(before, "cache-status");
  const further = text === null ? "" : list(text);
  return further === "" ? ours : `${further}, ${ours}`;
}

function parameters({ hit, fwd, fwdStatus, ttlMs, stored, collapsed, detail }: Handling): string {
  let text = hit ? ";hit" : "";
  if (!hit && fwd !== undefined) {
    text += `;fwd=${fwd}`;
    if (fwdStatus !== undefined) text += `;fwd-status=${fwdStatus}`;
  }
  if (ttlMs !== undefined) text += `;ttl=${Math.floor(ttlMs / 1000)}`;
  if (!hit && stored !== undefined) text += stored ? ";stored" : ";stored=?0";
  if (!hit && collapsed !== undefined) text += collapsed ? ";collapsed" : ";collapsed=?0";
  if (detail !== undefined) text += `;detail=${serializeItem([named(detail), new Map()])}`;
  return text;
}

/** A token where it can be one, else a string, with what a string cannot have left out. */
function named(text: string): Token | string {
  return isToken(text) && /^[A-Za-z*]/.test(text) ? new Token(text) : text.replace(/[^\x20-\x7e]/g, "");
}

/** A list of names, each a string or a token (RFC 9211 §2), as the library writes it; empty where it is none. */
function list(text: string): string {
  try {
    const names = parseList(text);
    return names.every(([name]) => typeof name === "string" || name instanceof Token) ? serializeList(names) : "";
  } catch {
    return "";
  }
}
