import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { type Linked, List } from "../../../../server/edge/cache/list.ts";
import { Ghosts, type Item, MOST_USES, S3Fifo, use, useFrom } from "../../../../server/edge/cache/s3_fifo.ts";
import { type TinyItem, TinyLfu } from "../../../../server/edge/cache/tiny_lfu.ts";

interface Fifo extends Item, Linked {
  name: number;
}
interface Tiny extends TinyItem {
  name: number;
}

const links = { before: null, after: null };
const LIMIT = 1000;

const act = fc.tuple(
  fc.constantFrom("ask" as const, "ask" as const, "ask" as const, "remove" as const, "resize" as const),
  fc.nat(40),
  fc.integer({ min: 1, max: 300 }),
);

/** Plays requests; after each, what is there is what was let in and did not go, and never above the limit. */
function plays<T extends { name: number; bytes: number }>(
  { insert, use, remove, resize, evict, bytes }: {
    insert(name: number, bytes: number): T;
    use(item: T): void;
    remove(item: T): void;
    resize(item: T, bytes: number): void;
    evict(limit: number): T | null;
    bytes(): number;
  },
  acts: [string, number, number][],
): void {
  const held = new Map<number, T>();
  for (const [what, name, size] of acts) {
    const item = held.get(name);
    if (what === "ask" && item) use(item);
    else if (what === "ask") held.set(name, insert(name, size));
    else if (what === "resize" && item) resize(item, size);
    else if (what === "remove" && item) {
      remove(item);
      held.delete(name);
    }
    for (let victim = evict(LIMIT); victim; victim = evict(LIMIT)) {
      assert(held.get(victim.name) === victim, "who goes was there");
      held.delete(victim.name);
    }
    assert(bytes() <= LIMIT);
    assertEquals(bytes(), [...held.values()].reduce((sum, { bytes }) => sum + bytes, 0));
  }
  while (held.size > 0) assert(held.delete(evict(0)!.name));
  assertEquals([evict(0), bytes()], [null, 0]);
}

function s3() {
  const policy = new S3Fifo<Fifo>(new List(), new List(), new Ghosts(64));
  return {
    insert(name: number, bytes: number) {
      const item: Fifo = { name, bytes, frequency: 0, main: false, print: name + 1, ...links };
      policy.insert(item);
      return item;
    },
    use: (item: Fifo) => use(item),
    remove: (item: Fifo) => policy.remove(item),
    resize: (item: Fifo, bytes: number) => policy.resize(item, bytes),
    evict: (limit: number) => policy.bytes > limit ? policy.evict() : null,
    bytes: () => policy.bytes,
  };
}

function tiny(bySize: boolean) {
  const policy = new TinyLfu<Tiny>(LIMIT, bySize);
  return {
    insert(name: number, bytes: number) {
      const item: Tiny = { name, bytes, print: Math.imul(name + 1, 0x9e3779b1), list: null, ...links };
      policy.insert(item);
      return item;
    },
    use: (item: Tiny) => policy.use(item),
    remove: (item: Tiny) => policy.remove(item),
    resize: (item: Tiny, bytes: number) => policy.resize(item, bytes),
    evict: (limit: number) => policy.evict(limit),
    bytes: () => policy.bytes,
    policy,
  };
}

const acts = fc.array(act, { maxLength: 300, size: "max" });

Deno.test("S3-FIFO: counts are right and the limit holds, whatever is asked", () =>
  fc.assert(fc.property(acts, (acts) => plays(s3(), acts))));

Deno.test("W-TinyLFU: counts are right and the limit holds, whatever is asked", () =>
  fc.assert(fc.property(acts, fc.boolean(), (acts, bySize) => plays(tiny(bySize), acts))));

Deno.test("S3-FIFO: what was used twice outlives a scan, and what comes back soon is let in", () => {
  const policy = s3();
  const hot = [1, 2, 3].map((name) => policy.insert(name, 100));
  for (const item of hot) [use(item), use(item)];
  const gone: number[] = [];
  const scan = (from: number) => {
    for (let name = from; name < from + 50; name++) {
      policy.insert(name, 100);
      for (let victim = policy.evict(LIMIT); victim; victim = policy.evict(LIMIT)) gone.push(victim.name);
    }
  };
  scan(100);
  assert(!gone.some((name) => name < 100), "no hot one went");
  const back = policy.insert(gone.at(-1)!, 100);
  assert(back.main, "it is remembered");
  const stranger = policy.insert(999, 100);
  assert(!stranger.main);
});

Deno.test("S3-FIFO: uses count up to a few, and one reader is one use", () => {
  const item = { frequency: 0, readUntil: -1 };
  for (let at = 0; at < 10; at++) useFrom(item, at * 5, at * 5 + 5);
  assertEquals(item.frequency, 1);
  useFrom(item, 7, 9);
  assertEquals(item.frequency, 2);
  for (let at = 0; at < 10; at++) use(item);
  assertEquals(item.frequency, MOST_USES);
});

Deno.test("W-TinyLFU: a scan displaces nothing that was used, and who is asked for often enough comes in", () => {
  const cache = tiny(true);
  const hot = Array.from({ length: 9 }, (_, name) => cache.insert(name, 100));
  assertEquals(cache.evict(LIMIT), null, "there is room");
  for (const item of hot) cache.use(item);
  for (let name = 100; name < 300; name++) {
    const item = cache.insert(name, 100);
    assert(cache.evict(LIMIT) === item, "the new one goes");
  }
  assertEquals(cache.policy.admits(Math.imul(1001, 0x9e3779b1), 100, LIMIT), false);
  for (let at = 0; at < 3; at++) cache.policy.seen(Math.imul(1001, 0x9e3779b1));
  assertEquals(cache.policy.admits(Math.imul(1001, 0x9e3779b1), 100, LIMIT), true);
  assertEquals(cache.policy.admits(Math.imul(1001, 0x9e3779b1), 300, LIMIT), false, "not for three of them");
  const item = cache.insert(1000, 100);
  assert(hot.includes(cache.evict(LIMIT)!), "an old one goes");
  assert(item.list !== null);
});

Deno.test("W-TinyLFU: what was hot long ago is forgotten", () => {
  const { policy } = tiny(true);
  for (let at = 0; at < 15; at++) policy.seen(7);
  const before = policy.uses(7);
  for (let at = 0; at < 20_000; at++) policy.seen(Math.imul(at + 100, 0x85ebca6b));
  assertEquals(before, 15);
  assert(policy.uses(7) < 5, `${policy.uses(7)}`);
});
