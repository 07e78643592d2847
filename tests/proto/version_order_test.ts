import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { compareVersions, formatVersion, parseVersion, type Version } from "../../proto/mod.ts";

const version: fc.Arbitrary<Version> = fc.record({
  wallMs: fc.oneof(fc.nat(3), fc.integer({ min: 0, max: 2 ** 47 })),
  counter: fc.oneof(fc.nat(2), fc.integer({ min: 0, max: 2 ** 32 - 1 })),
  server: fc.oneof(fc.constantFrom("a", "b", "a-", "a.b"), fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/)),
}, { noNullPrototype: true });

Deno.test("versions have one order: total, the same both ways, and the same as text", () => {
  fc.assert(fc.property(version, version, version, (a, b, c) => {
    const order = Math.sign(compareVersions(a, b));
    assertEquals(order + Math.sign(compareVersions(b, a)), 0);
    const [x, y] = [formatVersion(a), formatVersion(b)];
    assertEquals(x < y ? -1 : x > y ? 1 : 0, order);
    if (order <= 0 && compareVersions(b, c) <= 0) assertEquals(compareVersions(a, c) <= 0, true);
  }));
});

Deno.test("a version as text reads as the same version", () => {
  fc.assert(fc.property(version, (given) => assertEquals(parseVersion(formatVersion(given)), given)));
  assertEquals(formatVersion({ wallMs: 0x1932b7c1d2e, counter: 10, server: "s" }), "01932b7c1d2e-0000000a-s");
  for (const other of ["", "01932b7c1d2e-0000000a-", "1932b7c1d2e-0000000a-s", "01932B7C1D2E-0000000a-s", "x"]) {
    assertEquals(parseVersion(other), null, other);
  }
});
