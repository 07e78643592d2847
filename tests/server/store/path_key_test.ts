import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { KEYS, pathKey } from "../../../server/store/path_key.ts";

Deno.test("the key of a path is the first 48 bits of its SHA-256, as any other tool finds them", async () => {
  // printf %s /a | sha256sum
  await fc.assert(fc.asyncProperty(fc.string({ unit: "grapheme" }), async (path) => {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(path)));
    assertEquals(pathKey(path), Number(`0x${digest.toHex().slice(0, 12)}`));
  }));
  assertEquals(pathKey(""), 0xe3b0c44298fc);
  assertEquals(KEYS, 0x1000000000000);
});
