/**
 * Conditional requests on sheets, so that two operators do not overwrite each other (RFC 9110 §13).
 *
 * A strong ETag names the bytes of one representation (§8.8.1), so the two encodings of a sheet have two tags:
 * the sheet's revision with the encoding's name behind it. A write takes either.
 */
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { badRequest, codecForAnswer, type Encoding, protobufCodec } from "../proto/mod.ts";
import { matches, matchesWeakly } from "../runtime/entity_tags.ts";
import { messageResponse } from "../runtime/message.ts";
import { sha256 } from "../runtime/signature.ts";

const ENCODINGS: Encoding[] = ["json", "protobuf"];

/** The tag of a message in the encoding that the request accepts. */
export function etagFor<Desc extends DescMessage>(request: Request, schema: Desc, message: MessageShape<Desc>): string {
  return tag(revision(schema, message), codecForAnswer(request.headers.get("accept")).encoding);
}

/** A message as an answer with its ETag; 304 where the client has it already. */
export function taggedResponse<Desc extends DescMessage>(
  request: Request,
  schema: Desc,
  message: MessageShape<Desc>,
  { status = 200 }: { status?: number } = {},
): Response {
  const etag = etagFor(request, schema, message);
  // Kept by the client alone, and asked about each time: a price counts from the moment that it is written.
  const headers = { etag, "cache-control": "private, no-cache" };
  const reading = request.method === "GET" || request.method === "HEAD";
  if (reading && matchesWeakly(request.headers.get("if-none-match"), etag)) {
    return new Response(null, { status: 304, headers: { ...headers, vary: "accept" } });
  }
  return messageResponse(request, schema, message, { status, headers });
}

/**
 * Checks If-Match and If-None-Match of a write against what is there now (null: nothing).
 * @throws {CdnError} 412 where it is not what the client thinks.
 */
export function checkPreconditions<Desc extends DescMessage>(
  headers: Headers,
  schema: Desc,
  current: MessageShape<Desc> | null,
): void {
  const tags = current ? ENCODINGS.map((encoding) => tag(revision(schema, current), encoding)) : [undefined];
  const must = headers.get("if-match");
  if (must !== null && !tags.some((etag) => matches(must, etag))) {
    throw badRequest(
      current
        ? "The sheet was changed since you read it (If-Match): read it again, then decide"
        : "There is no such sheet any more (If-Match)",
      { status: 412 },
    );
  }
  const mustNot = headers.get("if-none-match");
  if (mustNot !== null && tags.some((etag) => matchesWeakly(mustNot, etag))) {
    throw badRequest("There is such a sheet already (If-None-Match)", { status: 412 });
  }
}

function revision<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): string {
  return sha256(protobufCodec.encode(schema, message)).slice(0, 32);
}

function tag(revision: string, encoding: Encoding): string {
  return `"${revision}.${encoding}"`;
}
