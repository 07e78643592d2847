/** `deno run upload.ts photo.jpg`: the same as `metacdn upload photo.jpg`. */
import { run } from "./cli/run.ts";

if (import.meta.main) Deno.exit(await run(["upload", ...Deno.args]));
