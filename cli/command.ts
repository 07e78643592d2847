/** What a command is, and what it gets from the system. */
import type { CommandInput } from "../runtime/flags.ts";

/** One command: gets the words after its name, resolves to the exit status. */
export type Command = (argv: readonly string[], input: CommandInput) => Promise<number>;

/**
 * The process's environment and files. A variable that we may not read counts as not set: asking for
 * it in a terminal would be a question that few could answer.
 */
export const systemInput: CommandInput = {
  env(variable) {
    const { state } = Deno.permissions.querySync({ name: "env", variable });
    return state === "granted" ? Deno.env.get(variable) : undefined;
  },
  readTextFile: (path) => Deno.readTextFileSync(path),
};
