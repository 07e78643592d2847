import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  childNames,
  digestBytes,
  digestFromBytes,
  DigestTree,
  type EntryDigest,
  entryDigest,
  isNodeName,
  KEPT_LEVELS,
  keyName,
  NodeSum,
  rangeOf,
} from "../../../server/cluster/digest_tree.ts";
import { pathKey } from "../../../server/store/path_key.ts";

const NOTHING = { high: 0, low: 0 };

function xor(a: EntryDigest, b: EntryDigest): EntryDigest {
  return { high: (a.high ^ b.high) >>> 0, low: (a.low ^ b.low) >>> 0 };
}

const someEntry = fc.record({
  // Some stand close together, some anywhere.
  key: fc.oneof(fc.integer({ min: 0, max: 2 ** 48 - 1 }), fc.nat(40), fc.nat(40).map((n) => 2 ** 48 - 1 - n)),
  digest: fc.record({ high: fc.nat(2 ** 32 - 1), low: fc.nat(2 ** 32 - 1) }),
});

Deno.test("keys and digests are what is written down: the beginning of SHA-256", () => {
  // printf '/photo.jpg' | sha256sum; printf '/photo.jpg\0%s' 0196a1b2c3d4-00000007-a | sha256sum
  assertEquals(keyName(pathKey("/photo.jpg")), "df88d63cc073");
  const digest = entryDigest("/photo.jpg", { wallMs: 0x196a1b2c3d4, counter: 7, server: "a" });
  assertEquals(digestBytes(digest).toHex(), "3da7bb0476917bd7");
  assertEquals(digestFromBytes(digestBytes(digest)), digest);
});

Deno.test("every kept node is the sum of the entries below it, whatever came and went", () => {
  fc.assert(fc.property(fc.array(someEntry, { maxLength: 60 }), fc.array(someEntry, { maxLength: 20 }), (stay, go) => {
    const tree = new DigestTree();
    for (const { key, digest } of [...go, ...stay]) tree.add(key, digest);
    for (const { key, digest } of go) tree.remove(key, digest);
    const names = new Set([""]);
    for (const { key } of [...stay, ...go]) {
      for (let level = 1; level <= KEPT_LEVELS; level++) names.add(keyName(key).slice(0, level));
    }
    for (const name of names) {
      const below = stay.filter(({ key }) => keyName(key).startsWith(name));
      const node = tree.node(name);
      assertEquals(node, { count: below.length, digest: below.map(({ digest }) => digest).reduce(xor, NOTHING) });
      if (name.length < KEPT_LEVELS) {
        assertEquals(tree.children(name).map(({ digest }) => digest).reduce(xor, NOTHING), node.digest);
      }
    }
  }));
});

Deno.test("below the kept levels a node is summed up from its entries", () => {
  fc.assert(fc.property(fc.array(someEntry, { maxLength: 60 }), fc.nat(11), (entries, length) => {
    for (const name of new Set(entries.map(({ key }) => keyName(key).slice(0, length)))) {
      const sum = new NodeSum(name);
      const below = entries.filter(({ key }) => keyName(key).startsWith(name));
      for (const { key, digest } of below) sum.add(key, digest);
      assertEquals(sum.count, below.length);
      for (const [at, child] of childNames(name).entries()) {
        const mine = below.filter(({ key }) => keyName(key).startsWith(child));
        assertEquals(sum.children[at], mine.map(({ digest }) => digest).reduce(xor, NOTHING));
      }
    }
  }));
});

Deno.test("the range of a node is that of its name's keys", () => {
  assertEquals(rangeOf(""), [0, 2 ** 48]);
  assertEquals(rangeOf("f"), [15 * 2 ** 44, 2 ** 48]);
  assertEquals(rangeOf("000000000001"), [1, 2]);
  fc.assert(fc.property(fc.nat({ max: 2 ** 48 - 1 }), fc.nat(12), (key, length) => {
    const [from, to] = rangeOf(keyName(key).slice(0, length));
    assert(from <= key && key < to);
    assertEquals(to - from, 16 ** (12 - length));
  }));
});

Deno.test("what is no node is told from one", () => {
  for (const name of ["", "0", "0123456789ab"]) assert(isNodeName(name), name);
  for (const name of ["A", "g", "0123456789abc", " ", "0\n"]) assert(!isNodeName(name), name);
  assertThrows(() => new DigestTree().node("00000"), RangeError);
  assertThrows(() => new DigestTree().children("0000"), RangeError);
});
