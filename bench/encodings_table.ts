/** Prints the table of `docs/encodings.md`: bytes on the wire. `deno run bench/encodings_table.ts` */
import { jsonCodec, protobufCodec, wire } from "../proto/mod.ts";
import { bodySizes, chunkOf, samples, sizeName } from "./codec_samples.ts";

/** The table as Markdown. */
export function encodingsTable(): string {
  const rows = [
    ...samples,
    ...bodySizes.map((size) => ({
      name: `Chunk of ${sizeName(size)}`,
      schema: wire.ChunkSchema,
      message: chunkOf(size),
    })),
  ].map(({ name, schema, message }) => {
    const json = jsonCodec.encode(schema, message).length;
    const binary = protobufCodec.encode(schema, message).length;
    return `| ${name} | ${json} | ${binary} | ${(json / binary).toFixed(2)} |`;
  });
  return ["| message | JSON, bytes | Protobuf, bytes | JSON / Protobuf |", "| --- | ---: | ---: | ---: |", ...rows]
    .join("\n");
}

if (import.meta.main) console.log(encodingsTable());
