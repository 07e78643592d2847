/**
 * Bytes of bodies on each path: five servers in three places, each takes the same number of uploads, and every byte of a
 * body between two of them is counted. As a table of what crosses from place to place.
 *
 *     deno run -P=bench bench/spread/paths.ts [UPLOADS_EACH]
 */
import { pathPrice } from "../../server/cluster/paths.ts";
import { type Place, startCounted } from "../../tests/server/cluster/carried.ts";
import { noise, until } from "../../tests/server/cluster/node.ts";
import { table } from "../kit.ts";

const each = Number(Deno.args[0] ?? 4);
const SIZE = 300_000;
const places: Record<string, Place> = {
  a1: { provider: "aws", region: "us-east-1" },
  a2: { provider: "aws", region: "us-east-1" },
  e1: { provider: "aws", region: "eu-west-1" },
  z1: { provider: "azure", region: "westeurope" },
  z2: { provider: "azure", region: "westeurope" },
};
const nameOf = (id: string) => `${places[id]!.provider} ${places[id]!.region}`;

await using counted = await startCounted(places);
const { nodes, carried } = counted;
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
