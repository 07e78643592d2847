/** Varnish with its built-in rules, and without freshness or grace that no response gave. */
import { join } from "@std/path";
import type { CacheProgram } from "./cache.ts";

/** Varnish. */
export const varnish: CacheProgram = {
  name: "varnish",
  title: "Varnish",
  command: "varnishd",
  version: { args: ["-V"], pattern: /varnish-(\S+)/ },
  async setUp({ dir, port, origin }) {
    const config = join(dir, "default.vcl");
    await Deno.writeTextFile(config, `vcl 4.1;\nbackend origin { .host = "127.0.0.1"; .port = "${origin}"; }\n`);
    return [
      ...["-F", "-n", join(dir, "work"), "-j", "none", "-a", `127.0.0.1:${port}`, "-f", config],
      ...["-s", "malloc,64M", "-p", "default_ttl=0", "-p", "default_grace=0", "-p", "default_keep=3600"],
    ];
  },
};
