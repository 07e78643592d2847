/**
 * What TLS costs: small answers by wrk, long ones by curl, from a plain listener, from ours with TLS (TCP_NODELAY by
 * FFI; without FFI), and from a bare `Deno.serve` with TLS. Same certificate (Ed25519), same clients, in turn.
 *
 *     deno run -P=bench bench/tls/run.ts [SECONDS] [ROUNDS]
 */
import { newCa, newServer } from "../../tests/certs/kit.ts";
import { median, run, startProgram, table } from "../kit.ts";
import { load } from "../proxy/wrk.ts";

const seconds = Number(Deno.args[0] ?? 4);
const rounds = Number(Deno.args[1] ?? 3);
const BULK = 2 ** 30;

const contestants: Record<string, string[]> = {
  "plain": ["--allow-ffi", "plain"],
  "TLS, TCP_NODELAY by FFI": ["--allow-ffi", "tls"],
  "TLS, no FFI": ["tls"],
  "TLS, bare Deno.serve": ["bare"],
};

const folder = await Deno.makeTempDir({ prefix: "metacdn-bench-" });
try {
  const nowMs = Date.now();
  const ca = await newCa("bench", nowMs);
  const { cert, key } = await newServer(ca, { names: ["127.0.0.1"], nowMs });
  await Deno.writeTextFile(`${folder}/a.pem`, cert);
  await Deno.writeTextFile(`${folder}/a.key`, key);
  await Deno.writeTextFile(`${folder}/ca.pem`, ca.certificate);

  const found: Record<string, { small: number[]; p50: number[]; middle: number[]; bulk: number[] }> = {};
  for (let round = 0; round < rounds; round++) {
    for (const [name, args] of Object.entries(contestants)) {
      const kind = args.at(-1)!;
      const permissions = ["--no-prompt", "--allow-read", "--allow-net", ...args.slice(0, -1)];
      await using server = await startProgram([...permissions, "bench/tls/serve.ts", kind, folder]);
      const rows = found[name] ??= { small: [], p50: [], middle: [], bulk: [] };
      const { perSecond, p50Ms } = await load(`${server.url}/1024`, { seconds });
      rows.small.push(perSecond);
      rows.p50.push(p50Ms);
      rows.middle.push((await load(`${server.url}/${100 << 10}`, { seconds })).perSecond);
      const format = ["-sf", "--http1.1", "--cacert", `${folder}/ca.pem`, "-o", "/dev/null", "-w", "%{time_total}"];
      rows.bulk.push(BULK / Number(await run("curl", [...format, `${server.url}/${BULK}`])));
    }
  }
  const plain = median(found["plain"]!.small);
  console.log(table(
    ["listener", "1 KiB", "ratio", "1 KiB, median", "100 KiB", "1 GiB"],
    Object.entries(found).map(([name, { small, p50, middle, bulk }]) => [
      name,
      `${Math.round(median(small))}/s`,
      (median(small) / plain).toFixed(2),
      `${median(p50).toFixed(1)} ms`,
      `${Math.round(median(middle))}/s`,
      `${Math.round(median(bulk) / 1e6)} MB/s`,
    ]),
  ));
} finally {
  await Deno.remove(folder, { recursive: true });
}
