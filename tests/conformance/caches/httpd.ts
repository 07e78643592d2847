/** Apache httpd with mod_cache_disk before mod_proxy_http. */
import { join } from "@std/path";
import type { CacheProgram } from "./cache.ts";

const modules = ["mpm_event", "authz_core", "proxy", "proxy_http", "cache", "cache_disk"];

/** Apache httpd. */
export const httpd: CacheProgram = {
  name: "httpd",
  title: "httpd",
  command: "apache2",
  version: { args: ["-v"], pattern: /Apache\/(\S+)/ },
  async setUp({ dir, port, origin }) {
    const config = join(dir, "httpd.conf");
    const cache = join(dir, "cache");
    await Deno.mkdir(cache);
    await Deno.chmod(cache, 0o777);
    await Deno.writeTextFile(
      config,
      `${modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join("\n")}
ServerRoot ${dir}
DefaultRuntimeDir ${dir}
PidFile ${dir}/httpd.pid
ServerName localhost
Listen 127.0.0.1:${port}
ErrorLog /dev/stderr
${Deno.uid() === 0 ? "User www-data\nGroup www-data" : ""}
ThreadsPerChild 64
MaxRequestWorkers 256
ProxyPass "/" "http://127.0.0.1:${origin}/" retry=0
KeepAlive Off
UseCanonicalName On
CacheRoot ${cache}
CacheEnable disk "/"
CacheDirLevels 5
CacheDirLength 3
CacheDefaultExpire 0
CacheIgnoreNoLastMod On
CacheStoreExpired On
CacheHeader On
CacheDetailHeader On
`,
    );
    return ["-D", "FOREGROUND", "-f", config];
  },
};
