/** The program's door: picks the command. `metacdn help` lists them. */
import { run } from "./cli/run.ts";

if (import.meta.main) Deno.exit(await run(Deno.args));
