/**
 * Raw PUT of one big file, against a bare `Deno.serve` that hashes the same stream, writes it to a file and
 * fsyncs it (`bare.ts`). Same file, same client (curl), same disk; who goes first changes from round to round.
 *
 *     deno run -P=bench bench/put/run.ts [BYTES] [ROUNDS]
 */
import { median, run, startProgram, table, writeRandomFile } from "../kit.ts";

const size = Number(Deno.args[0] ?? 2 ** 30);
const rounds = Number(Deno.args[1] ?? 5);
const folder = await Deno.makeTempDir({ prefix: "metacdn-bench-" });
try {
  const file = `${folder}/file`;
  await writeRandomFile(file, size);
  await using ours = await startProgram([
    "-P=server",
    "main.ts",
    "server",
    "--listen",
    "127.0.0.1:0",
    "--data",
    `${folder}/data`,
  ]);
  await using bare = await startProgram(["-A", "bench/put/bare.ts", folder]);
  const put = async (url: string) => {
    const seconds = await run("curl", ["-sf", "-T", file, "-o", "/dev/null", "-w", "%{time_total}", url]);
    return size / Number(seconds);
  };
  const rates = { ours: [] as number[], bare: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    // A body that is held already is not written again: each round needs bytes of its own.
    using handle = await Deno.open(file, { write: true });
    await handle.write(crypto.getRandomValues(new Uint8Array(16)));
    const contests = [
      async () => {
        rates.bare.push(await put(`${bare.url}/file`));
        await Deno.remove(`${folder}/bare-${round}`);
      },
      async () => {
        rates.ours.push(await put(`${ours.url}/file-${round}`));
        await run("curl", ["-sf", "-X", "DELETE", `${ours.url}/file-${round}`]);
      },
    ];
    // Who comes second finds a disk that is still busy with the first.
    for (const contest of round % 2 ? contests.reverse() : contests) await contest();
  }
  const perSecond = (rate: number) => `${Math.round(rate / 1e6)} MB/s`;
  console.log(table(["raw PUT", "median", "ratio", "peak memory"], [
    [
      "bare Deno.serve: hash, write, fsync",
      perSecond(median(rates.bare)),
      "1.00",
      `${Math.round(bare.peakBytes() / 2 ** 20)} MiB`,
    ],
    [
      "metacdn server",
      perSecond(median(rates.ours)),
      (median(rates.ours) / median(rates.bare)).toFixed(2),
      `${Math.round(ours.peakBytes() / 2 ** 20)} MiB`,
    ],
  ]));
} finally {
  await Deno.remove(folder, { recursive: true });
}
