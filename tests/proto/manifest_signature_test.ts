import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { generateKeyPairSync, sign as signEd25519, verify as verifyEd } from "node:crypto";
import fc from "fast-check";
import {
  jsonCodec,
  type Manifest,
  manifestBytes,
  manifestFromWire,
  manifestSignatureHolds,
  manifestToWire,
  protobufCodec,
  signManifest,
  tombstone,
  wire,
} from "../../proto/mod.ts";
import { message } from "./arbitrary.ts";

const manifest: Manifest = {
  path: '/a "b".jpg',
  version: { wallMs: 1_700_000_000_000, counter: 3, server: "node-a" },
  deleted: false,
  sha256: "ab".repeat(32),
  size: 12,
  mediaType: "image/jpeg",
  name: "é",
  modifiedMs: 5,
  meta: { b: "2", a: "1", B: "3" },
};
const anyManifest = message(wire.ManifestSchema).map(manifestFromWire);
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

function keyPair() {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const raw = new Uint8Array(publicKey.export({ format: "der", type: "spki" }).subarray(12));
  const verify = (key: Uint8Array, bytes: Uint8Array, signature: Uint8Array) =>
    key === raw && verifyEd(null, bytes, publicKey, signature);
  return { raw, verify, sign: (bytes: Uint8Array) => new Uint8Array(signEd25519(null, bytes, privateKey)) };
}

Deno.test("the canonical bytes are these, and stay these: other servers have signed them", () => {
  assertEquals(
    text(manifestBytes(manifest)),
    'metacdn-manifest-1\n["/a \\"b\\".jpg",[1700000000000,3,"node-a"],false,"' + "ab".repeat(32) +
      '",12,"image/jpeg","é",5,[["B","3"],["a","1"],["b","2"]]]',
  );
  assertEquals(
    text(manifestBytes(tombstone("/x", { wallMs: 1, counter: 0, server: "s" }))),
    'metacdn-manifest-1\n["/x",[1,0,"s"],true,"",0,"","",0,[]]',
  );
});

Deno.test("the bytes are the same after a journey in either encoding, and whatever the order of pairs", () => {
  fc.assert(fc.property(anyManifest, (given) => {
    const want = manifestBytes(given);
    for (const codec of [jsonCodec, protobufCodec]) {
      const sent = codec.encode(wire.ManifestSchema, manifestToWire(given));
      assertEquals(manifestBytes(manifestFromWire(codec.decode(wire.ManifestSchema, sent))), want);
    }
    const turned = { ...given, meta: Object.fromEntries(Object.entries(given.meta).reverse()) };
    assertEquals(manifestBytes(turned), want);
    const more = { ...given, signature: "AAAA", colour: "red" };
    assertEquals(manifestBytes(more), want, "what is not named changes nothing");
  }));
});

Deno.test("different manifests have different bytes", () => {
  const fields = (one: Manifest) => {
    const { signature: _, ...rest } = manifestToWire(one);
    return rest;
  };
  fc.assert(fc.property(anyManifest, anyManifest, (a, b) => {
    const same = text(manifestBytes(a)) === text(manifestBytes(b));
    if (same) assertEquals(fields(a), fields(b));
  }));
  // Each field alone, and texts moved from one into the next.
  const changes: Partial<Manifest>[] = [
    { path: "/b" },
    { version: { ...manifest.version, wallMs: 1 } },
    { version: { ...manifest.version, counter: 4 } },
    { version: { ...manifest.version, server: "node-b" } },
    { deleted: true },
    { sha256: "ac".repeat(32) },
    { size: 13 },
    { mediaType: "image/png" },
    { name: "e" },
    { name: "é", mediaType: "" },
    { name: "", mediaType: "é" },
    { name: 'é",5' },
    { modifiedMs: 6 },
    { meta: {} },
    { meta: { a: "1", b: "2" } },
    { meta: { a: '1"],["b","2' } },
    { meta: { ...manifest.meta, a: "2" } },
  ];
  const all = [{}, ...changes].map((change) => text(manifestBytes({ ...manifest, ...change })));
  assertEquals(new Set(all).size, all.length);
});

Deno.test("what is signed holds by the key that signed it, and by no other, and for nothing else", () => {
  const { raw, sign, verify } = keyPair();
  const other = keyPair();
  const signature = signManifest(manifest, sign);
  assertEquals(signature.length, 88);
  assert(manifestSignatureHolds(manifest, signature, raw, verify));
  assert(!manifestSignatureHolds(manifest, signature, other.raw, other.verify));
  assert(!manifestSignatureHolds({ ...manifest, size: 13 }, signature, raw, verify));
  assert(!manifestSignatureHolds(tombstone(manifest.path, manifest.version), signature, raw, verify));
  assertNotEquals(signature, signManifest({ ...manifest, size: 13 }, sign));
});

Deno.test("garbage in place of a signature is wrong, and no error", () => {
  const { raw, sign, verify } = keyPair();
  const right = signManifest(manifest, sign);
  const garbage = [
    "",
    "=",
    "*".repeat(88),
    right.slice(0, -2),
    right.slice(0, -4),
    ` ${right}`,
    `${right}\n`,
    right + right,
    "A".repeat(1 << 20),
    right.replace(/.==$/, "B=="), // bits that mean nothing, set
    "é".repeat(88),
  ];
  for (const signature of garbage) {
    assert(!manifestSignatureHolds(manifest, signature, raw, verify), signature.slice(0, 100));
  }
  fc.assert(fc.property(fc.string({ maxLength: 100 }), (signature) => {
    assert(!manifestSignatureHolds(manifest, signature, raw, verify));
  }));
});
