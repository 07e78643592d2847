/** Our own edge, as its command starts it. */
import { join } from "@std/path";
import { fromFileUrl } from "@std/path";
import type { CacheProgram } from "./cache.ts";

const root = fromFileUrl(new URL("../../../", import.meta.url));

/** The edge of metacdn. */
export const metacdn: CacheProgram = {
  name: "metacdn",
  title: "metacdn",
  command: Deno.execPath(),
  version: { args: ["run", "-q", "-P=server", join(root, "main.ts"), "--version"], pattern: /(\d+\.\d+\.\d+)/ },
  setUp: ({ dir, port, origin }) =>
    Promise.resolve([
      ...["run", "-q", "-P=server", "--config", join(root, "deno.json"), join(root, "main.ts"), "server"],
      ...["--role", "edge", "--origin", `http://127.0.0.1:${origin}`, "--listen", `127.0.0.1:${port}`],
      ...["--cache", join(dir, "cache"), "--data", join(dir, "data")],
    ]),
};
