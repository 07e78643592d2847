/** Several ranges as one `multipart/byteranges` body (RFC 9110 §14.6). */
import { type ByteRange, contentRange } from "./range.ts";

/** A multipart body that is read part by part, and whose length is known beforehand. */
export interface Multipart {
  contentType: string;
  length: number;
  body(): ReadableStream<Uint8Array<ArrayBuffer>>;
}

/**
 * Frames `parts` of a representation of `size` bytes.
 * @param boundary must not occur in the content: 128 random bits do not
 * @param open hands out the bytes of one part; only one is open at a time
 */
export function multipart(
  parts: readonly ByteRange[],
  { size, mediaType, boundary, open }: {
    size: number;
    mediaType: string;
    boundary: string;
    open: (range: ByteRange) => Promise<ReadableStream<Uint8Array<ArrayBuffer>>>;
  },
): Multipart {
  const encoder = new TextEncoder();
  const heads = parts.map((range, at) =>
    encoder.encode(
      `${at === 0 ? "" : "\r\n"}--${boundary}\r\nContent-Type: ${mediaType}\r\n` +
        `Content-Range: ${contentRange(range, size)}\r\n\r\n`,
    )
  );
  const tail = encoder.encode(`\r\n--${boundary}--\r\n`);
  async function* chunks() {
    for (const [at, range] of parts.entries()) {
      yield heads[at]!;
      yield* await open(range);
    }
    yield tail;
  }
  return {
    contentType: `multipart/byteranges; boundary=${boundary}`,
    length: parts.reduce((sum, { start, end }, at) => sum + heads[at]!.length + end - start, tail.length),
    body: () => ReadableStream.from(chunks()),
  };
}
