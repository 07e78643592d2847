/** A plain `PUT` or `DELETE`: one request, one object. `curl -T photo.jpg http://…/photo.jpg` is enough. */
import {
  badRequest,
  CdnError,
  encodePath,
  formatDigestField,
  formatEntityTag,
  formatVersion,
  type Manifest,
  parseDigestField,
} from "../proto/mod.ts";
import { contentLength, readChunks, tooLarge } from "../runtime/body.ts";
import { readMetadata } from "./metadata_fields.ts";
import { isLive, newestOf, type Parts } from "./parts.ts";
import { checkPreconditions, validatorsOf } from "./serve/conditional.ts";
import type { Precondition } from "./write.ts";

/**
 * Streams the body into the store and makes it visible. All that the request's head can be refused for is
 * refused before the body is read.
 *
 * Answers 201 for a new object, 204 for a replaced one, in both cases without a body: ETag, Repr-Digest and
 * Metacdn-Version say what is stored now, Metacdn-Copies on how many servers.
 * @throws {CdnError} 400 for what does not parse or match, 408, 412, 413, 415, 507; 503 where too few servers hold it
 * in time: it is stored here and goes on spreading, but nothing is promised.
 */
export async function receive(request: Request, path: string, parts: Parts): Promise<Response> {
  const { store, writer, cluster, limits, log } = parts;
  const { headers } = request;
  if (headers.has("content-range")) {
    throw badRequest("A PUT takes the whole object, not a part of it: Content-Range is refused (RFC 9110 §14.5)");
  }
  if ((headers.get("content-encoding") ?? "identity").trim().toLowerCase() !== "identity") {
    throw badRequest("An object is stored as it is: send it without Content-Encoding", {
      status: 415,
      headers: { "accept-encoding": "identity" },
    });
  }
  const size = contentLength(headers);
  if (size !== null && size > limits.maxObjectSize) throw tooLarge(limits.maxObjectSize);
  const metadata = readMetadata(path, headers);
  const sha256 = expectedDigest(headers);
  const precondition = preconditionOf(request);
  precondition?.(await newestOf(path, parts));

  const chunks = readChunks(request.body, { limit: limits.maxObjectSize, idleMs: limits.idleMs });
  const staged = await store.stage(chunks, { ...(sha256 !== null && { sha256 }), ...(size !== null && { size }) });
  // Asked again under the path's lock: another write may have come first.
  const { manifest, created } = await writer.write(path, staged, metadata, precondition);
  const copies = await cluster.secure(manifest);
  log.info(created ? "stored" : "replaced", { path, size: manifest.size, copies });
  return new Response(null, {
    status: created ? 201 : 204,
    headers: {
      "etag": formatEntityTag(manifest.sha256),
      "repr-digest": formatDigestField(manifest.sha256),
      "metacdn-version": formatVersion(manifest.version),
      "metacdn-copies": String(copies),
      ...(created && { location: encodePath(path) }),
    },
  });
}

/** Puts a tombstone in the object's place; answers 204. @throws {CdnError} 404, 412. */
export async function remove(request: Request, path: string, { writer, cluster, log }: Parts): Promise<Response> {
  const { manifest } = await writer.remove(path, preconditionOf(request));
  const copies = await cluster.secure(manifest);
  log.info("deleted", { path, copies });
  return new Response(null, {
    status: 204,
    headers: { "metacdn-version": formatVersion(manifest.version), "metacdn-copies": String(copies) },
  });
}

/** The preconditions of a write, to be asked of what is stored; undefined where there are none. */
export function preconditionOf({ method, headers }: Request): Precondition | undefined {
  if (!["if-match", "if-none-match", "if-unmodified-since"].some((name) => headers.has(name))) return undefined;
  return (current: Manifest | null) => {
    const validators = isLive(current) ? validatorsOf(current) : null;
    if (checkPreconditions(method, headers, validators) === "go") return;
    throw new CdnError("The object is not what the precondition says", {
      source: "client",
      status: 412,
      ...(validators && { headers: { etag: validators.etag } }),
    });
  };
}

/** What the body must hash to. Without a Content-Encoding, content and representation are the same bytes. */
function expectedDigest(headers: Headers): string | null {
  const ofContent = parseDigestField(headers.get("content-digest"));
  const ofWhole = parseDigestField(headers.get("repr-digest"));
  if (ofContent !== null && ofWhole !== null && ofContent !== ofWhole) {
    throw badRequest("Content-Digest and Repr-Digest must be the same here");
  }
  return ofContent ?? ofWhole;
}
