/**
 * The proxy against nginx `proxy_pass`, before the same origin: requests and bytes a second, in turns.
 *
 *     deno run -P=bench bench/proxy/run.ts [--rounds N] [--seconds N] [--small]
 *
 * Needs nginx and wrk. Prints a Markdown table of medians and ratios; the absolute figures are the machine's.
 */
import { parseArgs } from "@std/cli/parse-args";
import { startNginx } from "./nginx.ts";
import { poseAsServer, startMetacdn, startSmall } from "./contestants.ts";
import { cpuMs } from "./cpu.ts";
import { type Load, load } from "./wrk.ts";

type Result = Load & { cpuMicros: number; ratio: number };

const flags = parseArgs(Deno.args, {
  string: ["rounds", "seconds"],
  boolean: ["small"],
  default: { rounds: "3", seconds: "3" },
});
const rounds = Number(flags.rounds);
const seconds = Number(flags.seconds);
const SIZES: [name: string, bytes: number][] = [["1 KiB", 1024], ["100 KiB", 102_400], ["10 MiB", 10_485_760]];

// Small enough to be in the page cache: no disk is measured.
const folder = await Deno.makeTempDir();
const stack = new AsyncDisposableStack();
stack.defer(() => Deno.remove(folder, { recursive: true }));
await Deno.chmod(folder, 0o755); // nginx reads as another user where it was started by root.
try {
  await Deno.mkdir(`${folder}/files`);
  for (const [, bytes] of SIZES) {
    const content = new Uint8Array(bytes);
    for (let at = 0; at < bytes; at += 65_536) crypto.getRandomValues(content.subarray(at, at + 65_536));
    await Deno.writeFile(`${folder}/files/${bytes}`, content);
  }
  const origin = stack.use(await startNginx(`${folder}/origin`, { root: `${folder}/files` }));
  const contestants = [
    { name: "nginx proxy_pass", ...stack.use(await startNginx(`${folder}/proxy`, { upstream: origin.url })) },
    ...(flags.small ? [{ name: "Deno.serve + forward()", ...stack.use(await startSmall(origin.url)) }] : []),
  ];
  await poseAsServer(`${folder}/files`, origin.url);
  contestants.push(
    { name: "metacdn proxy --no-front", ...stack.use(await startMetacdn(origin.url, ["--no-front"])) },
    { name: "metacdn proxy", ...stack.use(await startMetacdn(origin.url)) },
  );

  const [first] = contestants;
  console.log(
    `| body | proxy | requests/s | MB/s | p50 ms | p99 ms | processor µs/request | ratio to ${first!.name} |`,
  );
  console.log("| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |");
  for (const [name, bytes] of SIZES) {
    const results = new Map<string, Result[]>(contestants.map((contestant) => [contestant.name, []]));
    for (const { url } of contestants) await load(`${url}/${bytes}`, { seconds: 1 });
    for (let round = 0; round < rounds; round++) {
      for (const { name, url, pids } of contestants) {
        const before = await cpuMs(pids);
        const result = await load(`${url}/${bytes}`, { seconds });
        const cpuMicros = (await cpuMs(pids) - before) * 1000 / result.requests;
        // Beside nginx of the same round: what else the machine did fell on both.
        const [beside] = results.get(first!.name)!.slice(-1);
        results.get(name)!.push({ ...result, cpuMicros, ratio: beside ? result.perSecond / beside.perSecond : 1 });
      }
    }
    for (const [contestant, list] of results) {
      const perSecond = median(list.map((result) => result.perSecond));
      const cells = [
        name,
        contestant,
        perSecond.toFixed(0),
        (perSecond * bytes / 1e6).toFixed(0),
        median(list.map((result) => result.p50Ms)).toFixed(1),
        median(list.map((result) => result.p99Ms)).toFixed(1),
        median(list.map((result) => result.cpuMicros)).toFixed(0),
        contestant === first!.name ? "1.00" : median(list.map((result) => result.ratio)).toFixed(2),
      ];
      console.log(`| ${cells.join(" | ")} |`);
    }
  }
} finally {
  await stack.disposeAsync();
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
