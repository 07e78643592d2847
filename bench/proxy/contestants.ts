/** Our side of the comparison. */
import type { Running } from "./nginx.ts";
import { freePort, untilItAnswers } from "./ports.ts";

const here = (name: string) => new URL(name, import.meta.url).pathname;

/** Two processes of `small_proxy.ts` on one port. */
export async function startSmall(origin: string): Promise<Running> {
  const port = String(freePort());
  const children = [1, 2].map(() =>
    new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-prompt", "--allow-net", here("small_proxy.ts"), port, origin],
      stdout: "null",
      stderr: "inherit",
    }).spawn()
  );
  const url = `http://127.0.0.1:${port}`;
  await untilItAnswers(url);
  return { url, pids: children.map(({ pid }) => pid), [Symbol.asyncDispose]: () => endAll(children) };
}

/** `metacdn proxy --workers 2`, which learns from the origin that there is one server: the origin ({@link poseAsServer}). */
export async function startMetacdn(origin: string, flags: string[] = []): Promise<Running> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-P=proxy", "main.ts", "proxy", "--workers", "2"],
      ...["--listen", "127.0.0.1:0", "--server", origin, "--policy", "network", ...flags],
    ],
    cwd: here("../../"),
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  let line = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    line += text;
    if (line.includes("\n")) break;
  }
  const url = /listening (\S+)/.exec(line)?.[1];
  if (!url) throw new Error(`metacdn proxy did not start: ${line}`);
  await untilItAnswers(`${url}/1024`, 200);
  return { url, pids: [child.pid], [Symbol.asyncDispose]: () => endAll([child]) };
}

/** Lays down what makes a server of plain files a server of ours, as far as a proxy asks. */
export async function poseAsServer(root: string, url: string): Promise<void> {
  await Deno.mkdir(`${root}/-/v1/peer`, { recursive: true });
  const updated = { wallMs: "1", counter: 0, server: "origin" };
  const server = { id: "origin", url, provider: "aws", region: "us-east-1", role: "origin", updated };
  await Deno.writeTextFile(`${root}/-/v1/servers`, JSON.stringify({ servers: [server] }));
  await Deno.writeTextFile(`${root}/-/healthz`, "{}");
  await Deno.writeFile(`${root}/-/v1/peer/probe`, new Uint8Array(1_000_000));
}

async function endAll(children: Deno.ChildProcess[]): Promise<void> {
  for (const child of children) child.kill("SIGKILL");
  await Promise.all(children.map((child) => child.status));
}
