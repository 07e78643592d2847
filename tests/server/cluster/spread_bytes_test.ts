/** What crosses which path: five servers in two regions, every byte between them counted. */
import { assertEquals } from "@std/assert";
import { pathPrice } from "../../../server/cluster/paths.ts";
import { Node, noise, until, untilJoined } from "./node.ts";

const places: Record<string, { provider: string; region: string }> = {
  a1: { provider: "aws", region: "us-east-1" },
  a2: { provider: "aws", region: "us-east-1" },
  z1: { provider: "azure", region: "westeurope" },
  z2: { provider: "azure", region: "westeurope" },
  z3: { provider: "azure", region: "westeurope" },
};

Deno.test("five servers at two clouds: each body crosses between the clouds once, whoever accepted it", async () => {
  const nodes: Node[] = [];
  /** Bytes of bodies on each path: "from to". */
  const paths = new Map<string, number>();
  const counting = (to: string): typeof fetch => async (input, init) => {
    const response = await fetch(input, init);
    const url = new URL(String(input));
    const from = nodes.find((node) => node.url === url.origin)?.id;
    if (!url.pathname.startsWith("/-/v1/peer/bodies/") || !response.ok || !response.body) return response;
    const counted = response.body.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform(chunk, controller) {
          const name = `${from} ${to}`;
          paths.set(name, (paths.get(name) ?? 0) + chunk.byteLength);
          controller.enqueue(chunk);
        },
      }),
    );
    return new Response(counted, response);
  };
  await using stack = new AsyncDisposableStack();
  for (const [id, place] of Object.entries(places)) {
    // Repair must not be what brings a body: the tree is looked at here.
    const node = new Node(id, { ...place, fetch: counting(id), settings: { repairAfterMs: 60_000, waitMs: 5_000 } });
    nodes.push(stack.use(node));
    await node.start(nodes.slice(0, -1).map(({ url }) => url).slice(0, 1));
  }
  await untilJoined(...nodes);

  const size = 300_000;
  const writers = [...nodes, ...nodes];
  for (const [at, writer] of writers.entries()) {
    paths.clear();
    const manifest = await writer.put(`/body/${at}`, noise(size, at + 1));
    for (const node of nodes) {
      await until(`${node.id} has /body/${at}`, async () => (await node.store.open(manifest.sha256)) !== null);
    }
    const dear = [...paths].filter(([path]) => {
      const [from, to] = path.split(" ");
      return pathPrice(places[from!]!, places[to!]!) > 0;
    });
    assertEquals(dear.map(([, bytes]) => bytes), [size], `paths of a body of ${writer.id}: ${[...paths.keys()]}`);
    assertEquals([...paths.values()].reduce((sum, bytes) => sum + bytes, 0), 4 * size, "nothing comes twice");
  }
});
