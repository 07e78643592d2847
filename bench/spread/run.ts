/**
 * Propagation: how long from an upload's acknowledgement, and from its start, until the last of five servers holds it,
 * as a multiple of one plain copy (GET of the same bytes from one of them over the same kind of line, written and
 * fsynced). In turns: copy, upload, copy, upload. All five share this machine's disk and cores.
 *
 *     deno run -P=bench bench/spread/run.ts [--rounds N] [--lines loopback,delayed,shaped] [--sizes BYTES,…] [--idle S]
 *
 * `delayed`: each server is behind a link with a round trip of 20 ms and 25 MB/s a connection (`cli/up/link.ts`).
 * `shaped`: each server has a line of 200 Mbit/s, which all its connections share (network namespaces; as root).
 * `--idle S` reports, besides, what a server does in S seconds at rest.
 */
import { parseArgs } from "@std/cli/parse-args";
import { Link } from "../../cli/up/link.ts";
import { canMakeNetworks, Network } from "../bootstrap/network.ts";
import { cpuSeconds, median, residentBytes, table } from "../kit.ts";
import { ask, journalBytes, noise, put, type Server, startServer, until, untilJoined } from "./fleet.ts";

const flags = parseArgs(Deno.args, {
  string: ["rounds", "lines", "sizes", "idle"],
  default: { rounds: "9", lines: "loopback,delayed,shaped", sizes: `${10 << 10},${10 << 20}`, idle: "0" },
}) as unknown as { rounds: string; lines: string; sizes: string; idle: string };
const rounds = Number(flags.rounds);
const SERVERS = 5;
const SHAPE = { rttMs: 20, bytesPerSecond: 25e6 };
const MBIT = 200;

/** Five servers that know each other. */
class Fleet implements AsyncDisposable {
  readonly servers: Server[] = [];
  /** Where each is reached, as the others reach it. */
  readonly urls: string[] = [];
  readonly #stack = new AsyncDisposableStack();
  #objects = 0;

  static async start(line: string): Promise<Fleet> {
    const fleet = new Fleet();
    const stack = fleet.#stack;
    try {
      const folder = await Deno.makeTempDir({ prefix: "metacdn-bench-" });
      stack.defer(() => Deno.remove(folder, { recursive: true }));
      const network = line === "shaped" ? stack.use(await Network.make(SERVERS)) : null;
      for (let at = 0; at < SERVERS; at++) {
        const id = "abcde"[at]!;
        const link = line === "delayed" ? new Link(SHAPE) : null;
        if (link) stack.defer(() => link.close());
        const server = stack.use(
          await startServer({
            id,
            data: `${folder}/${id}`,
            peers: fleet.urls.slice(0, 1),
            ...(network && { machine: network.machines[at]! }),
            flags: link ? ["--url", link.url] : [],
          }),
        );
        if (link) link.target = { hostname: "127.0.0.1", port: Number(new URL(server.url).port) };
        fleet.servers.push(server);
        fleet.urls.push(link?.url ?? server.url);
      }
      await untilJoined(fleet.servers);
      await network?.shape(MBIT);
      return fleet;
    } catch (error) {
      await stack.disposeAsync();
      throw error;
    }
  }

  /** One upload to one of them: milliseconds until the answer, and until the last one holds it. */
  async upload(body: Uint8Array<ArrayBuffer>): Promise<{ ackMs: number; allMs: number; path: string }> {
    const before = this.servers.map(journalBytes);
    const to = this.#objects % SERVERS;
    const path = `/object/${this.#objects++}`;
    const begin = performance.now();
    // Straight to the server; only a `shaped` line lies before the server itself, so that it carries the upload too.
    const acknowledged = put(`${this.servers[to]!.url}${path}`, body).then(() => performance.now() - begin);
    await until("all hold it", () => this.servers.every((server, at) => journalBytes(server) > before[at]!), {
      everyMs: 1,
    });
    const allMs = performance.now() - begin;
    return { ackMs: await acknowledged, allMs, path };
  }

  /** One plain copy from a server that has it, over its line. */
  async copy(path: string, from: number): Promise<number> {
    const file = await Deno.makeTempFile();
    const begin = performance.now();
    {
      using out = await Deno.open(file, { write: true });
      const response = await ask(`${this.urls[from]}${path}`);
      for await (const chunk of response.body!) {
        for (let at = 0; at < chunk.length;) at += await out.write(chunk.subarray(at));
      }
      await out.sync();
    }
    const ms = performance.now() - begin;
    await Deno.remove(file);
    return ms;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

const rows: string[][] = [];
for (const line of flags.lines.split(",")) {
  if (line === "shaped" && !canMakeNetworks) {
    console.log("No network namespaces here: `shaped` is left out.");
    continue;
  }
  await using fleet = await Fleet.start(line);
  for (const size of flags.sizes.split(",").map(Number)) {
    const ups: { ackMs: number; allMs: number }[] = [];
    const copies: number[] = [];
    for (let round = 0; round <= rounds; round++) {
      const done = await fleet.upload(noise(size));
      const copied = await fleet.copy(done.path, (round + 2) % SERVERS);
      if (round === 0) continue; // what is done once only, such as connecting
      ups.push(done);
      copies.push(copied);
    }
    const copy = median(copies);
    const ratio = (of: (one: { ackMs: number; allMs: number }) => number) => (median(ups.map(of)) / copy).toFixed(2);
    rows.push([
      line,
      `${size >> 10} KiB`,
      `${copy.toFixed(1)} ms`,
      `${median(ups.map(({ ackMs }) => ackMs)).toFixed(1)} ms`,
      `${median(ups.map(({ allMs }) => allMs)).toFixed(1)} ms`,
      ratio(({ ackMs, allMs }) => Math.max(0, allMs - ackMs)),
      ratio(({ allMs }) => allMs),
    ]);
  }
  if (line === "loopback" && Number(flags.idle) > 0) await reportIdle(fleet.servers, Number(flags.idle));
}
console.log(table(
  ["line", "size", "plain copy", "acknowledged", "all five hold it", "from acknowledgement", "from the start"],
  rows,
));

async function reportIdle(servers: readonly Server[], seconds: number): Promise<void> {
  const look = () => Promise.all(servers.map(({ pid }) => cpuSeconds(pid)));
  const before = await look();
  await new Promise((done) => setTimeout(done, seconds * 1000));
  const after = await look();
  const cpu = after.map((one, at) => (one - before[at]!) / seconds * 1000);
  console.log(
    `At rest, ${servers.length} servers, ${seconds} s: ${median(cpu).toFixed(1)} ms of processor time a second each, ` +
      `${Math.round(median(servers.map(({ pid }) => residentBytes(pid))) / 2 ** 20)} MiB resident.\n`,
  );
}
