/** An object as an answer: whole, in part, in several parts, or "you have it already". */
import { CdnError, type Manifest } from "../../proto/mod.ts";
import type { Parts } from "../parts.ts";
import { type BodySource, streamSource } from "../../runtime/http1/body_source.ts";
import type { Answered } from "../../runtime/front/mod.ts";
import { ifRangeHolds, type RequestFields, type Validators } from "./conditional.ts";
import { type FieldLines, representationFields, validatorFields } from "./fields.ts";
import { multipart } from "./multipart.ts";
import { type ByteRange, contentRange, type Selection, selectRanges } from "./range.ts";

type Stream = ReadableStream<Uint8Array<ArrayBuffer>>;

/** A body that is opened, to be read in one of both ways: its stream, or into the reader's own memory. */
interface Opened {
  stream: Stream;
  source?: BodySource;
}

/** An answer with content, as plain data. */
export interface ContentAnswer {
  status: number;
  /** Names in lower case. */
  fields: FieldLines;
  body: Opened | Uint8Array<ArrayBuffer> | null;
}

type ServingParts = Pick<Parts, "store" | "cluster" | "hot" | "policy" | "limits" | "now">;

const whole: Selection = { kind: "whole" };

/** Which part of an object a request asks for. Only GET has ranges (RFC 9110 §14.2). */
export function selectParts(
  request: { method: string; headers: RequestFields },
  manifest: Manifest,
  validators: Validators,
  parts: ServingParts,
): Selection {
  const range = request.method === "GET" ? request.headers.get("range") : null;
  if (range === null) return whole;
  const condition = request.headers.get("if-range");
  if (condition !== null && !ifRangeHolds(condition, validators, parts.now())) return whole;
  return selectRanges(range, manifest.size, { most: parts.limits.ranges });
}

/** 304: the client's copy is good (RFC 9110 §15.4.5). */
export function notModified(manifest: Manifest, validators: Validators, { policy, now }: ServingParts): ContentAnswer {
  return { status: 304, fields: validatorFields(manifest, validators, policy(manifest.path), now()), body: null };
}

/** All that a 200 says. */
export function wholeFields(manifest: Manifest, validators: Validators, { policy, now }: ServingParts): FieldLines {
  return [
    ...validatorFields(manifest, validators, policy(manifest.path), now()),
    ...representationFields(manifest),
    ...bodyFields(manifest.mediaType, manifest.size),
  ];
}

/**
 * The answer with the selected bytes.
 * @throws {CdnError} 416 where nothing of what was asked exists; 503 where the body is gone from the store.
 */
export async function contentAnswer(
  method: string,
  manifest: Manifest,
  validators: Validators,
  selection: Selection,
  parts: ServingParts,
): Promise<ContentAnswer> {
  const { store, cluster, hot, policy, now } = parts;
  const { size, mediaType } = manifest;
  if (selection.kind === "unsatisfiable") {
    throw new CdnError(`The range lies outside the object, which has ${size} bytes`, {
      source: "client",
      status: 416,
      headers: { "content-range": `bytes */${size}` },
    });
  }
  // What is known and not here (yet) comes through another server while we answer.
  const open = async (range: ByteRange = { start: 0, end: size }): Promise<Opened> =>
    await store.open(manifest.sha256, range) ?? { stream: await cluster.fetchBody(manifest, range) };

  if (selection.kind === "parts") {
    const fields = validatorFields(manifest, validators, policy(manifest.path), now());
    fields.push(...representationFields(manifest));
    if (selection.parts.length > 1) {
      const boundary = crypto.randomUUID();
      const stream = async (range: ByteRange) => (await open(range)).stream;
      const { contentType, length, body } = multipart(selection.parts, { size, mediaType, boundary, open: stream });
      fields.push(...bodyFields(contentType, length));
      return { status: 206, fields, body: { stream: body() } };
    }
    const range = selection.parts[0]!;
    fields.push(["content-range", contentRange(range, size)], ...bodyFields(mediaType, range.end - range.start));
    const kept = hot.get(manifest.sha256);
    return { status: 206, fields, body: kept ? kept.subarray(range.start, range.end) : await open(range) };
  }
  const fields = wholeFields(manifest, validators, parts);
  if (method === "HEAD") return { status: 200, fields, body: null };
  let body: ContentAnswer["body"] = hot.get(manifest.sha256);
  if (!body) {
    const keep = hot.wants(manifest.sha256, size);
    body = await open();
    if (keep) hot.keep(manifest.sha256, body = await readWhole(body.stream, size));
  }
  return { status: 200, fields, body };
}

/** An answer for `Deno.serve`. */
export function contentResponse({ status, fields, body }: ContentAnswer): Response {
  return new Response(body && "stream" in body ? body.stream : body, { status, headers: fields });
}

/** An answer for a front. */
export function contentAnswered({ status, fields, body }: ContentAnswer): Answered {
  return { status, headers: fields, body: body && "stream" in body ? body.source ?? streamSource(body.stream) : body };
}

function bodyFields(contentType: string, length: number): FieldLines {
  return [["content-type", contentType], ["content-length", String(length)]];
}

/** All bytes of a body whose size is known. @throws {RangeError} where there are more */
export async function readWhole(body: Stream, size: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(size);
  let at = 0;
  for await (const chunk of body) {
    bytes.set(chunk, at); // throws where the store hands out more than the manifest says
    at += chunk.length;
  }
  if (at < size) throw new Error("the store handed out less than the manifest says");
  return bytes;
}
