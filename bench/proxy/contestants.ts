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
  return { url, [Symbol.asyncDispose]: () => endAll(children) };
}

/** `metacdn proxy --workers 2`, once it can be pointed at a plain origin. */
export function startMetacdn(_origin: string): Promise<Running | null> {
  return Promise.resolve(null);
}

async function endAll(children: Deno.ChildProcess[]): Promise<void> {
  for (const child of children) child.kill("SIGKILL");
  await Promise.all(children.map((child) => child.status));
}
