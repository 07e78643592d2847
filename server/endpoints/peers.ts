/** `/-/v1/peer/…`: what servers ask of each other, signed by each; and the probe, which proxies ask too. */
import { badRequest, type CdnError, codecForBody, formatEntityTag, isDigest } from "../../proto/mod.ts";
import { messageResponse } from "../../runtime/message.ts";
import { type CallName, calls } from "../cluster/calls.ts";
import { decodeDigests, encodeBodies, MOST_BYTES, SMALL_BYTES } from "../cluster/small_bodies.ts";
import { contentRange, type Selection, selectRanges } from "../serve/range.ts";
import { bodySize, type Store } from "../store/store.ts";
import type { Call } from "./call.ts";

/** The most bytes that a probe may ask for. */
export const MAX_PROBE_BYTES = 4 << 20;

/** POST /-/v1/peer/{name}: a call of `cluster/calls.ts`. */
export async function answerCall({ request, segments, parts }: Call): Promise<Response> {
  const { guard, limits, cluster } = parts;
  const name = segments.name!;
  if (!isCall(name)) throw badRequest("There is no such endpoint", { status: 404 });
  const { question, answer } = calls[name];
  const { body, from } = await guard.readFromServer(request, { limit: limits.peerMessage, idleMs: limits.idleMs });
  const message = codecForBody(request.headers.get("content-type")).decode(question, body, { lenient: true });
  // The schemas belong to each other by name, which the compiler cannot follow.
  return messageResponse(request, answer, await cluster.answer(name, message as never, from) as never);
}

function isCall(name: string): name is CallName {
  return Object.hasOwn(calls, name);
}

/** GET /-/v1/peer/bodies/{sha256}: a held body, whether or not a manifest names it; whole or one range of it. */
export async function sendBody({ request, segments, parts }: Call): Promise<Response> {
  const { guard, store } = parts;
  guard.requireServer(request);
  const sha256 = segments.sha256!;
  if (!isDigest(sha256)) throw badRequest("A body is named by its SHA-256: 64 lower-case hexadecimal digits");
  const size = await bodySize(store, sha256);
  if (size === null) throw notHeld();
  const etag = formatEntityTag(sha256);
  const selection = selectOne(request, etag, size);
  if (selection.kind === "unsatisfiable") {
    throw badRequest("The range lies outside the body", {
      status: 416,
      headers: { "content-range": `bytes */${size}` },
    });
  }
  const range = selection.kind === "parts" ? selection.parts[0]! : { start: 0, end: size };
  const isHead = request.method === "HEAD";
  const body = isHead ? null : await store.open(sha256, range);
  if (!isHead && !body) throw notHeld(); // freed in between
  return new Response(body && body.stream, {
    status: selection.kind === "parts" ? 206 : 200,
    headers: {
      etag,
      "content-type": "application/octet-stream",
      "content-length": String(range.end - range.start),
      "cache-control": "no-store",
      "accept-ranges": "bytes",
      ...(selection.kind === "parts" && { "content-range": contentRange(range, size) }),
    },
  });
}

/** POST /-/v1/peer/bodies: many small bodies in one answer (`cluster/small_bodies.ts`). */
export async function sendSmallBodies({ request, parts }: Call): Promise<Response> {
  const { guard, limits, store } = parts;
  const { body } = await guard.readFromServer(request, { limit: limits.peerMessage, idleMs: limits.idleMs });
  const digests = decodeDigests(body);
  let room = MOST_BYTES;
  const bodies = await Promise.all(digests.map(async (sha256) => {
    const size = await bodySize(store, sha256);
    if (size === null || size > SMALL_BYTES || size > room) return null;
    room -= size;
    return await wholeBody(store, sha256, size);
  }));
  return new Response(encodeBodies(bodies), {
    headers: { "content-type": "application/octet-stream", "cache-control": "no-store" },
  });
}

/** Null where it is not held (any more), or turns out to be rotten. */
async function wholeBody(store: Store, sha256: string, size: number): Promise<Uint8Array | null> {
  try {
    const open = await store.open(sha256);
    const bytes = open && new Uint8Array(await new Response(open.stream).arrayBuffer());
    return bytes?.length === size ? bytes : null;
  } catch {
    return null; // the store has noted it, and whoever asks for it alone hears why
  }
}

function notHeld(): CdnError {
  return badRequest("The body is not held here", { status: 404 });
}

/** One range at most: several come as the whole. */
function selectOne(request: Request, etag: string, size: number): Selection {
  const range = request.method === "GET" ? request.headers.get("range") : null;
  const ifRange = request.headers.get("if-range");
  if (range === null || (ifRange !== null && ifRange !== etag)) return { kind: "whole" };
  return selectRanges(range, size, { most: 1 });
}

/** GET /-/v1/peer/probe?bytes=N: N bytes that do not compress, for measuring a link. */
export function probe({ request, query, parts }: Call): Response {
  parts.guard.requirePeer(request);
  const text = query.get("bytes") ?? "";
  if (!/^\d{1,7}$/.test(text) || Number(text) > MAX_PROBE_BYTES) {
    throw badRequest(`"bytes" must be a whole number from 0 to ${MAX_PROBE_BYTES}`);
  }
  return new Response(request.method === "HEAD" ? null : noise().subarray(0, Number(text)), {
    headers: { "content-type": "application/octet-stream", "cache-control": "no-store", "content-length": text },
  });
}

let noiseBytes: Uint8Array<ArrayBuffer> | undefined;

/** Made at the first probe; 4 MiB. */
function noise(): Uint8Array<ArrayBuffer> {
  if (!noiseBytes) {
    noiseBytes = new Uint8Array(MAX_PROBE_BYTES);
    for (let at = 0; at < noiseBytes.length; at += 65536) crypto.getRandomValues(noiseBytes.subarray(at, at + 65536));
  }
  return noiseBytes;
}
