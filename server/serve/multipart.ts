/** Several ranges as one `multipart/byteranges` body (RFC 9110 §14.6). */
import { type ByteRange, contentRange } from "./range.ts";

/** A multipart body that is read part by part, and whose length is known beforehand. */
export interface Multipart {
  contentType: string;
  length: number;
  body(): ReadableStream<Uint8Array<ArrayBuffer>>;
}

/** What stands around the parts of a multipart body. */
export interface Frame {
  contentType: string;
  /** Of the whole body, parts and all. */
  length: number;
  /** What goes before each part. */
  heads: Uint8Array<ArrayBuffer>[];
  /** What goes after the last. */
  tail: Uint8Array<ArrayBuffer>;
}

/**
 * Frames `parts` of a representation of `size` bytes.
 * @param boundary must not occur in the content: 128 random bits do not
 */
export function frameParts(
  parts: readonly ByteRange[],
  { size, mediaType, boundary }: { size: number; mediaType: string; boundary: string },
): Frame {
  const encoder = new TextEncoder();
  const heads = parts.map((range, at) =>
    encoder.encode(
      `${at === 0 ? "" : "\r\n"}--${boundary}\r\nContent-Type: ${mediaType}\r\n` +
        `Content-Range: ${contentRange(range, size)}\r\n\r\n`,
    )
  );
  const tail = encoder.encode(`\r\n--${boundary}--\r\n`);
  return {
    contentType: `multipart/byteranges; boundary=${boundary}`,
    length: parts.reduce((sum, { start, end }, at) => sum + heads[at]!.length + end - start, tail.length),
    heads,
    tail,
  };
}

/**
 * The same as a body.
 * @param open hands out the bytes of one part; only one is open at a time
 */
export function multipart(
  parts: readonly ByteRange[],
  { open, ...framing }: {
    size: number;
    mediaType: string;
    boundary: string;
    open: (range: ByteRange) => Promise<ReadableStream<Uint8Array<ArrayBuffer>>>;
  },
): Multipart {
  const { contentType, length, heads, tail } = frameParts(parts, framing);
  async function* chunks() {
    for (const [at, range] of parts.entries()) {
      yield heads[at]!;
      yield* await open(range);
    }
    yield tail;
  }
  return { contentType, length, body: () => ReadableStream.from(chunks()) };
}
