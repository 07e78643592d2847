/**
 * Bytes of bodies on each path: five servers in three places, each takes the same number of uploads, and every byte of a
 * body between two of them is counted. As a table of what crosses from place to place.
 *
 *     deno run -P=bench bench/spread/paths.ts [UPLOADS_EACH]
 */
import { pathPrice } from "../../server/cluster/paths.ts";
import { Node, noise, until, untilJoined } from "../../tests/server/cluster/node.ts";
import { table } from "../kit.ts";

const each = Number(Deno.args[0] ?? 4);
const SIZE = 300_000;
const places: Record<string, { provider: string; region: string }> = {
  a1: { provider: "aws", region: "us-east-1" },
  a2: { provider: "aws", region: "us-east-1" },
  e1: { provider: "aws", region: "eu-west-1" },
  z1: { provider: "azure", region: "westeurope" },
  z2: { provider: "azure", region: "westeurope" },
};
const nameOf = (id: string) => `${places[id]!.provider} ${places[id]!.region}`;

const nodes: Node[] = [];
/** Bodies by "from to". */
const carried = new Map<string, number>();
const counting = (to: string): typeof fetch => async (input, init) => {
  const response = await fetch(input, init);
  const url = new URL(String(input));
  const from = nodes.find((node) => node.url === url.origin)?.id;
  if (!url.pathname.startsWith("/-/v1/peer/bodies/") || !response.ok || !response.body) return response;
  const counted = response.body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        carried.set(`${from} ${to}`, (carried.get(`${from} ${to}`) ?? 0) + chunk.byteLength);
        controller.enqueue(chunk);
      },
    }),
  );
  return new Response(counted, response);
};

await using stack = new AsyncDisposableStack();
for (const [id, place] of Object.entries(places)) {
  const node = new Node(id, { ...place, fetch: counting(id), settings: { repairAfterMs: 60_000, waitMs: 5_000 } });
  nodes.push(stack.use(node));
  await node.start(nodes.slice(0, -1).map(({ url }) => url).slice(0, 1));
}
await untilJoined(...nodes);
let uploads = 0;
for (let round = 0; round < each; round++) {
  for (const writer of nodes) {
    const { sha256 } = await writer.put(`/body/${uploads}`, noise(SIZE, ++uploads));
    for (const node of nodes) await until(`${node.id} has it`, async () => (await node.store.open(sha256)) !== null);
  }
}

const byPlaces = new Map<string, { bytes: number; price: number }>();
for (const [path, bytes] of carried) {
  const [from, to] = path.split(" ") as [string, string];
  const name = `${nameOf(from)} -> ${nameOf(to)}`;
  const sum = byPlaces.get(name) ?? { bytes: 0, price: pathPrice(places[from]!, places[to]!) };
  byPlaces.set(name, { ...sum, bytes: sum.bytes + bytes });
}
const perUpload = (bytes: number) => (bytes / SIZE / uploads).toFixed(2);
const sorted = [...byPlaces].sort(([a], [b]) => a < b ? -1 : 1);
const sum = (rows: typeof sorted) => perUpload(rows.reduce((all, [, { bytes }]) => all + bytes, 0));
console.log(table(["path", "copies an upload", "free"], [
  ...sorted.map(([name, { bytes, price }]) => [name, perUpload(bytes), price === 0 ? "yes" : ""]),
  ["all", sum(sorted), ""],
  ["all at a price", sum(sorted.filter(([, { price }]) => price > 0)), ""],
]));
