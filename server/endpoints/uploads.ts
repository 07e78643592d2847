/** `/-/v1/uploads`: sessions over HTTP. What they do is in `upload/`. */
import { badRequest, MESSAGE_TYPES, parseDigestField, wire } from "../../proto/mod.ts";
import { contentLength, readChunks, tooLarge } from "../../runtime/body.ts";
import { messageResponse, readMessage } from "../../runtime/message.ts";
import type { Call } from "./call.ts";

const RAW = "application/octet-stream";

/** POST /-/v1/uploads */
export async function create({ request, parts }: Call): Promise<Response> {
  parts.guard.requireToken(request);
  const question = await readMessage(request, wire.CreateUploadSchema, { idleMs: parts.limits.idleMs });
  if (question.size !== undefined && question.size > parts.limits.maxObjectSize) {
    throw tooLarge(parts.limits.maxObjectSize);
  }
  const upload = await parts.uploads.create(question);
  return answer(request, upload, 201, { location: `/-/v1/uploads/${upload.id}` });
}

/** GET /-/v1/uploads/{id} */
export async function get({ request, segments, parts }: Call): Promise<Response> {
  parts.guard.requireToken(request);
  return answer(request, await parts.uploads.get(sessionId(segments)));
}

/** DELETE /-/v1/uploads/{id} */
export async function cancel({ request, segments, parts }: Call): Promise<Response> {
  parts.guard.requireToken(request);
  await parts.uploads.cancel(sessionId(segments));
  return new Response(null, { status: 204 });
}

/**
 * PUT /-/v1/uploads/{id}/chunks/{offset}: a `Chunk` message, or the bytes themselves with their
 * Content-Digest (RFC 9530); the latter are streamed.
 */
export async function chunk({ request, segments, parts }: Call): Promise<Response> {
  const { guard, limits, uploads } = parts;
  guard.requireToken(request);
  const id = sessionId(segments);
  const offset = Number(segments.offset);
  if (!/^\d{1,15}$/.test(segments.offset!)) throw badRequest("The chunk's offset must be a whole number");
  const type = (request.headers.get("content-type") ?? "").split(";", 1)[0]!.trim().toLowerCase();
  if (type === RAW) {
    const size = contentLength(request.headers);
    const sha256 = parseDigestField(request.headers.get("content-digest"));
    if (sha256 === null) {
      throw badRequest("A raw chunk must carry a Content-Digest: sha-256=:BASE64: (RFC 9530)");
    }
    if (size !== null && size > limits.chunkSize) throw tooLarge(limits.chunkSize);
    const data = readChunks(request.body, { limit: limits.chunkSize, idleMs: limits.idleMs });
    return answer(request, await uploads.chunk(id, offset, data, { sha256, size }));
  }
  const message = await readMessage(request, wire.ChunkSchema, {
    // Base64 makes three bytes into four; the rest is for the frame of the message.
    limit: Math.ceil(limits.chunkSize / 3) * 4 + 1024,
    idleMs: limits.idleMs,
  }).catch((error) => {
    if (error.status === 415) {
      const accept = `${MESSAGE_TYPES}, ${RAW}`;
      throw badRequest(`The Content-Type must be one of ${accept}`, { status: 415, headers: { accept } });
    }
    throw error;
  });
  const { data, sha256 } = message;
  if (data.length > limits.chunkSize) throw tooLarge(limits.chunkSize);
  return answer(request, await uploads.chunk(id, offset, once(data), { sha256, size: data.length }));
}

/** POST /-/v1/uploads/{id}/commit */
export async function commit({ request, segments, parts }: Call): Promise<Response> {
  parts.guard.requireToken(request);
  const id = sessionId(segments);
  const question = await readMessage(request, wire.CommitUploadSchema, { idleMs: parts.limits.idleMs });
  return answer(request, await parts.uploads.commit(id, question));
}

function answer(request: Request, upload: wire.Upload, status = 200, headers: Record<string, string> = {}): Response {
  return messageResponse(request, wire.UploadSchema, upload, { status, headers });
}

/** Ids are ours, and plain; anything else is no session's and gets nowhere near a file name. */
function sessionId({ id }: Record<string, string>): string {
  if (/^[A-Za-z0-9_-]{1,64}$/.test(id!)) return id!;
  throw badRequest("There is no such upload", { status: 404 });
}

async function* once(data: Uint8Array): AsyncGenerator<Uint8Array> {
  yield data;
}
