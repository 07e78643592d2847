/**
 * An empty server joins one that is full: how long until it holds everything, against `curl` that gets the same bodies
 * from the same server over the same line, with kept connections, in parallel, into files.
 *
 *     deno run -P=bench bench/bootstrap/run.ts [--rounds N] [--mbit N[,N…]] [SIZExCOUNT …]
 *
 * By default 10,000 bodies of 10 KiB and 4 of 256 MiB, over lines of 200 Mbit/s and unlimited (`0`). Linux, as root:
 * each server runs in a network namespace. Rounds take turns: curl, we, curl, we. curl syncs nothing; we sync all.
 */
import { parseArgs } from "@std/cli/parse-args";
import { cpuSeconds, median, run, table } from "../kit.ts";
import { heldBy, noise, put, type Server, startServer, TOKEN, until } from "../spread/fleet.ts";
import { canMakeNetworks, type Machine, Network } from "./network.ts";

const flags = parseArgs(Deno.args, { string: ["rounds", "mbit"], default: { rounds: "3", mbit: "200,0" } }) as {
  rounds: string;
  mbit: string;
  _: (string | number)[];
};
const rounds = Number(flags.rounds);
const cases = (flags._.length > 0 ? flags._.map(String) : [`${10 << 10}x10000`, `${256 << 20}x4`]).map((text) => {
  const [size, count] = text.split("x").map(Number);
  return { size: size!, count: count! };
});
if (!canMakeNetworks) throw new Error("this needs network namespaces: Linux, as root");

/** For finding out what costs: `BENCH_PROFILE=--cpu-prof`, say. */
const PROFILE = Deno.env.get("BENCH_PROFILE")?.split(" ") ?? [];
/** Bodies under way at once, for curl as for us. */
const PARALLEL = 24;

async function fill(server: Server, { size, count }: { size: number; count: number }): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: size < 1 << 20 ? 16 : 1 }, async () => {
    while (next < count) await put(`${server.url}/body/${next++}`, noise(size));
  }));
}

/** Milliseconds that curl takes. */
async function byCurl(from: Server, there: Machine, folder: string, count: number): Promise<number> {
  const lines = Array.from({ length: count }, (_, at) => `url = "${from.url}/body/${at}"\noutput = "${at}"`);
  await Deno.writeTextFile(`${folder}/config`, lines.join("\n"));
  await Deno.mkdir(`${folder}/files`);
  const [command, ...words] = [...there.prefix, "curl", "-sf", "--no-progress-meter", "-Z", "--parallel-max"];
  const begin = performance.now();
  await run(command!, [...words, String(PARALLEL), "-K", "../config"], { cwd: `${folder}/files` });
  const ms = performance.now() - begin;
  await Deno.remove(`${folder}/files`, { recursive: true });
  return ms;
}

interface Filled {
  /** From the start of the process; and from when it listens. */
  ms: number;
  listenMs: number;
  peak: number;
  /** Processor seconds of it, and of the one that gives. */
  cpu: number;
  givingCpu: number;
}

/** Each newcomer has an id of its own: the first key of an id is the one that counts. */
let newcomers = 0;

async function byServer(from: Server, there: Machine, folder: string, count: number): Promise<Filled> {
  const id = `new-${++newcomers}`;
  const begin = performance.now();
  const givenBefore = await cpuSeconds(from.pid);
  const server = await startServer({ id, data: `${folder}/new`, peers: [from.url], machine: there, runtime: PROFILE });
  const listenMs = performance.now() - begin;
  let filled: Filled;
  try {
    await until("the new server holds everything", async () => await heldBy(server) === count, { everyMs: 25 });
    filled = {
      ms: performance.now() - begin,
      listenMs,
      peak: server.peakBytes(),
      cpu: await cpuSeconds(server.pid),
      givingCpu: await cpuSeconds(from.pid) - givenBefore,
    };
  } finally {
    await server[Symbol.asyncDispose]();
  }
  await Deno.remove(`${folder}/new`, { recursive: true });
  await fetch(`${from.url}/-/v1/servers/${id}`, {
    method: "DELETE",
    headers: { authorization: `Bearer ${TOKEN}` },
  }).then((answer) => answer.body?.cancel());
  return filled;
}

const rows: string[][] = [];
for (const one of cases) {
  const folder = await Deno.makeTempDir({ prefix: "metacdn-bench-" });
  await using network = await Network.make(2);
  const [here, there] = network.machines as [Machine, Machine];
  try {
    await using full = await startServer({ id: "full", data: `${folder}/full`, machine: here });
    await fill(full, one);
    for (const mbit of flags.mbit.split(",").map(Number)) {
      await network.shape(mbit || null);
      const curl: number[] = [];
      const ours: Filled[] = [];
      for (let round = 0; round < rounds; round++) {
        curl.push(await byCurl(full, there, folder, one.count));
        ours.push(await byServer(full, there, folder, one.count));
        console.error(`round ${round}: curl ${Math.round(curl.at(-1)!)} ms, we ${JSON.stringify(ours.at(-1))}`);
      }
      const bytes = one.size * one.count;
      const [theirMs, ourMs] = [median(curl), median(ours.map(({ ms }) => ms))];
      rows.push([
        `${one.count} x ${one.size >> 10} KiB`,
        mbit ? `${mbit} Mbit/s` : "no limit",
        `${(theirMs / 1000).toFixed(1)} s (${Math.round(bytes / theirMs / 1000)} MB/s)`,
        `${(ourMs / 1000).toFixed(1)} s (${Math.round(bytes / ourMs / 1000)} MB/s)`,
        (theirMs / ourMs).toFixed(2),
        `${(median(ours.map(({ cpu }) => cpu)) / one.count * 1000).toFixed(2)} ms`,
        `${Math.round(Math.max(...ours.map(({ peak }) => peak)) / 2 ** 20)} MiB`,
      ]);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
console.log(table(["bodies", "line", "curl", "a new server", "ratio of rates", "CPU a body", "peak memory"], rows));
