/** Our side of the comparison: what {@link OURS} can start. */
import { freePort } from "../proxy/ports.ts";
import { run, startProgram } from "../kit.ts";
import { type Contestant, startNginx, type Task } from "./peers.ts";

/** By the word of `--ours`. */
export const OURS: Record<string, (task: Task) => Promise<Contestant>> = {
  content: (task) => startContent(task),
  "no-front": (task) => startContent(task, ["--no-front"]),
  edge: (task) => startEdge(task),
};

/** Two edges before one nginx: one keeps what is hot in memory, one has little of it. */
async function startEdge(task: Task): Promise<Contestant> {
  const policy = `${task.folder}/policy.json`;
  await Deno.writeTextFile(policy, JSON.stringify({ rules: [{ glob: "/**", maxAgeSeconds: 86_400 }] }));
  const origin = await startNginx(task);
  const edge = async (name: string, memory: string) => {
    await Deno.mkdir(`${task.folder}/${name}`);
    return await startServer({ ...task, files: `${task.folder}/${name}`, folder: `${task.folder}/${name}-data` }, [
      ...["--role", "edge", "--origin", origin.http, "--cache-policy", policy, "--memory-size", memory],
    ]);
  };
  const hot = await edge("hot", "512MiB");
  const disk = await edge("disk", "16MiB");
  return {
    ...hot,
    disk,
    miss: { http: hot.http, pids: hot.pids },
    async [Symbol.asyncDispose]() {
      for (const one of [hot, disk, origin]) await one[Symbol.asyncDispose]();
    },
  };
}

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
