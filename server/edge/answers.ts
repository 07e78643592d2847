/** Answers from what is stored: whole, in part, "you have it already". */
import type { BodySource } from "../../runtime/http1/body_source.ts";
import { fieldOf } from "../../runtime/http1/lines.ts";
import type { HeaderLine } from "../../runtime/http1/transport.ts";
import type { Answered } from "../../runtime/front/application.ts";
import { frameParts } from "../serve/multipart.ts";
import { type ByteRange, contentRange, type Selection, selectRanges } from "../serve/range.ts";
import type { Asked } from "./asked.ts";
import type { Entry } from "./cache/cache.ts";
import { EntryBody, type Source } from "./entry_body.ts";
import type { Fill } from "./fill.ts";
import { JoinedBody, type Part } from "./joined_body.ts";
import { answerFields, cacheStatus, type Handling, type Lines, rangeHolds } from "./rules/mod.ts";
import type { StoredResponse } from "./response.ts";

/** What every answer of an edge says of it. */
export interface Signature {
  /** Its name in Cache-Status. */
  name: string;
  /** Its name in Via. */
  pseudonym: string;
}

/** Answers that have no body, and say nothing of its length (RFC 9110 §8.6, §15.3.6). */
const BODILESS = new Set([204, 205]);
/** Fields of a representation that a 304 does without (RFC 9110 §15.4.5). */
const NOT_IN_304 = new Set(["content-encoding", "content-language", "content-length", "content-type"]);

/** An answer's fields as they go to the viewer: what an edge adds is added. `fields` are those of the answer so far. */
export function signed(fields: Lines, { name, pseudonym }: Signature, handling: Handling): HeaderLine[] {
  const before: HeaderLine[] = [];
  const lines: HeaderLine[] = [];
  let via = "";
  for (const line of fields) {
    if (line[0] === "cache-status") before.push(line);
    else if (line[0] === "via") via += `${line[1]}, `;
    else lines.push(line);
  }
  lines.push(["via", `${via}1.1 ${pseudonym}`], ["cache-status", cacheStatus(before, name, handling)]);
  return lines;
}

/** 304 for a stored response. */
export function notModified(stored: StoredResponse, nowMs: number): Answered {
  return { status: 304, headers: answerFields(stored, nowMs).filter(([name]) => !NOT_IN_304.has(name)), body: null };
}

/**
 * The answer to a GET or HEAD from an entry.
 * @param source where it gets what is not held
 * @param fill what comes in just now, if anything does
 * @param mostRanges the most ranges of one request that are answered apart
 * @throws {CdnError} source "origin" where what is not held cannot be had
 */
export async function represent(
  asked: Asked,
  entry: Entry,
  { source, fill, nowMs, mostRanges }: { source: Source; fill: Fill | null; nowMs: number; mostRanges: number },
): Promise<Answered> {
  const { response } = entry;
  const { status, length } = response;
  const headers = answerFields(response, nowMs);
  if (BODILESS.has(status)) return { status, headers, body: null };
  if (asked.method === "HEAD") {
    if (length !== null) headers.push(["content-length", String(length)]);
    return { status, headers, body: null };
  }
  const open = ({ start, end }: { start: number; end: number | null }, from: Fill | null = null) =>
    new EntryBody(entry, source, start, end, from);
  const begun = async (body: EntryBody): Promise<BodySource> => {
    await body.begin();
    return body;
  };
  const selection = selectParts(asked, response, mostRanges);
  if (entry.body === null) rangesOf(selection, length).forEach(source.expect);
  switch (selection.kind) {
    case "unsatisfiable":
      return {
        status: 416,
        headers: [["content-range", `bytes */${length}`], ["content-length", "0"], ["cache-control", "no-store"]],
        body: null,
      };
    case "whole": {
      const body = entry.body ?? await begun(open({ start: 0, end: length }, fill));
      if (length !== null) headers.push(["content-length", String(length)]);
      return { status, headers, body };
    }
    case "parts": {
      const size = length!;
      const inMemory = ({ start, end }: ByteRange) => entry.body?.subarray(start, end) ?? null;
      const without = (...names: string[]) => headers.filter(([name]) => !names.includes(name));
      if (selection.parts.length === 1) {
        const range = selection.parts[0]!;
        return {
          status: 206,
          headers: [
            ...without("content-range"),
            ["content-range", contentRange(range, size)],
            ["content-length", String(range.end - range.start)],
          ],
          body: inMemory(range) ?? await begun(open(range, fill)),
        };
      }
      const mediaType = fieldOf(headers, "content-type") ?? "application/octet-stream";
      const frame = frameParts(selection.parts, { size, mediaType, boundary: crypto.randomUUID() });
      const parts = selection.parts.flatMap((range, at): Part[] => [
        frame.heads[at]!,
        inMemory(range) ?? (() => open(range)),
      ]);
      return {
        status: 206,
        headers: [
          ...without("content-range", "content-type"),
          ["content-type", frame.contentType],
          ["content-length", String(frame.length)],
        ],
        body: new JoinedBody([...parts, frame.tail]),
      };
    }
  }
}

/** What of the body a selection means. */
function rangesOf(selection: Selection, length: number | null): readonly ByteRange[] {
  if (selection.kind === "parts") return selection.parts;
  return selection.kind === "whole" ? [{ start: 0, end: length ?? Infinity }] : [];
}

/** Which part a request asks for, as far as it can be known: of an unknown length it is the whole. */
function selectParts(asked: Asked, response: StoredResponse, most: number): Selection {
  const range = fieldOf(asked.fields, "range");
  if (range === null || response.status !== 200 || response.length === null) return { kind: "whole" };
  return rangeHolds(asked.fields, response) ? selectRanges(range, response.length, { most }) : { kind: "whole" };
}
