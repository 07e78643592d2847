/**
 * Ours against nginx, lighttpd, Varnish, httpd and a bare `Deno.serve`: the same files, the same clients (wrk, curl), in
 * turns, there and back.
 *
 *     deno run -P=bench bench/serve/run.ts [--rounds N] [--seconds N] [--only ROW,…] [--against NAME,…] [--ours content|no-front|edge]
 *
 * Needs nginx, wrk and curl; of lighttpd, varnishd and apache2 those that are there take part. Prints a Markdown table of
 * medians, and of the ratio to nginx in the same round; the absolute figures are the machine's.
 */
import { parseArgs } from "@std/cli/parse-args";
import { newCa, newServer } from "../../tests/certs/kit.ts";
import { median, run, writeRandomFile } from "../kit.ts";
import { cpuMs, withChildren } from "../proxy/cpu.ts";
import { load } from "../proxy/wrk.ts";
import { gather } from "./crowd.ts";
import { OURS } from "./ours.ts";
import { type Contestant, startBare, startHttpd, startLighttpd, startNginx, startVarnish, type Task } from "./peers.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const SIZES = [KIB, 100 * KIB, 10 * MIB, 1024 * MIB];

/** What a contestant did; more is better, but for memory. */
interface Result {
  value: number;
  /** Its processor's time for each answer, in µs: it tells much the same whatever else the machine does. */
  micros?: number;
  /** The same before there was any work. */
  atRest?: number;
}

/** What is measured; null where a contestant cannot. */
interface Row {
  name: string;
  unit: string;
  measure(contestant: Contestant): Promise<Result | null>;
}

const flags = parseArgs(Deno.args, {
  string: ["rounds", "seconds", "only", "against", "ours"],
  default: { rounds: "3", seconds: "3", only: "", against: "", ours: "content" },
});
const rounds = Number(flags.rounds);
const seconds = Number(flags.seconds);

const peers: [name: string, command: string, start: (task: Task) => Promise<Contestant>][] = [
  ["nginx", "nginx", startNginx],
  ["lighttpd", "lighttpd", startLighttpd],
  ["varnish", "varnishd", startVarnish],
  ["httpd", "apache2", startHttpd],
  ["Deno.serve", Deno.execPath(), startBare],
];

/** Answers a second. */
function byWrk(name: string, size: number, tls: boolean, { disk = false, connections = 32 } = {}): Row {
  return {
    name,
    unit: "/s",
    async measure(contestant) {
      const url = urlOf(contestant, tls, disk);
      if (url === null) return null;
      const pids = disk && contestant.disk ? contestant.disk.pids : contestant.pids;
      return await loaded(pids, `${url}/${size}`, { connections });
    },
  };
}

/** Answers a second, each of them a miss that the same kind of nginx answers behind. */
function byMiss(name: string, size: number): Row {
  return {
    name,
    unit: "/s",
    async measure({ miss }) {
      if (!miss) return null;
      // Another query each time, and in each run.
      const script = `local n = 0\nrequest = function() n = n + 1; ` +
        `return wrk.format("GET", "/${size}?${crypto.randomUUID()}-" .. n) end`;
      return await loaded(miss.pids, `${miss.http}/${size}`, { script, connections: 16 });
    },
  };
}

/** Bytes a second of one long answer. */
function byCurl(name: string, size: number, tls: boolean): Row {
  return {
    name,
    unit: "MB/s",
    async measure(contestant) {
      const url = contestant.name === "Deno.serve" ? null : urlOf(contestant, tls, true);
      if (!url) return null;
      const args = ["-sk", "--http1.1", "-o", "/dev/null", "-w", "%{speed_download} %{http_code} %{size_download}"];
      const [speed, status, got] = (await run("curl", [...args, `${url}/${size}`])).split(" ").map(Number);
      if (status !== 200 || got !== size) throw new Error(`curl ${url}/${size}: ${status}, ${got} bytes`);
      return { value: speed! / 1e6 };
    },
  };
}

const rows: Row[] = [
  byWrk("1 KiB hot", KIB, false),
  byWrk("1 KiB hot TLS", KIB, true),
  byWrk("100 KiB hot", 100 * KIB, false),
  byWrk("100 KiB hot TLS", 100 * KIB, true),
  byWrk("10 MiB hot", 10 * MIB, false),
  byWrk("10 MiB hot TLS", 10 * MIB, true),
  byWrk("10 MiB disk", 10 * MIB, false, { disk: true }),
  byWrk("10 MiB disk TLS", 10 * MIB, true, { disk: true }),
  byMiss("1 KiB miss", KIB),
  byMiss("100 KiB miss", 100 * KIB),
  byMiss("10 MiB miss", 10 * MIB),
  byCurl("1 GiB disk", 1024 * MIB, false),
  byCurl("1 GiB disk TLS", 1024 * MIB, true),
  {
    name: "304",
    unit: "/s",
    async measure({ http, pids }) {
      const url = `${http}/${KIB}`;
      const etag = (await fetch(url, { method: "HEAD" })).headers.get("etag");
      const headers = [`If-None-Match: ${etag}`];
      const status = (await fetch(url, { headers: { "if-none-match": etag! } })).status;
      return status === 304 ? await loaded(pids, url, { headers }) : null;
    },
  },
  {
    name: "5000 idle and 1000 slow",
    unit: "MiB",
    async measure({ name, http, pids }) {
      // Varnish takes a thread for each slow one, httpd a place among its workers: they are not made for it.
      if (name === "varnish" || name === "httpd") return null;
      const atRest = await residentMib(pids);
      using crowd = await gather(http, { idle: 5000, slow: 1000 }, { short: `/${KIB}`, long: `/${10 * MIB}` });
      await load(`${http}/${KIB}`, { seconds });
      if (crowd.lost() > 0) throw new Error(`${name} closed ${crowd.lost()} connections`);
      return { value: await residentMib(pids), atRest };
    },
  },
];

const only = String(flags.only).split(",").filter(Boolean);
const chosen = rows.filter(({ name }) => only.length === 0 || only.includes(name));
if (chosen.length === 0) throw new Error(`--only takes some of: ${rows.map(({ name }) => name).join(" | ")}`);
const against = String(flags.against).split(",").filter(Boolean);

// The files fit the page cache: no disk is measured, but the way from it.
const folder = await Deno.makeTempDir({ prefix: "metacdn-bench-" });
await using stack = new AsyncDisposableStack();
stack.defer(() => Deno.remove(folder, { recursive: true }));
await Deno.chmod(folder, 0o755); // some read as another user where they were started by root
const task = { files: `${folder}/files`, cert: `${folder}/a.pem`, key: `${folder}/a.key` };
await Deno.mkdir(task.files);
for (const size of SIZES) await writeRandomFile(`${task.files}/${size}`, size);
const nowMs = Date.now();
const pair = await newServer(await newCa("bench", nowMs), { names: ["127.0.0.1"], nowMs });
await Deno.writeTextFile(task.cert, pair.cert);
await Deno.writeTextFile(task.key, pair.key);

const contestants: Contestant[] = [];
async function enter(name: string, start: (task: Task) => Promise<Contestant>): Promise<void> {
  const own = `${folder}/${name}`;
  await Deno.mkdir(own);
  contestants.push(stack.use(await start({ ...task, folder: own })));
}
for (const [name, command, start] of peers) {
  if (name !== "nginx" && against.length > 0 && !against.includes(name)) continue;
  if (await has(command)) await enter(name, start);
  else console.error(`${command} is not here: without ${name}`);
}
await enter("ours", OURS[String(flags.ours)]!);

const names = contestants.map(({ name }) => name);
console.log(`| work | ${names.map((name) => name === "nginx" ? name : `${name} | ×`).join(" | ")} |`);
console.log(`| --- | ${names.map((name) => name === "nginx" ? "---:" : "---: | ---:").join(" | ")} |`);
for (const row of chosen) {
  // One that fails takes no other along.
  console.log(await line(row).catch((error) => `| ${row.name} | ${error.message.replaceAll(/\s+/g, " ")} |`));
}

async function line({ name, unit, measure }: Row): Promise<string> {
  const found = new Map<Contestant, (Result | null)[]>(contestants.map((contestant) => [contestant, []]));
  for (const contestant of contestants) await warm(contestant);
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 ? contestants.toReversed() : contestants;
    for (const contestant of order) found.get(contestant)!.push(await measure(contestant));
  }
  const base = found.get(contestants[0]!)!;
  const cells = contestants.flatMap((contestant) => {
    const results = found.get(contestant)!.filter((result) => result !== null);
    if (results.length < rounds) return contestant === contestants[0] ? ["–"] : ["–", "–"];
    const micros = results[0]!.micros === undefined
      ? ""
      : ` (${format(median(results.map(({ micros }) => micros!)))} µs)`;
    const rest = results[0]!.atRest === undefined ? "" : `, ${format(results[0]!.atRest)} before`;
    const value = `${format(median(results.map(({ value }) => value)))}${
      unit === "/s" ? "" : ` ${unit}`
    }${micros}${rest}`;
    // Beside nginx of the same round: what else the machine did fell on both.
    const ratio = median(results.map(({ value }, round) => value / base[round]!.value)).toFixed(2);
    return contestant === contestants[0] ? [value] : [value, ratio];
  });
  return `| ${name} | ${cells.join(" | ")} |`;
}

/** A run of wrk, and what it cost. */
async function loaded(
  pids: readonly number[],
  url: string,
  options: { connections?: number; headers?: string[]; script?: string } = {},
): Promise<Result> {
  const before = await cpuMs(pids);
  const { perSecond, requests } = await load(url, { seconds, ...options });
  return { value: perSecond, micros: (await cpuMs(pids) - before) * 1000 / requests };
}

/** So that what is hot is. */
async function warm({ http }: Contestant): Promise<void> {
  for (const size of SIZES.slice(0, 3)) {
    for (let times = 0; times < 4; times++) await (await fetch(`${http}/${size}`)).arrayBuffer();
  }
}

function urlOf({ http, https, disk }: Contestant, tls: boolean, fromDisk: boolean): string | null {
  if (fromDisk && disk) return tls ? disk.https : disk.http;
  return tls ? https : http;
}

function format(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(1);
}

async function has(command: string): Promise<boolean> {
  return await run("which", [command]).then(() => true, () => false);
}

/** Memory of processes now, pages that they share counted once (Pss of /proc). */
async function residentMib(pids: readonly number[]): Promise<number> {
  let kib = 0;
  for (const pid of await withChildren(pids)) {
    kib += Number(/\d+/.exec(await run("grep", ["^Pss:", `/proc/${pid}/smaps_rollup`]))?.[0] ?? 0);
  }
  return kib / 1024;
}
