/** nginx with `proxy_cache`, and without rules of its own for what has no freshness. */
import { join } from "@std/path";
import type { CacheProgram } from "./cache.ts";

/** nginx. */
export const nginx: CacheProgram = {
  name: "nginx",
  title: "nginx",
  command: "nginx",
  version: { args: ["-v"], pattern: /nginx\/(\S+)/ },
  async setUp({ dir, port, origin }) {
    const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
      .map((name) => `${name}_temp_path ${dir}/${name};`).join("\n  ");
    const config = join(dir, "nginx.conf");
    await Deno.writeTextFile(
      config,
      `daemon off;
worker_processes 1;
pid ${dir}/nginx.pid;
error_log stderr warn;
events { worker_connections 2048; }
http {
  access_log off;
  ${temp}
  proxy_cache_path ${dir}/cache levels=1:2 keys_zone=suite:8m max_size=1000m inactive=600m use_temp_path=off;
  upstream origin { server 127.0.0.1:${origin}; keepalive 100; }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_cache suite;
      proxy_cache_revalidate on;
      if_modified_since before;
    }
  }
}
`,
    );
    return ["-c", config, "-p", dir];
  },
};
