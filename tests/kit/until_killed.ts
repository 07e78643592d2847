/** A program that is killed in the middle of its work. */

/**
 * Runs a script, kills it with SIGKILL once it has printed `lines` lines, and gives all lines that it
 * printed to their end.
 */
export async function linesUntilKilled(
  script: URL,
  args: string[],
  { lines, flags, meanwhile = () => Promise.resolve() }: {
    lines: number;
    /** Of `deno run`. */
    flags: string[];
    /** Runs while the program still does. */
    meanwhile?: () => Promise<void>;
  },
): Promise<string[]> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", ...flags, script.pathname, ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let text = "";
  let killed = false;
  for await (const piece of child.stdout.pipeThrough(new TextDecoderStream())) {
    text += piece;
    if (killed || text.split("\n").length <= lines) continue;
    killed = true;
    try {
      await meanwhile();
    } finally {
      child.kill("SIGKILL");
    }
  }
  const { signal } = await child.status;
  if (signal !== "SIGKILL") throw new Error(`${script.pathname} ended by itself`);
  return text.split("\n").slice(0, -1);
}
