import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { type Criteria, predictMs, priceNano, rank, type Scored, scoreOf, secondNanoOf } from "../../proxy/score.ts";

interface Named extends Scored {
  id: string;
}

function server(id: string, change: Partial<Scored> = {}): Named {
  return {
    id,
    connectMs: 20,
    rttMs: 20,
    bytesPerSecond: 1e6,
    warmUntilMs: Infinity,
    nanoPerGb: 100_000_000,
    excluded: "",
    ...change,
  };
}

const by = (policy: Criteria["policy"], weight = 0.5): Criteria => ({ policy, secondNano: secondNanoOf(weight) });
const ids = (servers: Named[]) => servers.map(({ id }) => id).join("");

Deno.test("the weight maps onto what a second is worth", () => {
  const rows: [weight: number, nano: number][] = [[0, 0], [0.5, 1e6], [0.9, 9e6], [0.1, 1e6 / 9], [1, Infinity]];
  for (const [weight, nano] of rows) {
    assert(Math.abs(secondNanoOf(weight) - nano) < 1 || nano === Infinity, `${weight}`);
  }
  assertEquals(secondNanoOf(1), Infinity);
  for (const wrong of [-0.1, 1.1, NaN]) assertThrows(() => secondNanoOf(wrong), RangeError);
});

Deno.test("predicted time and price", () => {
  const warm = server("a");
  assertEquals(predictMs(warm, 500_000, 0), 20 + 500);
  assertEquals(predictMs({ ...warm, warmUntilMs: 10 }, 500_000, 9), 520);
  assertEquals(predictMs({ ...warm, warmUntilMs: 10 }, 500_000, 10), 540);
  assertEquals(priceNano(warm, 1_000_000), 100_000);
  assertEquals(scoreOf(520, 50_000, by("combined")), 570_000);
});

Deno.test("each policy's order", () => {
  const fast = server("f", { rttMs: 5, nanoPerGb: 120_000_000 });
  const cheap = server("c", { rttMs: 90, nanoPerGb: 10_000_000 });
  const middle = server("m", { rttMs: 30, nanoPerGb: 50_000_000 });
  const unknown = server("u", { rttMs: 1, nanoPerGb: NaN });
  const down = server("d", { rttMs: 1, nanoPerGb: 0, excluded: "down" });
  const all = [cheap, down, fast, middle, unknown];
  const rows: [Criteria, bytes: number, order: string][] = [
    [by("network"), 1000, "ufmc"],
    [by("price"), 1000, "cmfu"],
    [by("price"), 0, "cmfu"],
    [by("combined"), 1000, "fmcu"], // a kilobyte costs next to nothing: time decides
    [by("combined"), 10_000_000, "cmfu"], // 10 MB cost a tenth of a cent: the price decides
    [by("combined", 1), 10_000_000, "ufmc"],
    [by("combined", 0), 1000, "cmfu"],
  ];
  for (const [criteria, bytes, order] of rows) {
    assertEquals(ids(rank(all, bytes, criteria, 0)), order, `${criteria.policy} ${criteria.secondNano} ${bytes}`);
  }
});

Deno.test("ties: the cheaper under network, the faster under price, else the order given", () => {
  const dear = server("d", { nanoPerGb: 2e8 });
  const slow = server("s", { rttMs: 40 });
  const same = server("a");
  const other = server("b");
  assertEquals(ids(rank([dear, same], 1000, by("network"), 0)), "ad");
  assertEquals(ids(rank([slow, same], 1000, by("price"), 0)), "as");
  assertEquals(ids(rank([other, same], 1000, by("price"), 0)), "ba");
});

const servers = fc.array(
  fc.record({
    rttMs: fc.double({ min: 0.01, max: 5000, noNaN: true }),
    connectMs: fc.double({ min: 0, max: 5000, noNaN: true }),
    bytesPerSecond: fc.double({ min: 1, max: 1e10, noNaN: true }),
    nanoPerGb: fc.oneof(fc.integer({ min: 0, max: 1e9 }), fc.constant(NaN)),
    excluded: fc.constantFrom("", "", "", "down"),
    warmUntilMs: fc.constantFrom(0, 100),
  }),
  { minLength: 1, maxLength: 150 },
).map((list) => list.map((one, at) => ({ ...one, id: `${at},` })));
const criteria = fc.record({
  policy: fc.constantFrom("network", "price", "combined" as const),
  weight: fc.double({ min: 0, max: 1, noNaN: true }),
})
  .map(({ policy, weight }) => by(policy as Criteria["policy"], weight));
const bytes = fc.integer({ min: 0, max: 1e9 });

Deno.test("the order is that of a full sort by score, and a limit cuts it", () => {
  fc.assert(fc.property(servers, criteria, bytes, fc.integer({ min: 1, max: 10 }), (list, how, size, limit) => {
    const score = (one: Scored) =>
      scoreOf(predictMs(one, Math.max(1, size), 50), priceNano(one, Math.max(1, size)), how);
    const all = rank(list, size, how, 50);
    assertEquals(all.length, list.filter(({ excluded }) => !excluded).length);
    for (let at = 1; at < all.length; at++) assert(score(all[at - 1]!) <= score(all[at]!));
    assertEquals(ids(rank(list, size, how, 50, limit)), ids(all.slice(0, limit)));
  }));
});

Deno.test("dearer never moves a server up under price, nor slower under network, nor either under combined", () => {
  const weights = fc.double({ min: 0, max: 1, noNaN: true });
  fc.assert(
    fc.property(
      servers,
      fc.nat(),
      weights,
      bytes,
      fc.integer({ min: 1, max: 1e6 }),
      (list, pick, weight, size, more) => {
        const at = pick % list.length;
        const place = (changed: Partial<Scored>, how: Criteria) => {
          const found = rank(list.map((one, n) => n === at ? { ...one, ...changed } : one), size, how, 50);
          return found.findIndex(({ id }) => id === list[at]!.id);
        };
        const dearer = { nanoPerGb: list[at]!.nanoPerGb + more };
        const slower = { rttMs: list[at]!.rttMs + more };
        for (const how of [by("price"), by("combined", weight), by("network")]) {
          assert(place(dearer, how) >= place({}, how));
          assert(place(slower, how) >= place({}, how));
        }
      },
    ),
  );
});
