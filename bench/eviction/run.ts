/**
 * Who should go when room is short: the part of requests, and of bytes, that a cache answers by S3-FIFO, W-TinyLFU, LRU,
 * and with knowledge of the future.
 *
 *     deno run -P=bench bench/eviction/run.ts [SEED]
 *
 * Room is a part of the bytes of all objects. The first fifth of each trace only fills it.
 */
import { table } from "../kit.ts";
import { policies } from "./policies.ts";
import { traces } from "./traces.ts";

const seed = Number(Deno.args[0] ?? 1);
const percent = (part: number) => (100 * part).toFixed(1);
const rows: string[][] = [];
for (const { name, requests } of traces(seed)) {
  const objects = new Map(requests.map(({ key, bytes }) => [key, bytes]));
  const all = [...objects.values()].reduce((sum, bytes) => sum + bytes, 0);
  for (const room of [0.01, 0.1]) {
    const results = Object.values(policies).map((open) => {
      const policy = open(room * all, requests);
      let [asked, hits, askedBytes, hitBytes] = [0, 0, 0, 0];
      requests.forEach((request, at) => {
        const hit = policy.ask(request);
        if (at < requests.length / 5) return;
        asked++;
        askedBytes += request.bytes;
        if (!hit) return;
        hits++;
        hitBytes += request.bytes;
      });
      return `${percent(hits / asked)} / ${percent(hitBytes / askedBytes)}`;
    });
    rows.push([name, `${100 * room} %`, ...results]);
  }
}
console.log("Hits in % of requests / of bytes:\n");
console.log(table(["trace", "room", ...Object.keys(policies)], rows));
