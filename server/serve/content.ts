/** An object as an answer: whole, in part, in several parts, or "you have it already". */
import { CdnError, type Manifest } from "../../proto/mod.ts";
import type { Parts } from "../parts.ts";
import { ifRangeHolds, type Validators } from "./conditional.ts";
import { type FieldLines, representationFields, validatorFields } from "./fields.ts";
import { multipart } from "./multipart.ts";
import { type ByteRange, contentRange, type Selection, selectRanges } from "./range.ts";

type Body = ReadableStream<Uint8Array<ArrayBuffer>>;
type ServingParts = Pick<Parts, "store" | "cluster" | "hot" | "policy" | "limits" | "now">;

const whole: Selection = { kind: "whole" };

/** Which part of an object a request asks for. Only GET has ranges (RFC 9110 §14.2). */
export function selectParts(request: Request, manifest: Manifest, validators: Validators, parts: ServingParts) {
  const range = request.method === "GET" ? request.headers.get("range") : null;
  if (range === null) return whole;
  const condition = request.headers.get("if-range");
  if (condition !== null && !ifRangeHolds(condition, validators, parts.now())) return whole;
  return selectRanges(range, manifest.size, { most: parts.limits.ranges });
}

/** 304: the client's copy is good (RFC 9110 §15.4.5). */
export function notModified(manifest: Manifest, validators: Validators, { policy, now }: ServingParts): Response {
  return new Response(null, {
    status: 304,
    headers: validatorFields(manifest, validators, policy(manifest.path), now()),
  });
}

/**
 * The answer with the selected bytes.
 * @throws {CdnError} 416 where nothing of what was asked exists; 503 where the body is gone from the store.
 */
export async function contentResponse(
  method: string,
  manifest: Manifest,
  validators: Validators,
  selection: Selection,
  { store, cluster, hot, policy, now }: ServingParts,
): Promise<Response> {
  const { size, mediaType } = manifest;
  if (selection.kind === "unsatisfiable") {
    throw new CdnError(`The range lies outside the object, which has ${size} bytes`, {
      source: "client",
      status: 416,
      headers: { "content-range": `bytes */${size}` },
    });
  }
  // What is known and not here (yet) comes through another server while we answer.
  const open = async (range: ByteRange = { start: 0, end: size }): Promise<Body> =>
    (await store.open(manifest.sha256, range))?.stream ?? await cluster.fetchBody(manifest, range);
  const fields = validatorFields(manifest, validators, policy(manifest.path), now());
  fields.push(...representationFields(manifest));

  if (selection.kind === "parts" && selection.parts.length > 1) {
    const boundary = crypto.randomUUID();
    const { contentType, length, body } = multipart(selection.parts, { size, mediaType, boundary, open });
    return respond(206, fields, contentType, length, body());
  }
  if (selection.kind === "parts") {
    const range = selection.parts[0]!;
    fields.push(["content-range", contentRange(range, size)]);
    const kept = hot.get(manifest.sha256);
    const body = kept ? kept.subarray(range.start, range.end) : await open(range);
    return respond(206, fields, mediaType, range.end - range.start, body);
  }
  if (method === "HEAD") return respond(200, fields, mediaType, size, null);
  let body: Body | Uint8Array<ArrayBuffer> | null = hot.get(manifest.sha256);
  if (!body) {
    const keep = hot.wants(manifest.sha256, size);
    body = await open();
    if (keep) hot.keep(manifest.sha256, body = await readWhole(body, size));
  }
  return respond(200, fields, mediaType, size, body);
}

function respond(
  status: number,
  fields: FieldLines,
  contentType: string,
  length: number,
  body: Body | Uint8Array<ArrayBuffer> | null,
) {
  fields.push(["content-type", contentType], ["content-length", String(length)]);
  return new Response(body, { status, headers: fields });
}

async function readWhole(body: Body, size: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(size);
  let at = 0;
  for await (const chunk of body) {
    bytes.set(chunk, at); // throws a RangeError where the store hands out more than the manifest says
    at += chunk.length;
  }
  if (at < size) throw new Error("the store handed out less than the manifest says");
  return bytes;
}
