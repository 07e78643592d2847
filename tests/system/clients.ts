/** Which real clients are here. A test without its client is ignored, and says which is missing. */

/** True where a command can be found; otherwise says so, once. */
export function has(command: string): boolean {
  const found = [...(Deno.env.get("PATH") ?? "").split(":"), "/usr/sbin"].some((folder) => {
    try {
      return Deno.statSync(`${folder}/${command}`).isFile;
    } catch {
      return false;
    }
  });
  if (!found && !told.has(command)) console.error(`missing: ${command}; tests that need it are ignored`);
  told.add(command);
  return found;
}

const told = new Set<string>();

/** Runs a client to its end; throws with what it printed where it fails. */
export async function client(command: string, args: string[], env: Record<string, string> = {}): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(command, { args, env, stdout: "piped", stderr: "piped" })
    .output();
  const text = new TextDecoder().decode(stdout);
  if (code !== 0) {
    throw new Error(`${command} ${args.join(" ")} ended with ${code}: ${text}${new TextDecoder().decode(stderr)}`);
  }
  return text;
}
