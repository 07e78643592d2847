/** What crosses which path: five servers in two regions, every byte between them counted. */
import { assertEquals } from "@std/assert";
import { pathPrice } from "../../../server/cluster/paths.ts";
import { type Place, startCounted } from "./carried.ts";
import { noise, until } from "./node.ts";

const places: Record<string, Place> = {
  a1: { provider: "aws", region: "us-east-1" },
  a2: { provider: "aws", region: "us-east-1" },
  z1: { provider: "azure", region: "westeurope" },
  z2: { provider: "azure", region: "westeurope" },
  z3: { provider: "azure", region: "westeurope" },
};

Deno.test("five servers at two clouds: each body crosses between the clouds once, whoever accepted it", async () => {
  await using counted = await startCounted(places);
  const { nodes, carried } = counted;
  const size = 300_000;
  const writers = [...nodes, ...nodes];
  for (const [at, writer] of writers.entries()) {
    carried.clear();
    const manifest = await writer.put(`/body/${at}`, noise(size, at + 1));
    for (const node of nodes) {
      await until(`${node.id} has /body/${at}`, async () => (await node.store.open(manifest.sha256)) !== null);
    }
    const dear = [...carried].filter(([path]) => {
      const [from, to] = path.split(" ");
      return pathPrice(places[from!]!, places[to!]!) > 0;
    });
    assertEquals(dear.map(([, bytes]) => bytes), [size], `paths of a body of ${writer.id}: ${[...carried.keys()]}`);
    assertEquals([...carried.values()].reduce((sum, bytes) => sum + bytes, 0), 4 * size, "nothing comes twice");
  }
});
