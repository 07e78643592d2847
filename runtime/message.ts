/** Message endpoints: both encodings in by Content-Type, both out by Accept. */
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { codecForAnswer, codecForBody } from "../proto/mod.ts";
import { IDLE_TIMEOUT_MS, readAll } from "./body.ts";

/** The largest message that is taken, in bytes, unless the endpoint says otherwise. */
export const MESSAGE_LIMIT = 1 << 20;

/**
 * A request's body as a checked message.
 * @throws {CdnError} 415, 413, 408, or 400 that names the field.
 */
export async function readMessage<Desc extends DescMessage>(
  request: Request,
  schema: Desc,
  { limit = MESSAGE_LIMIT, lenient = false, idleMs = IDLE_TIMEOUT_MS }: {
    limit?: number;
    lenient?: boolean;
    idleMs?: number;
  } = {},
): Promise<MessageShape<Desc>> {
  const codec = codecForBody(request.headers.get("content-type"));
  return codec.decode(schema, await readAll(request, { limit, idleMs }), { lenient });
}

/** A message as an answer, in the encoding that the request accepts. */
export function messageResponse<Desc extends DescMessage>(
  request: Request,
  schema: Desc,
  message: MessageShape<Desc>,
  { status = 200, headers = {} }: { status?: number; headers?: Record<string, string> } = {},
): Response {
  const codec = codecForAnswer(request.headers.get("accept"));
  return new Response(request.method === "HEAD" ? null : codec.encode(schema, message), {
    status,
    headers: {
      "content-type": codec.mediaType,
      "cache-control": "no-store",
      "vary": "accept",
      "x-content-type-options": "nosniff",
      ...headers,
    },
  });
}
