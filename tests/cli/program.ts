/** The program as its users run it: a child process, its output and its exit status. */
import { assert } from "@std/assert";
import { fromFileUrl } from "@std/path";

/** The words that run a command from source, as `deno task` does. */
export function commandLine(command: string, args: string[]): string[] {
  const root = new URL("../../", import.meta.url);
  const known = ["server", "pricing", "proxy", "certs", "up"];
  return [
    "run",
    "--quiet",
    "--no-prompt",
    `--config=${fromFileUrl(new URL("deno.json", root))}`,
    `-P=${known.includes(command) ? command : "default"}`,
    fromFileUrl(new URL("main.ts", root)),
    command,
    ...args,
  ];
}

/** Our own settings must not reach the child: what a developer has set would change what is tested. */
export const plainEnv = {
  METACDN_TOKEN: "",
  METACDN_CLUSTER_KEY: "",
  METACDN_SERVER: "",
  METACDN_CA: "",
  NO_COLOR: "1",
};

/** Runs a command to its end. */
export async function runToEnd(
  command: string,
  args: string[],
  { env = {} }: { env?: Record<string, string> } = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const output = await new Deno.Command(Deno.execPath(), {
    args: commandLine(command, args),
    env: { ...plainEnv, ...env },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code: output.code, stdout: decoder.decode(output.stdout), stderr: decoder.decode(output.stderr) };
}

/** A command that runs until it is told to end. */
export class Running {
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<unknown>;
  #stdout = "";
  #stderr = "";
  #ended = false;

  constructor(command: string, args: string[], { env = {}, cwd }: { env?: Record<string, string>; cwd?: string } = {}) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: commandLine(command, args),
      env: { ...plainEnv, ...env },
      ...(cwd ? { cwd } : {}),
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const read = async (stream: ReadableStream<Uint8Array<ArrayBuffer>>, take: (text: string) => void) => {
      for await (const text of stream.pipeThrough(new TextDecoderStream())) take(text);
    };
    this.#reading = Promise.all([
      read(this.#child.stdout, (text) => this.#stdout += text),
      read(this.#child.stderr, (text) => this.#stderr += text),
      this.#child.status.then(() => this.#ended = true),
    ]);
  }

  get pid(): number {
    return this.#child.pid;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Waits for a line of its output; its groups come back. */
  async line(pattern: RegExp, patienceMs = 60_000): Promise<RegExpExecArray> {
    const end = Date.now() + patienceMs;
    for (;;) {
      const match = pattern.exec(this.#stdout);
      if (match) return match;
      assert(!this.#ended, `it ended without ${pattern}:\n${this.#stdout}\n${this.#stderr}`);
      assert(Date.now() < end, `no ${pattern} in time:\n${this.#stdout}\n${this.#stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Sends a signal, where it still runs. */
  signal(name: Deno.Signal): void {
    if (!this.#ended) this.#child.kill(name);
  }

  /** Its exit status, once it has ended. */
  async status(): Promise<number> {
    await this.#reading;
    return (await this.#child.status).code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.signal("SIGKILL");
    await this.#reading;
  }
}
