import { assert, assertEquals } from "@std/assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { generateKeyPairSync, sign as signEd25519, verify as verifyEd } from "node:crypto";
import fc from "fast-check";
import { jsonCodec, protobufCodec, recordBytes, wire } from "../../proto/mod.ts";
import { message } from "./arbitrary.ts";

const init: MessageInitShape<typeof wire.ServerSchema> = {
  id: "node-a",
  url: "http://a:1",
  provider: "aws",
  region: "r",
  role: "origin",
  labels: { zone: "z", disk: 'a"b' },
  software: "0.1.0",
  updated: { wallMs: 2n ** 47n, counter: 7, server: "node-a" },
  publicKey: new Uint8Array(32).fill(1),
  certificate: new Uint8Array([1, 2, 3]),
};
const record = create(wire.ServerSchema, init);
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const pair = generateKeyPairSync("ed25519");
const sign = (bytes: Uint8Array) => new Uint8Array(signEd25519(null, bytes, pair.privateKey));
const holds = (record: wire.Server) =>
  record.signature.length === 64 && verifyEd(null, recordBytes(record), pair.publicKey, record.signature);

Deno.test("the canonical bytes of a record are these, and stay these", () => {
  assertEquals(
    text(recordBytes(record)),
    'metacdn-server-1\n["node-a","http://a:1","aws","r","origin",[["disk","a\\"b"],["zone","z"]],"0.1.0",' +
      '["140737488355328",7,"node-a"],false,"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=","AQID",false,[]]',
  );
});

Deno.test("the bytes survive both encodings; health and the signature are not in them", () => {
  fc.assert(fc.property(message(wire.ServerSchema), (given) => {
    const want = recordBytes(given);
    for (const codec of [jsonCodec, protobufCodec]) {
      assertEquals(
        recordBytes(codec.decode(wire.ServerSchema, codec.encode(wire.ServerSchema, given))),
        want,
      );
    }
    const { health: _, ...rest } = given;
    assertEquals(recordBytes({ ...rest, signature: new Uint8Array(64) }), want);
  }));
});

Deno.test("the bytes are the same for any order of labels, and others of the same length for another label", () => {
  const with_ = (labels: Record<string, string>) => recordBytes({ ...record, labels });
  const one = with_({ rack: "1", "2": "x", zone: "b" });
  assertEquals(with_({ zone: "b", "2": "x", rack: "1" }), one);
  const other = with_({ zone: "c", "2": "x", rack: "1" });
  assertEquals(other.length, one.length);
  assertEquals(other.every((byte, at) => byte === one[at]), false);
});

Deno.test("a record's signature holds until any field changes", () => {
  const signed = { ...record, signature: sign(recordBytes(record)) };
  assert(holds(signed));
  const changes: Partial<wire.Server>[] = [
    { id: "node-b" },
    { url: "http://a:2" },
    { provider: "azure" },
    { region: "r2" },
    { role: "edge" },
    { labels: { zone: "z" } },
    { labels: { zone: 'a"b', disk: "z" } },
    { software: "0.1.1" },
    { updated: { ...record.updated!, wallMs: 1n } },
    { updated: { ...record.updated!, counter: 8 } },
    { updated: { ...record.updated!, server: "node-b" } },
    { removed: true },
    { publicKey: new Uint8Array(32) },
    { publicKey: new Uint8Array() },
    { certificate: new Uint8Array([1, 2]) },
    { draining: true },
    { signature: new Uint8Array() },
    { signature: new Uint8Array(64) },
    { signature: signed.signature.slice(1) },
  ];
  for (const change of changes) {
    assert(!holds({ ...signed, ...change }), Object.keys(change).join());
  }
  const { updated: _, ...without } = signed;
  assert(!holds(without));
});
