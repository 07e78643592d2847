/** What the experiments share: programs as real processes, their peak memory, medians and tables. */
import { dirname, fromFileUrl } from "@std/path";

/** The project's root. */
export const ROOT: string = dirname(dirname(fromFileUrl(import.meta.url)));

/** A program that runs. */
export interface Program extends AsyncDisposable {
  url: string;
  pid: number;
  /** Highest resident memory so far, in bytes (VmHWM of /proc). */
  peakBytes(): number;
}

/**
 * Starts `deno run … SCRIPT ARGS` and waits for its line `listening URL`.
 * @param prefix a command that runs another, such as `ip netns exec NAME`
 */
export async function startProgram(
  args: string[],
  env: Record<string, string> = {},
  prefix: string[] = [],
): Promise<Program> {
  const [command, ...words] = [...prefix, Deno.execPath(), "run", "--no-prompt", ...args];
  const child = new Deno.Command(command!, {
    args: words,
    cwd: ROOT,
    env: { METACDN_SUPERVISED: "1", ...env },
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const url = await listeningLine(child.stdout);
  return {
    url,
    pid: child.pid,
    peakBytes: () => peakBytes(child.pid),
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.stdin.close().catch(() => {});
      await child.status;
    },
  };
}

async function listeningLine(output: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  for await (const part of output.pipeThrough(new TextDecoderStream()).values({ preventCancel: true })) {
    text += part;
    const match = /^listening (\S+)$/m.exec(text);
    if (match) return match[1]!;
  }
  throw new Error(`the program ended before it listened: ${text}`);
}

/** The highest resident memory of a process, in bytes. By grep: only all permissions together let us read /proc. */
export function peakBytes(pid: number): number {
  const { stdout } = new Deno.Command("grep", { args: ["VmHWM", `/proc/${pid}/status`], stderr: "null" }).outputSync();
  return Number(/\d+/.exec(new TextDecoder().decode(stdout))?.[0] ?? 0) * 1024;
}

/** The resident memory of a process now, in bytes. */
export function residentBytes(pid: number): number {
  const { stdout } = new Deno.Command("grep", { args: ["VmRSS", `/proc/${pid}/status`], stderr: "null" }).outputSync();
  return Number(/\d+/.exec(new TextDecoder().decode(stdout))?.[0] ?? 0) * 1024;
}

/** User and system time of a process so far (proc(5): fields 14 and 15 of stat, in hundredths of a second). */
export async function cpuSeconds(pid: number): Promise<number> {
  const fields = (await run("cat", [`/proc/${pid}/stat`])).split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Runs a command to its end; throws with what it printed where it fails. */
export async function run(command: string, args: string[], options: Deno.CommandOptions = {}): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, {
    args,
    stdout: "piped",
    stderr: "piped",
    ...options,
  })
    .output();
  const text = new TextDecoder().decode(stdout);
  if (!success) throw new Error(`${command} ${args.join(" ")}: ${text}${new TextDecoder().decode(stderr)}`);
  return text;
}

/** Fills a file with bytes that do not compress. */
export async function writeRandomFile(path: string, size: number): Promise<void> {
  using file = await Deno.open(path, { write: true, create: true, truncate: true });
  const block = new Uint8Array(1 << 20);
  for (let at = 0; at < block.length; at += 65536) crypto.getRandomValues(block.subarray(at, at + 65536));
  for (let left = size, round = 0; left > 0; left -= block.length, round++) {
    new DataView(block.buffer).setUint32(0, round);
    await writeWhole(file, block.subarray(0, Math.min(left, block.length)));
  }
}

async function writeWhole(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
}

/** The middle value. */
export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** A Markdown table. */
export function table(head: string[], rows: (string | number)[][]): string {
  const line = (cells: (string | number)[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}
