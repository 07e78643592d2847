/** Messages as JSON, for people and for `jq`. */
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { jsonCodec } from "../proto/mod.ts";

/** A message as plain data, by the names of its JSON. */
export function plain<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): unknown {
  return JSON.parse(new TextDecoder().decode(jsonCodec.encode(schema, message)));
}

/** A message as text, over several lines. */
export function pretty<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): string {
  return JSON.stringify(plain(schema, message), null, 2);
}
