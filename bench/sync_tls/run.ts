/**
 * What encryption costs where servers feed each other: an empty server joins a full one, with TLS and without, in turns.
 *
 *     deno run -P=bench bench/sync_tls/run.ts [--rounds N] [SIZExCOUNT …]
 *
 * By default 10,000 bodies of 10 KiB and one of 1 GiB. Certificates are of a CA made for it; keys are Ed25519; both kinds
 * sign their requests, as servers do with TLS and without.
 */
import { parseArgs } from "@std/cli/parse-args";
import { newCa, newServer } from "../../tests/certs/kit.ts";
import { cpuSeconds, median, type Program, startProgram, table } from "../kit.ts";
import { heldBy, noise, put, SECRETS, trust, until } from "../spread/fleet.ts";

const flags = parseArgs(Deno.args, { string: ["rounds"], default: { rounds: "3" } }) as unknown as {
  rounds: string;
  _: (string | number)[];
};
const rounds = Number(flags.rounds);
const cases = (flags._.length > 0 ? flags._.map(String) : [`${10 << 10}x10000`, `${2 ** 30}x1`]).map((text) => {
  const [size, count] = text.split("x").map(Number);
  return { size: size!, count: count! };
});
const kinds = ["plain", "tls"] as const;
const nowMs = Date.now();
const ca = await newCa("bench", nowMs);
trust(ca.certificate);

async function start(kind: string, folder: string, id: string, ...peers: string[]): Promise<Program & { id: string }> {
  const { cert, key } = await newServer(ca, { id, names: ["127.0.0.1"], nowMs });
  await Deno.writeTextFile(`${folder}/${id}.pem`, cert);
  await Deno.writeTextFile(`${folder}/${id}.key`, key);
  const program = await startProgram(["-P=bench", "bench/sync_tls/serve.ts", kind, folder, id, ...peers], SECRETS);
  return Object.assign(program, { id });
}

const rows: string[][] = [];
for (const { size, count } of cases) {
  const folder = await Deno.makeTempDir({ prefix: "metacdn-bench-" });
  await Deno.writeTextFile(`${folder}/ca.pem`, ca.certificate);
  try {
    const found: Record<string, { ms: number[]; cpu: number[] }> = {};
    await using stack = new AsyncDisposableStack();
    const full: Record<string, Program> = {};
    for (const kind of kinds) {
      const server = full[kind] = stack.use(await start(kind, folder, `full-${kind}`));
      let next = 0;
      await Promise.all(Array.from({ length: size < 1 << 20 ? 16 : 1 }, async () => {
        while (next < count) await put(`${server.url}/body/${next++}`, noise(size));
      }));
    }
    for (let round = 0; round < rounds; round++) {
      for (const kind of kinds) {
        const id = `new-${round}`;
        const givenBefore = await cpuSeconds(full[kind]!.pid);
        const begin = performance.now();
        {
          await using server = await start(kind, folder, id, full[kind]!.url);
          await until("the new server holds everything", async () => await heldBy(server) === count, { everyMs: 25 });
          const { ms, cpu } = found[kind] ??= { ms: [], cpu: [] };
          ms.push(performance.now() - begin);
          cpu.push(await cpuSeconds(server.pid) + await cpuSeconds(full[kind]!.pid) - givenBefore);
        }
        await Deno.remove(`${folder}/${kind}-${id}`, { recursive: true });
      }
    }
    const plain = { ms: median(found["plain"]!.ms), cpu: median(found["plain"]!.cpu) };
    for (const kind of kinds) {
      const { ms, cpu } = found[kind]!;
      rows.push([
        `${count} x ${size >> 10} KiB`,
        kind,
        `${(median(ms) / 1000).toFixed(1)} s`,
        (median(ms) / plain.ms).toFixed(2),
        `${median(cpu).toFixed(1)} s`,
        (median(cpu) / plain.cpu).toFixed(2),
      ]);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
console.log(table(["bodies", "line", "time", "ratio", "processor time of both", "ratio"], rows));
