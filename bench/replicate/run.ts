/**
 * Uploads one big file to the first of three servers, waits until all three hold it, and reports the highest
 * resident memory of every process, in both encodings.
 *
 *     deno run -P=bench bench/replicate/run.ts [BYTES]
 */
import { peakBytes, startProgram, table, writeRandomFile } from "../kit.ts";

const size = Number(Deno.args[0] ?? 2 ** 30);
const rows: (string | number)[][] = [];
for (const encoding of ["json", "protobuf"]) {
  const folder = await Deno.makeTempDir({ prefix: "metacdn-bench-" });
  try {
    await writeRandomFile(`${folder}/file`, size);
    const start = (id: string, peers: string[]) =>
      startProgram([
        "-P=server",
        "main.ts",
        "server",
        ...["--listen", "127.0.0.1:0", "--id", id, "--data", `${folder}/${id}`, "--encoding", encoding],
        ...(peers.length ? ["--peers", peers.join(",")] : []),
      ]);
    await using a = await start("a", []);
    await using b = await start("b", [a.url]);
    await using c = await start("c", [a.url]);
    const begin = performance.now();
    const client = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-P",
        "upload.ts",
        "--server",
        a.url,
        "--as",
        "/file",
        "--encoding",
        encoding,
        "--quiet",
        `${folder}/file`,
      ],
      stdout: "null",
    }).spawn();
    let clientPeak = 0;
    const watch = setInterval(() => {
      try {
        clientPeak = Math.max(clientPeak, peakBytes(client.pid));
      } catch { /* it has ended */ }
    }, 50);
    const { success } = await client.status;
    clearInterval(watch);
    if (!success) throw new Error("the upload failed");
    const uploaded = performance.now() - begin;
    for (const server of [a, b, c]) {
      while (!(await fetch(`${server.url}/file`, { method: "HEAD" })).ok) {
        await new Promise((done) => setTimeout(done, 100));
      }
    }
    const everywhere = performance.now() - begin;
    const mib = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;
    rows.push([
      encoding,
      mib(clientPeak),
      mib(a.peakBytes()),
      mib(b.peakBytes()),
      mib(c.peakBytes()),
      `${Math.round(size / uploaded / 1000)} MB/s`,
      `${(everywhere / uploaded).toFixed(2)}×`,
    ]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
console.log(
  table(["encoding", "client", "server a", "server b", "server c", "upload", "time until all hold it"], rows),
);
