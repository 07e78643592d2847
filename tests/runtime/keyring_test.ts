import { assert, assertEquals } from "@std/assert";
import { decodeBase64 } from "@std/encoding/base64";
import { noKeyring, sameBytes } from "../../runtime/keyring.ts";
import { isNewerCertificate, MemoryKeyring } from "../kit/memory_keyring.ts";

const [one, two, three] = [1, 2, 3].map((value) => new Uint8Array(32).fill(value)) as [
  Uint8Array,
  Uint8Array,
  Uint8Array,
];
const certificate = (value: number) => new Uint8Array([value]);
const isNewer = (a: Uint8Array, b: Uint8Array) => a[0]! > b[0]!;

Deno.test("the first key of an id is pinned", () => {
  const ring = new MemoryKeyring();
  assertEquals(ring.keyOf("a"), null);
  assert(ring.introduce("a", one, null));
  assert(ring.introduce("a", one, null), "the same again");
  assert(!ring.introduce("a", two, null));
  assertEquals(ring.keyOf("a"), one);
  assert(ring.introduce("b", two, null));
  assertEquals(ring.keyOf("__proto__"), null);
});

Deno.test("a pinned key is a copy: whoever brought it may use its memory again", () => {
  const ring = new MemoryKeyring();
  const brought = one.slice();
  ring.introduce("a", brought, null);
  brought.fill(9);
  assertEquals(ring.keyOf("a"), one);
});

Deno.test("a certificate replaces a key that none vouched for, and then only a newer one does", () => {
  const ring = new MemoryKeyring({ isNewer });
  ring.introduce("a", one, null);
  assert(ring.introduce("a", two, certificate(5)));
  assertEquals(ring.keyOf("a"), two);
  assert(!ring.introduce("a", one, null));
  assert(!ring.introduce("a", one, certificate(4)), "an old certificate does not bring an old key back");
  assert(!ring.introduce("a", one, certificate(5)));
  assert(ring.introduce("a", two, certificate(4)), "the same key is the same");
  assert(!ring.introduce("a", three, certificate(5)), "and has not lowered what counts as newer");
  assert(ring.introduce("a", three, certificate(6)));
  assertEquals(ring.keyOf("a"), three);
});

Deno.test("a full keyring lets no stranger in, and knows those that it knew", () => {
  const ring = new MemoryKeyring({ most: 2 });
  assert(ring.introduce("a", one, null) && ring.introduce("b", two, null));
  assert(!ring.introduce("c", three, null));
  assert(ring.introduce("a", one, null));
  assertEquals(ring.keyOf("c"), null);
});

Deno.test("of two certificates the one that is valid from a later time is newer; garbage is not", () => {
  const [early, late] = [EARLY, LATE].map((text) => decodeBase64(text)) as [Uint8Array, Uint8Array];
  assert(isNewerCertificate(late, early));
  assert(!isNewerCertificate(early, late));
  assert(!isNewerCertificate(early, early));
  for (const garbage of [new Uint8Array(), new Uint8Array(1000), early.slice(0, 100)]) {
    assert(!isNewerCertificate(garbage, early));
    assert(!isNewerCertificate(late, garbage));
  }
});

Deno.test("bytes are the same or not", () => {
  assert(sameBytes(one, one.slice()) && sameBytes(new Uint8Array(), new Uint8Array()));
  assert(!sameBytes(one, two) && !sameBytes(one, one.slice(1)) && !sameBytes(one.slice(1), one));
});

// Two certificates of one key, valid from 2026-01-01 and from 2026-06-01.
const EARLY =
  "MIHIMHwCAQEwBQYDK2VwMBExDzANBgNVBAMMBm5vZGUtYTAeFw0yNjAxMDEwMDAwMDBaFw0zNjAxMDEwMDAwMDBaMBExDzANBgNVBAMM" +
  "Bm5vZGUtYTAqMAUGAytlcAMhAJluxTn08RnFRFXGE7dkJI6+iaGtt6Owkcb2afEfOW8rMAUGAytlcANBAGEEtIDrxhIfEvK1ZHUwc6kWCb/Z" +
  "fCITjiUBtHNtYCdf5XmUlBSZpr7olC+GEztJ1i178j7MPVD7o/vhV8mdNwY=";
const LATE =
  "MIHIMHwCAQEwBQYDK2VwMBExDzANBgNVBAMMBm5vZGUtYTAeFw0yNjA2MDEwMDAwMDBaFw0zNjAxMDEwMDAwMDBaMBExDzANBgNVBAMM" +
  "Bm5vZGUtYTAqMAUGAytlcAMhAJluxTn08RnFRFXGE7dkJI6+iaGtt6Owkcb2afEfOW8rMAUGAytlcANBAOxJWz22ConZB0h+RNt3V7mTB8MQ" +
  "PiUxmRWc20FVplP5RrR6K9wm/fq7OoYwla8ANu6ktY97nBzlEzmHiujehwQ=";

Deno.test("no keyring knows nobody, and takes nobody", () => {
  assert(!noKeyring.introduce("a", one, null));
  assertEquals(noKeyring.keyOf("a"), null);
});
