import { assert, assertEquals, assertNotEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import { createPublicKey, generateKeyPairSync, verify } from "node:crypto";
import { decodeHex } from "@std/encoding/hex";
import { join } from "@std/path";
import fc from "fast-check";
import { CdnError } from "../../proto/mod.ts";
import { identityKeyFrom, openIdentityKey, verifyEd25519 } from "../../runtime/identity_key.ts";
import { tempDir } from "../kit/mod.ts";

const bytes = new TextEncoder().encode("what is signed");

// RFC 8032 §7.1, TEST 2 and TEST 3: secret key, public key, message, signature.
const vectors = [
  [
    "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
    "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    "72",
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da" +
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
  ],
  [
    "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
    "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    "af82",
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac" +
    "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
  ],
];

function pemOf(secret: string): string {
  const der = Buffer.from(`302e020100300506032b657004220420${secret}`, "hex"); // RFC 8410 §7
  return `-----BEGIN PRIVATE KEY-----\n${der.toString("base64")}\n-----END PRIVATE KEY-----\n`;
}

Deno.test("the RFC's own keys sign as it says", () => {
  for (const [secret, publicKey, message, signature] of vectors as [string, string, string, string][]) {
    const key = identityKeyFrom(pemOf(secret));
    assertEquals(key.publicKey, decodeHex(publicKey));
    assertEquals(key.sign(decodeHex(message)), decodeHex(signature));
    assert(verifyEd25519(decodeHex(publicKey), decodeHex(message), decodeHex(signature)));
  }
});

Deno.test("a key is made once, kept for its owner alone, and loaded again", async () => {
  await using dir = await tempDir();
  const folder = join(dir.path, "data");
  const key = await openIdentityKey(folder);
  assertEquals(key.publicKey.length, 32);
  const again = await openIdentityKey(folder);
  assertEquals(again.publicKey, key.publicKey);
  assert(verifyEd25519(key.publicKey, bytes, again.sign(bytes)));
  assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["server.key"]);
  if (Deno.build.os !== "windows") assertEquals((await Deno.stat(join(folder, "server.key"))).mode! & 0o777, 0o600);
  assertNotEquals((await openIdentityKey(join(dir.path, "other"))).publicKey, key.publicKey);
});

Deno.test("what a process that died left beside the key does not count, nor lend it its mode", async () => {
  await using dir = await tempDir();
  await Deno.writeTextFile(join(dir.path, "server.key.new"), "-----BEGIN PRIV", { mode: 0o666 });
  const key = await openIdentityKey(dir.path);
  assertEquals((await openIdentityKey(dir.path)).publicKey, key.publicKey);
  if (Deno.build.os !== "windows") assertEquals((await Deno.stat(join(dir.path, "server.key"))).mode! & 0o777, 0o600);
});

Deno.test("garbage in the file is a clear error, and the file stays", async () => {
  await using dir = await tempDir();
  const file = join(dir.path, "server.key");
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "pem", type: "pkcs8" });
  const ed = generateKeyPairSync("ed25519");
  const right = ed.privateKey.export({ format: "pem", type: "pkcs8" }) as string;
  const garbage = [
    "",
    "x",
    "\0".repeat(1000),
    right.slice(0, 60),
    right.replace("MC4", "MD4"),
    rsa as string,
    ed.publicKey.export({ format: "pem", type: "spki" }) as string,
    "A".repeat(1 << 20),
  ];
  for (const text of garbage) {
    await Deno.writeTextFile(file, text);
    const error = await assertRejects(() => openIdentityKey(dir.path), CdnError);
    assertEquals(error.source, "client");
    assertStringIncludes(error.message, file);
    assertStringIncludes(error.message, "Ed25519");
    assertEquals(await Deno.readTextFile(file), text);
    assertThrows(() => identityKeyFrom(text), CdnError, "Ed25519");
  }
  await Deno.remove(file);
  await Deno.mkdir(file);
  assertEquals((await assertRejects(() => openIdentityKey(dir.path), CdnError)).source, "client");
});

Deno.test("a signature holds for its key and its bytes, and for no others; wrong sizes are wrong, and no error", () => {
  const [key, other] = vectors.map(([secret]) => identityKeyFrom(pemOf(secret!))) as [
    ReturnType<typeof identityKeyFrom>,
    ReturnType<typeof identityKeyFrom>,
  ];
  const signature = key.sign(bytes);
  assert(verifyEd25519(key.publicKey, bytes, signature));
  assert(!verifyEd25519(other.publicKey, bytes, signature));
  assert(!verifyEd25519(key.publicKey, bytes.slice(1), signature));
  for (const length of [0, 1, 31, 33, 64, 1 << 20]) {
    assert(!verifyEd25519(new Uint8Array(length), bytes, signature));
  }
  for (const length of [0, 1, 63, 65, 1 << 20]) {
    assert(!verifyEd25519(key.publicKey, bytes, new Uint8Array(length)));
  }
  fc.assert(fc.property(fc.nat(63), fc.integer({ min: 1, max: 255 }), (at, flip) => {
    const changed = signature.slice();
    changed[at]! ^= flip;
    assert(!verifyEd25519(key.publicKey, bytes, changed));
  }));
  fc.assert(fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (garbage) => {
    assert(!verifyEd25519(garbage, bytes, signature));
  }));
  assert(verifyEd25519(key.publicKey, bytes, signature), "still, after more keys than are kept");
});

Deno.test("more keys than are kept still verify", () => {
  const key = identityKeyFrom(pemOf(vectors[0]![0]!));
  const signature = key.sign(bytes);
  for (let i = 0; i < 3000; i++) {
    const garbage = new Uint8Array(32);
    new DataView(garbage.buffer).setUint32(8, i);
    assert(!verifyEd25519(garbage, bytes, signature));
  }
  assert(verifyEd25519(key.publicKey, bytes, signature));
});

Deno.test("a key of small order, under which anybody can sign, is none", () => {
  const low = [
    "00".repeat(32),
    "01" + "00".repeat(31),
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ec" + "ff".repeat(30) + "7f",
    "00".repeat(31) + "80",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
  ];
  const forged = new Uint8Array(64);
  forged[0] = 1; // R is the neutral point, S is 0
  let accepted = 0;
  for (const hex of low) {
    const raw = decodeHex(hex);
    const spki = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), raw]);
    const key = createPublicKey({ key: spki, format: "der", type: "spki" });
    for (let i = 0; i < 64; i++) {
      const message = new Uint8Array([i]);
      if (verify(null, message, key, forged)) accepted++;
      assert(!verifyEd25519(raw, message, forged), hex);
    }
  }
  assert(accepted > 64, "the runtime itself takes such forgeries, or this test is of no use");
});
