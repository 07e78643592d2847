/** A cache under test: a program from elsewhere, or our own edge, as a reverse proxy before the suite's origin. */
import { join } from "@std/path";
import { eventually } from "../../kit/eventually.ts";
import { freePorts } from "../../kit/free_ports.ts";
import { tempDir } from "../../kit/temp_dir.ts";
import { greeting } from "../origin.ts";

/** How to run a cache. */
export interface CacheProgram {
  /** As on the command line. */
  readonly name: string;
  /** As in the table. */
  readonly title: string;
  /** The program; it is looked for in PATH and in /usr/sbin. */
  readonly command: string;
  /** Arguments that make it print its version, and where in that the version is. */
  readonly version: { args: string[]; pattern: RegExp };
  /** Its command line before this origin, once its files stand in `dir`; it stays in the foreground. */
  setUp(place: Place): Promise<string[]>;
}

/** Where a cache is to run. */
export interface Place {
  /** A folder of its own, which everybody may write to: some programs drop root's rights. */
  readonly dir: string;
  /** The port of 127.0.0.1 that it is to listen on. */
  readonly port: number;
  /** The origin's port on 127.0.0.1. */
  readonly origin: number;
}

/** A cache that runs. */
export interface RunningCache extends AsyncDisposable {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
}

/** Where the program is; null where it is not installed. */
export function pathOf(command: string): string | null {
  const folders = [...(Deno.env.get("PATH") ?? "").split(":"), "/usr/sbin", "/usr/local/sbin"];
  return folders.map((folder) => join(folder, command)).find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  }) ?? null;
}

/** The program's version; null where it is not installed. */
export async function versionOf({ command, version }: CacheProgram): Promise<string | null> {
  const path = command.startsWith("/") ? command : pathOf(command);
  if (path === null) return null;
  const { stdout, stderr } = await new Deno.Command(path, { args: version.args, stdin: "null" }).output();
  const text = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("\n");
  return version.pattern.exec(text)?.[1] ?? null;
}

/**
 * Starts a cache before the origin, and waits until it forwards to it.
 *
 * @throws Error with what it printed where it does not come up.
 */
export async function startCache(program: CacheProgram, origin: number): Promise<RunningCache> {
  await using cleanup = new AsyncDisposableStack();
  const { path: dir } = cleanup.use(await tempDir());
  await Deno.chmod(dir, 0o777);
  const [port] = freePorts(1) as [number];
  const args = await program.setUp({ dir, port, origin });
  const path = program.command.startsWith("/") ? program.command : pathOf(program.command);
  if (path === null) throw new Error(`${program.command} is not installed`);
  const log = join(dir, "output.log");
  // The program is one process of ours, in whose place the shell puts it: a signal reaches it itself.
  const child = new Deno.Command("/bin/sh", {
    args: ["-c", 'log="$1"; shift; exec "$@" >"$log" 2>&1', "sh", log, path, ...args],
    cwd: dir,
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  let ended = false;
  const end = child.status.then(() => ended = true);
  cleanup.defer(async () => {
    if (!ended) child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), 10_000);
    await end;
    clearTimeout(timer);
  });
  const url = `http://127.0.0.1:${port}`;
  try {
    await eventually(async () => {
      if (ended) return true;
      const response = await fetch(`${url}/ready`);
      return (await response.text()) === greeting;
    }, { what: `${program.name} before the origin` });
    if (ended) throw new Error(`${program.name} ended`);
  } catch (error) {
    throw new Error(`${program.name} does not come up: ${await Deno.readTextFile(log).catch(() => "")}`, {
      cause: error,
    });
  }
  const moved = cleanup.move();
  return { url, [Symbol.asyncDispose]: () => moved.disposeAsync() };
}
