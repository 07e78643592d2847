/** Our side of the comparison: what {@link OURS} can start. */
import { freePort } from "../proxy/ports.ts";
import { run, startProgram } from "../kit.ts";
import type { Contestant, Task } from "./peers.ts";

/** By the word of `--ours`. An edge, with an origin behind it, has its place here too. */
export const OURS: Record<string, (task: Task) => Promise<Contestant>> = {
  content: (task) => startContent(task),
  "no-front": (task) => startContent(task, ["--no-front"]),
};

/** Two content servers with the files as their objects: one keeps them in memory, one reads them each time. */
async function startContent(task: Task, flags: string[] = []): Promise<Contestant> {
  const hot = await startServer({ ...task, folder: `${task.folder}/hot` }, ["--hot-size", "256MiB", ...flags]);
  const disk = await startServer({ ...task, folder: `${task.folder}/disk` }, ["--hot-size", "0", ...flags]);
  return {
    ...hot,
    disk,
    async [Symbol.asyncDispose]() {
      await hot[Symbol.asyncDispose]();
      await disk[Symbol.asyncDispose]();
    },
  };
}

async function startServer({ folder, files, cert, key }: Task, flags: string[]): Promise<Contestant> {
  const https = freePort();
  const server = await startProgram([
    ...["-P=server", "--v8-flags=--max-semi-space-size=4", "main.ts", "server", "--listen", "127.0.0.1:0"],
    ...["--data", folder, "--scrub-rate", "0", "--log-level", "error"],
    ...["--viewer-listen", `127.0.0.1:${https}`, "--viewer-cert", cert, "--viewer-key", key],
    ...flags,
  ]);
  for (const { name } of Deno.readDirSync(files)) {
    await run("curl", [
      "-sfT",
      `${files}/${name}`,
      "-H",
      "content-type: application/octet-stream",
      `${server.url}/${name}`,
    ]);
  }
  return { ...server, name: "metacdn", http: server.url, https: `https://127.0.0.1:${https}`, pids: [server.pid] };
}
