/**
 * What it costs two servers to find ten objects that differ among many, and an empty server to learn the whole index:
 * messages, and bytes both ways in both encodings.
 *
 *     deno run -P=bench bench/repair/run.ts [OBJECTS…]
 *
 * Bytes are those of the encoded questions and answers, and HEADS for the two HTTP heads of each message (request line,
 * Host, Content-Type, Content-Length, Accept, and the signature's fields: about 450 bytes there and 150 back).
 */
import { MemoryLedger } from "../../server/cluster/memory_ledger.ts";
import { HOUR, live, Net, openSite, stampOf, START } from "../../tests/server/cluster/catalog_kit.ts";
import { table } from "../kit.ts";

const HEADS = 600;
const sizes = Deno.args.length > 0 ? Deno.args.map(Number) : [1_000, 10_000, 100_000, 1_000_000];
const never = new AbortController().signal;
console.log(table(["case", "objects", "messages", "bytes (JSON)", "bytes (Protobuf)", "ms"], []));

for (const size of sizes) {
  const objects = Array.from({ length: size }, (_, n) => live(`/photos/2026/${n}.jpg`, stampOf(START)));
  const newer = (from: number, to: number) =>
    objects.slice(from, to).map(({ path }) => live(path, stampOf(START + HOUR)));
  const net = new Net();
  const site = async (id: string, known: typeof objects) => {
    const ledger = new MemoryLedger();
    ledger.wanted.setAll(known);
    return await openSite({ net, id, ledger });
  };
  const a = await site("a", objects);
  const b = await site("b", objects);
  await a.learn(newer(0, 5));
  await b.learn(newer(5, 10));
  const measure = async (what: string, work: () => Promise<unknown>) => {
    Object.assign(net.traffic, { messages: 0, json: 0, protobuf: 0 });
    const begin = performance.now();
    await work();
    const { messages, json, protobuf } = net.traffic;
    const ms = Math.round(performance.now() - begin);
    const row = [what, size, messages, json + messages * HEADS, protobuf + messages * HEADS, ms];
    console.log(`| ${row.join(" | ")} |`);
  };
  await measure("ten differ", () => a.repair.reconcile(b, never));
  if (size <= 100_000) {
    const empty = await site("c", []);
    await measure("all is new", () => empty.repair.reconcile(b, never));
  }
}
