import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  CdnError,
  formatDigestField,
  formatEntityTag,
  isDigest,
  parseDigestField,
  parseEntityTag,
} from "../../proto/mod.ts";
import { sha256Text } from "./arbitrary.ts";

Deno.test("digests go into fields and tags and come out the same", () => {
  fc.assert(fc.property(sha256Text, (sha256) => {
    assertEquals(parseDigestField(formatDigestField(sha256)), sha256);
    assertEquals(parseEntityTag(formatEntityTag(sha256)), sha256);
  }));
});

Deno.test("the digest field is that of the RFC's example", () => {
  // RFC 9530 §3: the SHA-256 of {"hello": "world"} with a line feed.
  const field = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
  const hex = "44aff4ab2d7c3250525675a08f0cfa9591168cffe51791c5f5bbc417c15a6c38";
  assertEquals(parseDigestField(field), hex);
  assertEquals(formatDigestField(hex), field);
  assertEquals(parseDigestField(`sha-512=:AAAA:, ${field}`), hex);
});

Deno.test("a digest field of other algorithms is none, and a malformed one a 400", () => {
  assertEquals(parseDigestField(null), null);
  assertEquals(parseDigestField("sha-512=:AAAA:"), null);
  assertEquals(parseDigestField("unixsum=30637"), null);
  for (
    const field of ["sha-256", "sha-256=:AAAA:", "sha-256=abc", "sha-256=(1 2)", 'sha-256="x"', "=", "sha-256=:%:"]
  ) {
    assertEquals(assertThrows(() => parseDigestField(field), CdnError, undefined, field).status, 400);
  }
  fc.assert(fc.property(fc.string(), (field) => {
    try {
      parseDigestField(field);
    } catch (error) {
      assertEquals((error as CdnError).status, 400);
    }
  }));
});

Deno.test("a tag that we did not make names no digest", () => {
  const tag = formatEntityTag("f".repeat(64));
  assertEquals(parseEntityTag(tag), "f".repeat(64));
  const same = tag.slice(0, -2) + '9"'; // the two bits beyond the digest set: the same bytes, another tag
  for (const other of [null, "", '"x"', `W/${tag}`, tag.slice(1), tag.toUpperCase() + "x", same]) {
    assertEquals(parseEntityTag(other), null, `${other}`);
  }
});

Deno.test("a digest is 64 lower-case hexadecimal digits", () => {
  assertEquals(isDigest("0".repeat(64)), true);
  for (const other of ["", "0".repeat(63), "A".repeat(64), "0".repeat(64) + "\n"]) assertEquals(isDigest(other), false);
});
