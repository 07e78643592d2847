/**
 * One door to both encodings: ProtoJSON and Protobuf. What passes it has been checked by `rules.ts`.
 *
 * ProtoJSON: https://protobuf.dev/programming-guides/json/ (64-bit integers as strings, bytes as
 * base64, camelCase names). Fields at their default are written too, so that scripts find them.
 */
import {
  create,
  type DescMessage,
  fromBinary,
  fromJsonString,
  type MessageShape,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import { refuse } from "./check.ts";
import { badRequest, CdnError } from "./error.ts";
import { type Chunk, ChunkSchema } from "./gen/metacdn/v1/upload_pb.ts";
import { messageFaults } from "./rules.ts";

/** The names of the encodings, as `--encoding` takes them. */
export type Encoding = "json" | "protobuf";

/** Encodes and decodes every kind of message. */
export interface Codec {
  /** Its name. */
  readonly encoding: Encoding;
  /** The media type of what it writes. */
  readonly mediaType: string;
  /** A message as bytes. */
  encode<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): Uint8Array<ArrayBuffer>;
  /**
   * Bytes as a checked message. With `lenient`, unknown JSON fields are passed over: what a newer peer
   * sends. `complete` may fill in what stands elsewhere (in the URL) before the message is checked.
   * A decoded `bytes` field may be a view of `bytes`: copy it before keeping it.
   * @throws {CdnError} 400 that names the field.
   */
  decode<Desc extends DescMessage>(
    schema: Desc,
    bytes: Uint8Array,
    options?: { lenient?: boolean; complete?: (message: MessageShape<Desc>) => void },
  ): MessageShape<Desc>;
}

const utf8 = new TextDecoder("utf-8", { fatal: true });
const encoder = new TextEncoder();

/** `JSON.stringify` of ProtoJSON. */
export const jsonCodec: Codec = {
  encoding: "json",
  mediaType: "application/json",
  encode: (schema, message) =>
    isChunk(schema)
      ? encodeChunk(message as unknown as Chunk)
      : encoder.encode(JSON.stringify(toJson(schema, message, { alwaysEmitImplicit: true }))),
  decode: (schema, bytes, { lenient = false, complete } = {}) =>
    checked(schema, complete, () => {
      const json = utf8.decode(bytes);
      const chunk = isChunk(schema) ? decodeChunk(json) as MessageShape<typeof schema> | null : null;
      return chunk ?? fromJsonString(schema, json, { ignoreUnknownFields: lenient });
    }),
};

/** Protobuf's binary wire format. */
export const protobufCodec: Codec = {
  encoding: "protobuf",
  mediaType: "application/protobuf",
  encode: (schema, message) => toBinary(schema, message),
  decode: (schema, bytes, { complete } = {}) =>
    checked(schema, complete, () => fromBinary(schema, bytes, { readUnknownFields: false })),
};

const codecs: Record<Encoding, Codec> = { json: jsonCodec, protobuf: protobufCodec };
const byMediaType: Record<string, Codec> = {
  "application/json": jsonCodec,
  "application/protobuf": protobufCodec,
  "application/x-protobuf": protobufCodec,
  "application/vnd.google.protobuf": protobufCodec,
};

/** What a message endpoint takes, for the Accept field of a 415. */
export const MESSAGE_TYPES: string = `${jsonCodec.mediaType}, ${protobufCodec.mediaType}`;

/** The codec of an encoding's name. */
export function codecOf(encoding: Encoding): Codec {
  return codecs[encoding];
}

/**
 * The codec for a body, by its Content-Type.
 * @throws {CdnError} 415 with the list of types that are taken (RFC 9110 §15.5.16).
 */
export function codecForBody(contentType: string | null): Codec {
  const type = (contentType ?? "").split(";", 1)[0]!.trim().toLowerCase();
  const codec = byMediaType[type];
  if (!codec) {
    throw badRequest(`The Content-Type must be one of ${MESSAGE_TYPES}${type ? `, not ${type}` : ""}`, {
      status: 415,
      headers: { accept: MESSAGE_TYPES },
    });
  }
  return codec;
}

/** The codec for an answer, by the request's Accept: Protobuf where it is asked for, else JSON. */
export function codecForAnswer(accept: string | null): Codec {
  if (!accept || !/protobuf/i.test(accept)) return jsonCodec;
  let best: Codec = jsonCodec;
  let bestQuality = 0;
  for (const range of accept.split(",")) {
    const [type = "", ...parameters] = range.split(";").map((part) => part.trim().toLowerCase());
    const codec = type === "*/*" || type === "application/*" ? jsonCodec : byMediaType[type];
    const quality = Number(parameters.find((parameter) => parameter.startsWith("q="))?.slice(2) ?? 1);
    if (codec && quality > bestQuality) [best, bestQuality] = [codec, quality];
  }
  return best;
}

// A chunk is megabytes of base64: written and read at once it takes half to a third of the library's time,
// and one copy less (docs/encodings.md). The wire format is the same.

function isChunk(schema: DescMessage): boolean {
  return schema.typeName === ChunkSchema.typeName;
}

function encodeChunk({ data, sha256 }: Chunk): Uint8Array<ArrayBuffer> {
  return encoder.encode(`{"data":"${data.toBase64()}","sha256":${JSON.stringify(sha256)}}`);
}

/** A chunk written just as {@link encodeChunk} does; null for any other text, which the library shall judge. */
function decodeChunk(json: string): Chunk | null {
  const head = '{"data":"';
  const tail = /^","sha256":"([0-9a-f]{64})"}$/.exec(json.slice(-78));
  if (!tail || !json.startsWith(head)) return null;
  const base64 = json.slice(head.length, -78);
  try {
    const data = Uint8Array.fromBase64(base64, { lastChunkHandling: "strict" });
    // White space would have been passed over.
    return base64.length === 4 * Math.ceil(data.length / 3) ? create(ChunkSchema, { data, sha256: tail[1]! }) : null;
  } catch {
    return null;
  }
}

function checked<Desc extends DescMessage>(
  schema: Desc,
  complete: ((message: MessageShape<Desc>) => void) | undefined,
  decode: () => MessageShape<Desc>,
): MessageShape<Desc> {
  let message: MessageShape<Desc>;
  try {
    message = decode();
  } catch (cause) {
    if (cause instanceof CdnError) throw cause;
    throw badRequest(`Malformed ${schema.name}: ${reason(cause)}`, { cause });
  }
  complete?.(message);
  refuse(schema.name, messageFaults(schema, message));
  return message;
}

/** The library's words, without its own prefix. */
function reason(cause: unknown): string {
  const words = cause instanceof Error ? cause.message : String(cause);
  return words.replaceAll("metacdn.v1.", "").replace(/^cannot decode message \w+ from JSON: /, "").slice(0, 300);
}
