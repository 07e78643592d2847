/** What is signed of a server's record. */
import { create, toBinary } from "@bufbuild/protobuf";
import { wire } from "../../proto/mod.ts";

const DOMAIN = new TextEncoder().encode("metacdn server record\n");

/** The record without health and signature: the same bytes everywhere, in whatever order its labels were given. */
export function recordBytes(record: wire.Server): Uint8Array {
  const { $typeName: _, $unknown: __, health: ___, ...fields } = record;
  const labels = Object.fromEntries(Object.entries(record.labels).sort(([a], [b]) => a < b ? -1 : 1));
  const body = toBinary(
    wire.ServerSchema,
    create(wire.ServerSchema, { ...fields, labels, signature: new Uint8Array() }),
  );
  const bytes = new Uint8Array(DOMAIN.length + body.length);
  bytes.set(DOMAIN);
  bytes.set(body, DOMAIN.length);
  return bytes;
}
