/** Processor time of programs, from /proc (Linux). */

/** A kernel's clock tick in milliseconds: 10 on every Linux that there is. */
const TICK_MS = 10;

/** What processes and their children have used so far, in milliseconds. */
export async function cpuMs(pids: readonly number[]): Promise<number> {
  let ticks = 0;
  for (const pid of await withChildren(pids)) {
    const text = await read(`/proc/${pid}/stat`);
    // After the name, which may have spaces: user and system time are the 12th and 13th.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    ticks += Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
  }
  return ticks * TICK_MS;
}

/** Processes, and those that they have started. */
export async function withChildren(pids: readonly number[]): Promise<number[]> {
  const all = [...pids];
  for (const pid of pids) {
    const text = await read(`/proc/${pid}/task/${pid}/children`);
    all.push(...await withChildren(text.split(" ").filter(Boolean).map(Number)));
  }
  return all;
}

/** By another program: Deno itself may not read there without all permissions. Empty where the process has ended. */
async function read(path: string): Promise<string> {
  const { stdout } = await new Deno.Command("cat", { args: [path], stderr: "null" }).output();
  return new TextDecoder().decode(stdout);
}
