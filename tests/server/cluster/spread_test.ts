import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { pathPrice } from "../../../server/cluster/paths.ts";
import { type Branch, spreadTree, SpreadTrees } from "../../../server/cluster/spread.ts";

const at = (id: string, provider: string, region: string): Branch => ({ id, place: { provider, region } });
const five = [
  at("a1", "aws", "us-east-1"),
  at("a2", "aws", "us-east-1"),
  at("z1", "azure", "westeurope"),
  at("z2", "azure", "westeurope"),
  at("z3", "azure", "westeurope"),
];

/** Edges of a tree whose ends are at different clouds. */
function crossings(tree: Map<string, string>, members: readonly Branch[]): [string, string][] {
  const place = new Map(members.map(({ id, place }) => [id, place]));
  return [...tree].filter(([child, parent]) => pathPrice(place.get(parent)!, place.get(child)!) > 0);
}

Deno.test("an expensive path is crossed once, by a different server for different content", () => {
  const entered = new Set<string>();
  for (const salt of "0123456789abcdef") {
    const tree = spreadTree("a1", five, { salt, fanOut: 3 });
    assertEquals(tree.size, 4);
    const [crossing, ...more] = crossings(tree, five);
    assertEquals(more, []);
    assertEquals(tree.get("a2"), "a1");
    assertEquals(crossing![1], "a1", "from the root itself, not a hop later");
    entered.add(crossing![0]);
  }
  assertEquals([...entered].sort(), ["z1", "z2", "z3"]);
});

Deno.test("another region of the same cloud is reached from that cloud", () => {
  const members = [...five, at("z4", "azure", "northeurope")];
  for (const salt of "0123456789abcdef") {
    const places = new Map(members.map(({ id, place }) => [id, place]));
    const paths = crossings(spreadTree("a1", members, { salt, fanOut: 3 }), members);
    const prices = paths.map(([child, parent]) => pathPrice(places.get(parent)!, places.get(child)!));
    assertEquals(prices.sort((a, b) => a - b), [20_000_000, 90_000_000]);
  }
});

Deno.test("the cheaper exit is taken where prices are known", () => {
  const egress = ({ provider }: { provider: string }) => provider === "azure" ? 10_000_000 : null;
  const members = [...five, at("g1", "gcp", "europe-west1")];
  for (const salt of "0123456789abcdef") {
    assert(spreadTree("a1", members, { salt, fanOut: 3, egress }).get("g1")!.startsWith("z"));
  }
});

Deno.test("a root that is no member, and nobody else", () => {
  const trees = new SpreadTrees(five, { fanOut: 3, strangers: (id) => id === "e" ? at("e", "local", "local") : null });
  assertEquals(trees.parentOf("e", "e", "ab"), null);
  assertEquals(five.every(({ id }) => trees.parentOf(id, "e", "ab") !== null), true);
  assertEquals(trees.parentOf("a1", "unheard of", "ab"), null);
  assertEquals(trees.parentOf("unheard of", "a1", "ab"), null);
});

const members = fc.uniqueArray(
  fc.record({
    id: fc.string({ minLength: 1, maxLength: 6, unit: fc.constantFrom(..."abcdef0123") }),
    place: fc.record({ provider: fc.constantFrom("p", "q", "r"), region: fc.constantFrom("1", "2") }),
  }),
  { minLength: 1, maxLength: 24, selector: ({ id }) => id },
);

Deno.test("every tree reaches everybody, is the cheapest there is, and no server has too many children", () => {
  fc.assert(fc.property(members, fc.integer({ min: 1, max: 4 }), fc.nat(15), (list, fanOut, nibble) => {
    const root = list[0]!.id;
    const salt = nibble.toString(16);
    const tree = spreadTree(root, list, { salt, fanOut });
    assertEquals(tree, spreadTree(root, list, { salt, fanOut }));
    for (const { id } of list) {
      const seen = new Set<string>();
      for (let at = id; at !== root; at = tree.get(at)!) {
        assert(!seen.has(at), "a circle");
        seen.add(at);
      }
    }
    // As cheap as Kruskal's: clouds - 1 crossings between clouds, regions - clouds crossings within them.
    const clouds = new Set(list.map(({ place }) => place.provider)).size;
    const regions = new Set(list.map(({ place }) => `${place.provider}/${place.region}`)).size;
    const place = new Map(list.map(({ id, place }) => [id, place]));
    const price = (edge: [string, string]) => pathPrice(place.get(edge[1])!, place.get(edge[0])!);
    const total = [...tree].reduce((sum, edge) => sum + price(edge), 0);
    assertEquals(total, (clouds - 1) * 90_000_000 + (regions - clouds) * 20_000_000);
    for (const { id } of list) {
      const children = [...tree].filter(([, parent]) => parent === id);
      assert(children.filter((edge) => price(edge) === 0).length <= fanOut);
      assert(children.filter((edge) => price(edge) > 0).length <= fanOut);
    }
  }));
});
