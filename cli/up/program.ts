/**
 * One of our own programs as a child process. It ends with us, whatever happens to us: its standard input
 * is a pipe from here, and METACDN_SUPERVISED=1 tells it to stop when that ends.
 */
import { fromFileUrl } from "@std/path";
import { CdnError } from "../../proto/mod.ts";

/** How to start one. */
export interface ProgramOptions {
  /** What it is called here and in its log file. */
  name: string;
  /** The words of its command line: `["server", "--listen", …]`. */
  args: string[];
  /** What it writes to standard error is appended to this file. */
  logFile: string;
  /** How long it may take until it listens. Long: on a bare machine it may first fetch its packages. */
  startMs?: number;
  /** Called where it ends later and nobody here ended it. */
  onLost?: (why: string) => void;
}

/** A program that runs. */
export class Program {
  readonly #child: Deno.ChildProcess;
  readonly #output: Promise<unknown>;
  readonly ended: Promise<Deno.CommandStatus>;
  /** False from when it was told to end, or was killed, by us. */
  #wanted = true;

  private constructor(readonly name: string, readonly url: string, child: Deno.ChildProcess, output: Promise<unknown>) {
    this.#child = child;
    this.#output = output;
    this.ended = child.status;
  }

  get pid(): number {
    return this.#child.pid;
  }

  /**
   * Starts it and waits for its line `listening URL`.
   * @throws {CdnError} with its last line where it ends before, or where it takes too long.
   */
  static async start({ name, args, logFile, startMs = 120_000, onLost = () => {} }: ProgramOptions): Promise<Program> {
    const child = spawn(args);
    const log = await Deno.open(logFile, { create: true, append: true });
    const tail = { line: "" };
    const errors = child.stderr.pipeThrough(lastLine(tail)).pipeTo(log.writable).catch(() => {});
    const listening = Promise.withResolvers<string>();
    const lines = readLines(child.stdout, (line) => {
      const match = /^listening (http:\/\/\S+)$/.exec(line);
      if (match) listening.resolve(match[1]!);
    });
    const output = Promise.all([errors, lines, child.status]);
    const late = setTimeout(() => listening.reject(failure(name, `it did not listen in ${startMs / 1000} s`)), startMs);
    output.then(([, , { code }]) =>
      listening.reject(failure(name, tail.line || `it ended with status ${code}; see ${logFile}`))
    );
    try {
      const program = new Program(name, await listening.promise, child, output);
      output.then(() => program.#wanted && onLost(`${name} ended by itself; see ${logFile}`));
      return program;
    } catch (error) {
      killQuietly(child, "SIGKILL");
      await output;
      await closeInput(child);
      throw error;
    } finally {
      clearTimeout(late);
    }
  }

  /** `kill -9`: a real death, without goodbye. */
  async kill(): Promise<void> {
    this.#wanted = false;
    killQuietly(this.#child, "SIGKILL");
    await this.#gone();
  }

  /** Asks it to end; after `graceMs` it must. Resolves when it is gone. */
  async stop(graceMs = 8000): Promise<void> {
    this.#wanted = false;
    killQuietly(this.#child, "SIGTERM");
    const timer = setTimeout(() => killQuietly(this.#child, "SIGKILL"), graceMs);
    await this.#gone();
    clearTimeout(timer);
  }

  async #gone(): Promise<void> {
    await this.#output;
    await closeInput(this.#child);
  }
}

/**
 * Runs a command that ends by itself, such as `upload`.
 * @returns its standard output
 * @throws {CdnError} with its last line of standard error where it fails.
 */
export async function runOnce(args: string[], signal: AbortSignal): Promise<string> {
  const child = spawn(args);
  const end = () => killQuietly(child, "SIGKILL");
  signal.addEventListener("abort", end, { once: true });
  const [{ code }, stdout, stderr] = await Promise.all([
    child.status,
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  signal.removeEventListener("abort", end);
  await closeInput(child);
  if (code !== 0) {
    throw new CdnError(stderr.trim().split("\n").at(-1) || `${args[0]} ended with status ${code}`, {
      source: "server",
    });
  }
  return stdout;
}

/**
 * This same program with other arguments: a compiled binary calls itself; from source, Deno runs `main.ts`
 * with the permission set of that command. Secrets of the caller are not handed on: everything here is on
 * loopback and open to this machine.
 */
function spawn(args: string[]): Deno.ChildProcess {
  const set = args[0] === "upload" ? "default" : args[0];
  const source = [
    "run",
    "--quiet",
    "--no-prompt",
    `--config=${fromFileUrl(new URL("../../deno.json", import.meta.url))}`,
    `-P=${set}`,
    fromFileUrl(new URL("../../main.ts", import.meta.url)),
  ];
  return new Deno.Command(Deno.execPath(), {
    args: Deno.build.standalone ? args : [...source, ...args],
    env: {
      METACDN_SUPERVISED: "1",
      METACDN_TOKEN: "",
      METACDN_CLUSTER_KEY: "",
      METACDN_SERVER: "",
      NO_COLOR: "1",
    },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

function failure(name: string, why: string): CdnError {
  return new CdnError(`${name} did not come up: ${why}`, { source: "server" });
}

function killQuietly(child: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    child.kill(signal);
  } catch { /* gone already */ }
}

async function closeInput(child: Deno.ChildProcess): Promise<void> {
  await child.stdin.close().catch(() => {});
}

/** Calls `take` with each line; a last one without its end counts. */
async function readLines(stream: ReadableStream<Uint8Array<ArrayBuffer>>, take: (line: string) => void): Promise<void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    lines.forEach(take);
  }
  if (rest) take(rest);
}

/** Passes bytes on, and remembers the last line that was not blank. */
function lastLine(tail: { line: string }): TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>> {
  const decoder = new TextDecoder();
  return new TransformStream({
    transform(bytes, controller) {
      controller.enqueue(bytes);
      const line = decoder.decode(bytes, { stream: true }).trim().split("\n").at(-1)!;
      if (line) tail.line = line;
    },
  });
}
