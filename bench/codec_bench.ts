/**
 * JSON against Protobuf: every kind of message, and bodies of 1 KiB to 8 MiB. Pure compute: `deno bench
 * bench/codec_bench.ts` needs no permission.
 *
 * For bodies there are five ways, and the bare copy as the bound of what can be had:
 *
 *     ProtoJSON           our codec (what `--encoding json` sends)
 *     library ProtoJSON   the same by the Protobuf library alone
 *     stringify + @std    JSON.stringify with base64 by @std/encoding
 *     stringify + native  JSON.stringify with Uint8Array.prototype.toBase64
 *     Protobuf            our codec (what `--encoding protobuf` sends)
 */
import { fromJsonString, toJsonString } from "@bufbuild/protobuf";
import { decodeBase64, encodeBase64 } from "@std/encoding/base64";
import { jsonCodec, protobufCodec, wire } from "../proto/mod.ts";
import { bodySizes, chunkOf, samples, sizeName } from "./codec_samples.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

for (const { name, schema, message } of samples) {
  for (const codec of [jsonCodec, protobufCodec]) {
    const bytes = codec.encode(schema, message);
    const label = codec.encoding === "json" ? "ProtoJSON" : "Protobuf";
    Deno.bench(`${label} encode ${name}`, { group: `encode ${name}`, baseline: codec === jsonCodec }, () => {
      codec.encode(schema, message);
    });
    Deno.bench(`${label} decode ${name}`, { group: `decode ${name}`, baseline: codec === jsonCodec }, () => {
      codec.decode(schema, bytes);
    });
  }
}

for (const size of bodySizes) {
  const chunk = chunkOf(size);
  const { data, sha256 } = chunk;
  const json = jsonCodec.encode(wire.ChunkSchema, chunk);
  const binary = protobufCodec.encode(wire.ChunkSchema, chunk);
  const name = sizeName(size);

  const encode: Record<string, () => unknown> = {
    "ProtoJSON": () => jsonCodec.encode(wire.ChunkSchema, chunk),
    "library ProtoJSON": () => encoder.encode(toJsonString(wire.ChunkSchema, chunk)),
    "stringify + @std": () => encoder.encode(JSON.stringify({ data: encodeBase64(data), sha256 })),
    "stringify + native": () => encoder.encode(JSON.stringify({ data: data.toBase64(), sha256 })),
    "Protobuf": () => protobufCodec.encode(wire.ChunkSchema, chunk),
    "copy of the bytes": () => data.slice(),
  };
  const parse = () => JSON.parse(decoder.decode(json)) as { data: string };
  const decode: Record<string, () => unknown> = {
    "ProtoJSON": () => jsonCodec.decode(wire.ChunkSchema, json),
    "library ProtoJSON": () => fromJsonString(wire.ChunkSchema, decoder.decode(json)),
    "parse + @std": () => decodeBase64(parse().data),
    "parse + native": () => Uint8Array.fromBase64(parse().data),
    // Its bytes are a view of the message; whoever keeps them copies them, as here.
    "Protobuf": () => protobufCodec.decode(wire.ChunkSchema, binary).data.slice(),
    "copy of the bytes": () => data.slice(),
  };
  for (const [verb, ways] of [["encode", encode], ["decode", decode]] as const) {
    for (const [way, run] of Object.entries(ways)) {
      Deno.bench(
        `${way} ${verb} ${name}`,
        { group: `${verb} Chunk of ${name}`, baseline: way === "copy of the bytes" },
        () => {
          run();
        },
      );
    }
  }
}
