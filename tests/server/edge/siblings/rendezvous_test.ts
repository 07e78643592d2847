import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { ownerOf } from "../../../../server/edge/siblings/mod.ts";

const ids = (count: number) => Array.from({ length: count }, (_, at) => `edge-${at}`);
const keys = Array.from({ length: 20_000 }, (_, at) => `/photos/${at % 100}/IMG_${at}.jpg?w=${at % 7}`);

Deno.test("every key has one owner, whatever the order of the servers", () => {
  assertEquals(ownerOf("/x", []), null);
  assertEquals(ownerOf("/x", ["a"]), "a");
  fc.assert(
    fc.property(fc.uniqueArray(fc.stringMatching(/^[a-z0-9._-]{1,10}$/), { minLength: 1 }), fc.string(), (all, key) => {
      const owner = ownerOf(key, all);
      assert(all.includes(owner!));
      assertEquals(ownerOf(key, all.toReversed()), owner);
    }),
  );
});

Deno.test("keys are shared evenly", () => {
  for (const count of [2, 3, 7, 16]) {
    const shares = new Map<string, number>();
    for (const key of keys) {
      const owner = ownerOf(key, ids(count))!;
      shares.set(owner, (shares.get(owner) ?? 0) + 1);
    }
    const mean = keys.length / count;
    // Binomial: five standard deviations.
    const most = 5 * Math.sqrt(mean * (1 - 1 / count));
    for (const id of ids(count)) {
      assert(Math.abs((shares.get(id) ?? 0) - mean) < most, `${id} of ${count}: ${shares.get(id)}`);
    }
  }
});

Deno.test("where a server goes only its own keys move, and evenly to the others; where one comes it takes from all", () => {
  const before = ids(6);
  const after = before.filter((id) => id !== "edge-2");
  const heirs = new Map<string, number>();
  for (const key of keys) {
    const [old, now] = [ownerOf(key, before)!, ownerOf(key, after)!];
    if (old !== "edge-2") assertEquals(now, old, key);
    else heirs.set(now, (heirs.get(now) ?? 0) + 1);
  }
  const moved = [...heirs.values()].reduce((sum, one) => sum + one, 0);
  assertEquals(heirs.size, 5);
  for (const [id, count] of heirs) assert(Math.abs(count - moved / 5) < 5 * Math.sqrt(moved / 5), `${id}: ${count}`);
});
