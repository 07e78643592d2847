/** Short ways to write requests and responses for the rules. */
import type { StoredResponse } from "../../../../server/edge/response.ts";
import { type RuleSettings, toStored } from "../../../../server/edge/rules/mod.ts";
import { formatHttpDate } from "../../../../server/serve/http_date.ts";
import type { HeaderLine } from "../../../../runtime/http1/transport.ts";

/** A moment with no part of a second. */
export const NOW = Date.UTC(2026, 5, 1, 12, 0, 0);
export const SECOND = 1000;
export const DAY = 86_400 * SECOND;
export const SETTINGS: RuleSettings = { heuristicShare: 0.1, heuristicMostMs: DAY, staleOnErrorMs: 0 };

/** Lines as one writes them: `Name: value`, one a line. */
export function lines(text: string): HeaderLine[] {
  return text.split("\n").filter((line) => line.trim() !== "").map((line) => {
    const at = line.indexOf(":");
    return [line.slice(0, at).trim().toLowerCase(), line.slice(at + 1).trim()];
  });
}

export function get(fields = "", method = "GET"): { method: string; fields: HeaderLine[] } {
  return { method, fields: lines(fields) };
}

/** A response, with the Date of {@link NOW} where it has none. */
export function answer(fields = "", status = 200): { status: number; fields: HeaderLine[] } {
  const read = lines(fields);
  if (!read.some(([name]) => name === "date")) read.push(["date", formatHttpDate(NOW)]);
  return { status, fields: read };
}

/** What is stored of a response that came at {@link NOW}. */
export function stored(fields = "", { status = 200, request = "" } = {}): StoredResponse {
  return toStored(get(request), answer(fields, status), { requestMs: NOW, responseMs: NOW });
}

export function entry(response: StoredResponse): { response: StoredResponse } {
  return { response };
}

export function httpDate(ms: number): string {
  return formatHttpDate(ms);
}
